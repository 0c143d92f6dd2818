import type { ListedMessage } from "@parlour/client";
import { sentence } from "../logic/people.js";
import type { MessageDeeds } from "./message_actions.js";
import styles from "./message_failure.module.css";

/** Why a message was not sent, and what can be done about it. */
export function MessageFailure({ entry, deeds }: { entry: ListedMessage; deeds: MessageDeeds }) {
  return (
    <div className={styles.failure}>
      <span className={styles.reason} role="alert">
        Not sent. {entry.error && sentence(entry.error.message)}
      </span>
      <span className={styles.buttons}>
        <button type="button" onClick={() => deeds.retry(entry)}>
          Retry
        </button>
        <button type="button" onClick={() => deeds.discard(entry)}>
          Discard
        </button>
      </span>
    </div>
  );
}
