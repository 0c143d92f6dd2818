import type { Channel, Client } from "@parlour/client";
import { useClient } from "@parlour/react";
import { useState, type FormEvent } from "react";
import { channelIdFrom, idsIn, livestreamIdFrom, randomSuffix } from "../logic/ids.js";
import { nameOf } from "../logic/people.js";
import { useKnownPeople } from "../hooks/use_known_people.js";
import { Avatar } from "./avatar.js";
import { Button } from "./button.js";
import { Dialog } from "./dialog.js";
import { ErrorNote } from "./error_note.js";
import field from "./field.module.css";
import styles from "./new_chat_dialog.module.css";
import { PeoplePicker } from "./people_picker.js";

type Kind = "direct" | "channel" | "livestream";

const KINDS: readonly { kind: Kind; label: string; hint: string }[] = [
  {
    kind: "direct",
    label: "One-to-one",
    hint: "A chat with one other person. There is one for each two people.",
  },
  { kind: "channel", label: "Channel", hint: "For its members alone." },
  {
    kind: "livestream",
    label: "Livestream",
    hint: "Open to everybody. The same name leads to the same livestream.",
  },
];

interface Props {
  onOpen: (cid: string) => void;
  onClose: () => void;
}

/** Begins a chat with somebody, a channel with several, or a livestream for all. */
export function NewChatDialog({ onOpen, onClose }: Props) {
  const client = useClient();
  const people = useKnownPeople();
  const [kind, setKind] = useState<Kind>("direct");
  const [name, setName] = useState("");
  const [userId, setUserId] = useState("");
  const [members, setMembers] = useState<readonly string[]>([]);
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();

  const begin = (making: Promise<Channel>) => {
    setBusy(true);
    setError(undefined);
    making
      .then((channel) => onOpen(channel.cid))
      .catch((why: unknown) => {
        setBusy(false);
        setError(why);
      });
  };
  const choose = (chosen: Kind) => {
    setKind(chosen);
    setError(undefined);
  };
  const chatWith = (id: string) => begin(client.createDistinct("messaging", [id]));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (busy) return;
    if (kind === "direct") chatWith(userId.trim());
    else begin(makeChannel(client, kind, name.trim(), [...new Set([...members, ...idsIn(typed)])]));
  };
  const ready = kind === "direct" ? userId.trim() !== "" : name.trim() !== "";

  return (
    <Dialog title="New chat" onClose={onClose}>
      <form className={field.form} onSubmit={submit}>
        <fieldset className={styles.kinds}>
          <legend className="hidden-visually">Kind of chat</legend>
          {KINDS.map(({ kind: each, label }) => (
            <label key={each} className={styles.kind}>
              <input
                type="radio"
                name="kind"
                value={each}
                checked={kind === each}
                onChange={() => choose(each)}
              />
              <span>{label}</span>
            </label>
          ))}
        </fieldset>
        <p className={field.hint}>{KINDS.find((each) => each.kind === kind)?.hint}</p>

        {kind === "direct" ? (
          <>
            <ul className={styles.people} aria-label="People">
              {people.slice(0, 8).map((user) => (
                <li key={user.id}>
                  <button
                    type="button"
                    className={styles.person}
                    disabled={busy}
                    onClick={() => chatWith(user.id)}
                  >
                    <Avatar user={user} size={32} />
                    <bdi className={styles.name}>{nameOf(user)}</bdi>
                    <span className={styles.id}>{user.id}</span>
                  </button>
                </li>
              ))}
            </ul>
            <label className={field.field}>
              <span className={field.label}>User id</span>
              <input
                className={field.input}
                value={userId}
                autoComplete="off"
                autoCapitalize="none"
                spellCheck={false}
                placeholder="bob"
                onChange={(event) => setUserId(event.target.value)}
              />
            </label>
          </>
        ) : (
          <>
            <label className={field.field}>
              <span className={field.label}>Name</span>
              <input
                className={field.input}
                value={name}
                maxLength={100}
                autoComplete="off"
                autoFocus
                placeholder={kind === "livestream" ? "Cup final" : "Release team"}
                onChange={(event) => setName(event.target.value)}
              />
            </label>
            <PeoplePicker
              label="Members"
              picked={members}
              onPick={setMembers}
              typed={typed}
              onType={setTyped}
              known={people}
            />
          </>
        )}

        <ErrorNote error={error} />
        <div className={field.buttons}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" disabled={!ready || busy}>
            {kind === "direct" ? "Start chat" : "Create"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

async function makeChannel(
  client: Client,
  kind: "channel" | "livestream",
  name: string,
  members: readonly string[],
): Promise<Channel> {
  const channel =
    kind === "livestream"
      ? client.channel("livestream", livestreamIdFrom(name, randomSuffix))
      : client.channel("messaging", channelIdFrom(name, randomSuffix));
  await channel.getOrCreate({ members: [...members], data: { name } });
  return channel;
}
