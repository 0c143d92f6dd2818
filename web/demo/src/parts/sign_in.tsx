import { useState, type FormEvent } from "react";
import type { Person } from "../dev_server.js";
import { go } from "../hooks/use_place.js";
import { useTitle } from "../hooks/use_title.js";
import { randomSuffix, userIdFrom } from "../logic/ids.js";
import { Avatar } from "./avatar.js";
import { Brand } from "./brand.js";
import { Button } from "./button.js";
import card from "./card_page.module.css";
import { Icon } from "./icon.js";
import { PlaceLink } from "./place_link.js";
import styles from "./sign_in.module.css";
import { ThemeToggle } from "./theme_toggle.js";

interface Props {
  users: readonly Person[];
  /** An id that stood in the address and cannot be a user's. */
  refused: string | undefined;
}

/** Who do you want to be? In development anybody may be anybody. */
export function SignIn({ users, refused }: Props) {
  const [name, setName] = useState("");
  useTitle("Sign in · Parlour", 0);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const user = userIdFrom(name, new Set(users.map(({ id }) => id)), randomSuffix);
    go({ at: "chat", user, name: name.trim() || "Guest" });
  };

  const [first, second] = users;
  return (
    <main className={card.page}>
      <div className={card.card}>
        <div className={styles.top}>
          <Brand />
          <ThemeToggle />
        </div>
        <h1 className={card.title}>Who would you like to be?</h1>
        {refused === undefined ? (
          <p className={card.text}>
            A development server needs no password. Open a second window as somebody else.
          </p>
        ) : (
          <p className={styles.refused} role="alert">
            “{refused}” cannot be the id of a user: ids are made of a–z, 0–9, @, _ and -.
          </p>
        )}
        <ul className={styles.people}>
          {users.map((user) => (
            <li key={user.id}>
              <PlaceLink className={styles.person} to={{ at: "chat", user: user.id }}>
                <Avatar user={user} size={36} />
                <span className={styles.name}>
                  Continue as <bdi>{user.name}</bdi>
                </span>
                <span className={styles.arrow}>
                  <Icon name="back" size={18} />
                </span>
              </PlaceLink>
            </li>
          ))}
        </ul>
        <form className={styles.form} onSubmit={submit}>
          <label className={styles.label} htmlFor="name">
            Or as somebody new
          </label>
          <div className={styles.row}>
            <input
              id="name"
              className={styles.input}
              value={name}
              maxLength={80}
              placeholder="Your name"
              autoComplete="off"
              onChange={(event) => setName(event.target.value)}
            />
            <Button kind="primary" type="submit">
              Join
            </Button>
          </div>
        </form>
        {first && second && (
          <PlaceLink className={styles.side} to={{ at: "side", users: [first.id, second.id] }}>
            <Icon name="columns" size={18} />
            <span>
              <bdi>{first.name}</bdi> and <bdi>{second.name}</bdi> side by side
            </span>
          </PlaceLink>
        )}
      </div>
    </main>
  );
}
