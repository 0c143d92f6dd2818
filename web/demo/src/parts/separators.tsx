import styles from "./separators.module.css";

/** Between two days. */
export function DaySeparator({ at, label }: { at: string; label: string }) {
  return (
    <div className={styles.day} role="separator" aria-label={label}>
      <time dateTime={at.slice(0, 10)}>{label}</time>
    </div>
  );
}

/** Above what was not read yet when the channel was opened. */
export function UnreadDivider() {
  return (
    <div className={styles.unread} role="separator" aria-label="New messages">
      <span>New messages</span>
    </div>
  );
}

/** Over the list while one scrolls. Says nothing that the separators do not say. */
export function FloatingDay({ label }: { label: string }) {
  return (
    <div className={`${styles.day} ${styles.floating}`} aria-hidden="true">
      <time>{label}</time>
    </div>
  );
}
