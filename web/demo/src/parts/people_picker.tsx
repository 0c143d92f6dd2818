import type { UserBrief } from "@parlour/client";
import { useId, useState, type KeyboardEvent } from "react";
import { idsIn } from "../logic/ids.js";
import { nameOf } from "../logic/people.js";
import { Avatar } from "./avatar.js";
import field from "./field.module.css";
import { Icon } from "./icon.js";
import styles from "./people_picker.module.css";

interface Props {
  label: string;
  /** The ids that are picked. */
  picked: readonly string[];
  onPick: (ids: readonly string[]) => void;
  /** What stands in the field and is not picked yet; it counts when the form is sent. */
  typed: string;
  onType: (text: string) => void;
  /** Those whom one may want. */
  known: readonly UserBrief[];
}

/** Picks people: by a tap, or by their ids. */
export function PeoplePicker({ label, picked, onPick, typed, onType, known }: Props) {
  const id = useId();
  const [hintId] = useState(() => `${id}-hint`);
  const take = () => {
    const ids = idsIn(typed).filter((typedId) => !picked.includes(typedId));
    if (ids.length > 0) onPick([...picked, ...ids]);
    onType("");
  };
  const drop = (dropped: string) => onPick(picked.filter((pickedId) => pickedId !== dropped));
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "," || event.key === " " || (event.key === "Enter" && typed.trim() !== "")) {
      event.preventDefault();
      take();
    } else if (event.key === "Backspace" && typed === "") {
      onPick(picked.slice(0, -1));
    }
  };

  return (
    <div className={field.field}>
      <label className={field.label} htmlFor={id}>
        {label}
      </label>
      <div className={`${field.input} ${styles.box}`}>
        {picked.map((pickedId) => (
          <button
            key={pickedId}
            type="button"
            className={styles.chip}
            aria-label={`Remove ${pickedId}`}
            onClick={() => drop(pickedId)}
          >
            {pickedId}
            <Icon name="close" size={13} />
          </button>
        ))}
        <input
          id={id}
          className={styles.input}
          value={typed}
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          placeholder={picked.length === 0 ? "User ids" : ""}
          aria-describedby={hintId}
          onChange={(event) => onType(event.target.value)}
          onKeyDown={onKeyDown}
          onBlur={take}
        />
      </div>
      <p id={hintId} className="hidden-visually">
        Separate several ids by commas.
      </p>
      <ul className={styles.known} aria-label="Suggestions">
        {known
          .filter((user) => !picked.includes(user.id))
          .slice(0, 12)
          .map((user) => (
            <li key={user.id}>
              <button
                type="button"
                className={styles.suggestion}
                onClick={() => onPick([...picked, user.id])}
              >
                <Avatar user={user} size={24} />
                <span>
                  <span className="hidden-visually">Add </span>
                  <bdi>{nameOf(user)}</bdi>
                </span>
              </button>
            </li>
          ))}
      </ul>
    </div>
  );
}
