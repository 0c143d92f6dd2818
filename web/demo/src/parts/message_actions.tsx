import type { ListedMessage } from "@parlour/client";
import { IconButton } from "./icon_button.js";
import styles from "./message_actions.module.css";

/** What can be done with a message. The same object for all rows. */
export interface MessageDeeds {
  edit: (entry: ListedMessage) => void;
  remove: (entry: ListedMessage) => void;
  copy: (entry: ListedMessage) => void;
  retry: (entry: ListedMessage) => void;
  discard: (entry: ListedMessage) => void;
}

interface Props {
  entry: ListedMessage;
  own: boolean;
  mayDelete: boolean;
  /** Tab reaches them only in the row that has the focus: else there would be three stops in each. */
  focusable: boolean;
  deeds: MessageDeeds;
}

/** Shown beside a message that is pointed at, touched or focused. */
export function MessageActions({ entry, own, mayDelete, focusable, deeds }: Props) {
  const tabIndex = focusable ? 0 : -1;
  const sent = entry.status === "sent";
  const mayCopy = navigator.clipboard !== undefined && entry.message.text !== "";
  return (
    <div className={styles.actions} role="group" aria-label="Message actions">
      {mayCopy && (
        <IconButton
          label="Copy"
          icon="copy"
          size={17}
          tabIndex={tabIndex}
          onClick={() => deeds.copy(entry)}
        />
      )}
      {own && sent && (
        <IconButton
          label="Edit"
          icon="edit"
          size={17}
          tabIndex={tabIndex}
          onClick={() => deeds.edit(entry)}
        />
      )}
      {mayDelete && sent && (
        <IconButton
          label="Delete"
          icon="trash"
          size={17}
          tabIndex={tabIndex}
          onClick={() => deeds.remove(entry)}
        />
      )}
    </div>
  );
}
