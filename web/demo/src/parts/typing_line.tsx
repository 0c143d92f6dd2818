import type { Channel } from "@parlour/client";
import { useTyping } from "@parlour/react";
import { typingText } from "../logic/people.js";
import styles from "./typing_line.module.css";

/** Who is typing. Keeps its height when nobody is, so that the messages do not hop. */
export function TypingLine({ channel }: { channel: Channel }) {
  const text = typingText(useTyping(channel));
  return (
    <div className={styles.line} data-testid="typing">
      {text !== "" && (
        <>
          <span className={styles.dots} aria-hidden="true">
            <span />
            <span />
            <span />
          </span>
          <bdi>{text}</bdi>
        </>
      )}
    </div>
  );
}
