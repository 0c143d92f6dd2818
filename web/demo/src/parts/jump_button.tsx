import { count } from "../logic/people.js";
import { Icon } from "./icon.js";
import styles from "./jump_button.module.css";

interface Props {
  shown: boolean;
  newCount: number;
  onJump: () => void;
}

/** Back to the newest message, for somebody who reads far above it. */
export function JumpButton({ shown, newCount, onJump }: Props) {
  if (!shown) return null;
  const label = newCount > 0 ? `Jump to latest, ${count(newCount, "new message")}` : "Jump to latest";
  return (
    <button type="button" className={styles.jump} aria-label={label} title={label} onClick={onJump}>
      <Icon name="arrow_down" size={20} />
      {newCount > 0 && <span className={styles.count}>{newCount > 99 ? "99+" : newCount}</span>}
    </button>
  );
}
