import type { ListedMessage } from "@parlour/client";
import { Button } from "./button.js";
import styles from "./delete_dialog.module.css";
import { Dialog } from "./dialog.js";
import field from "./field.module.css";

interface Props {
  entry: ListedMessage;
  onDelete: () => void;
  onClose: () => void;
}

/** Deleting cannot be taken back, so it is asked for twice. */
export function DeleteDialog({ entry, onDelete, onClose }: Props) {
  return (
    <Dialog title="Delete this message?" onClose={onClose}>
      <p>Its text is taken away for everybody. This cannot be undone.</p>
      <blockquote className={styles.quote} dir="auto">
        {entry.message.text}
      </blockquote>
      <div className={field.buttons}>
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="danger" autoFocus onClick={onDelete}>
          Delete
        </Button>
      </div>
    </Dialog>
  );
}
