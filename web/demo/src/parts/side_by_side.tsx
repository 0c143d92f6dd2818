import { useTheme } from "../hooks/use_theme.js";
import { useTitle } from "../hooks/use_title.js";
import { hrefOf } from "../logic/place.js";
import { Brand } from "./brand.js";
import { PlaceLink } from "./place_link.js";
import styles from "./side_by_side.module.css";

interface Props {
  users: readonly string[];
  channel: string | undefined;
}

/** Several users next to each other, each in a page of its own with a connection of its own. */
export function SideBySide({ users, channel }: Props) {
  // The frames change the theme; this page follows.
  useTheme();
  useTitle(`${users.join(" and ")} · Parlour`, 0);
  const open = channel === undefined ? {} : { channel };
  return (
    <div className={styles.page}>
      <header className={styles.header}>
        <Brand />
        <nav className={styles.links} aria-label="One alone">
          {users.map((user) => (
            <PlaceLink key={user} className={styles.link} to={{ at: "chat", user, ...open }}>
              Only {user}
            </PlaceLink>
          ))}
        </nav>
      </header>
      <main className={styles.frames}>
        <h1 className="hidden-visually">Side by side</h1>
        {users.map((user) => (
          <iframe
            key={user}
            className={styles.frame}
            title={`The chat of ${user}`}
            src={hrefOf({ at: "chat", user, ...open })}
            allow="clipboard-write"
          />
        ))}
      </main>
    </div>
  );
}
