import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import styles from "./emoji_picker.module.css";
import { IconButton } from "./icon_button.js";

const COLUMNS = 8;
const EMOJI = [
  ..."😀😄😂🤣😊😍😘😎",
  ..."🤩🥳🤔🤨😐😴😅😇",
  ..."😢😭😱😡🥺🙃🤯🤝",
  ..."👍👎👏🙏💪👀👋🙌",
  ..."🎉🎂🎁🏆🚀🔥✨⭐",
  ..."💯💡📌📎✅❌❓💬",
];
const HEARTS = ["❤️", "🧡", "💛", "💚", "💙", "💜", "🖤", "💔"];
const ALL = [...EMOJI, ...HEARTS];

const STEP: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowRight: 1,
  ArrowUp: -COLUMNS,
  ArrowDown: COLUMNS,
};

/** A few dozen emoji, for keyboards that have none. */
export function EmojiPicker({ onPick, onClose }: { onPick: (emoji: string) => void; onClose: () => void }) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const grid = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (!open) return;
    grid.current?.querySelector("button")?.focus();
    const outside = (event: PointerEvent) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    addEventListener("pointerdown", outside);
    return () => removeEventListener("pointerdown", outside);
  }, [open]);

  const close = () => {
    setOpen(false);
    onClose();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = STEP[event.key];
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (step !== undefined) {
      const buttons = [...(grid.current?.querySelectorAll("button") ?? [])];
      const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
      event.preventDefault();
      buttons[at + step]?.focus();
    }
  };

  return (
    <div ref={box} className={styles.box}>
      <IconButton
        label="Insert emoji"
        icon="smile"
        className={styles.toggle}
        aria-expanded={open}
        aria-haspopup="dialog"
        onClick={() => setOpen(!open)}
      />
      {open && (
        <div ref={grid} className={styles.panel} role="dialog" aria-label="Emoji" onKeyDown={onKeyDown}>
          {ALL.map((emoji, at) => (
            <button
              key={emoji}
              type="button"
              className={styles.emoji}
              // One stop for Tab; the arrow keys go on from there.
              tabIndex={at === 0 ? 0 : -1}
              onClick={() => {
                onPick(emoji);
                close();
              }}
            >
              {emoji}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
