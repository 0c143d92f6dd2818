import { useSyncExternalStore } from "react";
import { Icon } from "./icon.js";
import styles from "./toasts.module.css";
import { toastQueue } from "./toast_queue.js";

export function Toasts() {
  const toasts = useSyncExternalStore(toastQueue.subscribe, toastQueue.get);
  return (
    <div className={styles.toasts} role="status" aria-label="Notes">
      {toasts.map(({ id, text, bad }) => (
        <p key={id} className={styles.toast}>
          <Icon name={bad ? "alert" : "check"} size={16} />
          {text}
        </p>
      ))}
    </div>
  );
}
