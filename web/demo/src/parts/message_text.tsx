import { Fragment, memo } from "react";
import { splitLinks } from "../logic/links.js";
import styles from "./message_text.module.css";

/** What somebody wrote: text, and nothing but text, with links where the text holds addresses. */
export const MessageText = memo(function MessageText({ text }: { text: string }) {
  return (
    <span className={styles.text} dir="auto">
      {splitLinks(text).map((piece, at) =>
        piece.href === undefined ? (
          <Fragment key={at}>{piece.text}</Fragment>
        ) : (
          <a
            key={at}
            className={styles.link}
            href={piece.href}
            title={piece.href}
            target="_blank"
            rel="noopener noreferrer nofollow"
          >
            {piece.text}
          </a>
        ),
      )}
    </span>
  );
});
