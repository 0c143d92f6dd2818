import type { UserBrief } from "@parlour/client";
import { andList, nameOf } from "../logic/people.js";
import { Avatar } from "./avatar.js";
import styles from "./readers.module.css";

const SHOWN_MAX = 6;

/** Those who have read up to here, and no further. */
export function Readers({ readers }: { readers: readonly UserBrief[] }) {
  const said = `Read by ${andList(readers.map(nameOf))}`;
  return (
    <div className={styles.readers} role="img" aria-label={said} title={said}>
      {readers.slice(0, SHOWN_MAX).map((user) => (
        <Avatar key={user.id} user={user} size={17} />
      ))}
      {readers.length > SHOWN_MAX && <span className={styles.more}>+{readers.length - SHOWN_MAX}</span>}
    </div>
  );
}
