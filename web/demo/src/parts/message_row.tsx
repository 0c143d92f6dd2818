import type { ListedMessage, UserBrief } from "@parlour/client";
import { memo } from "react";
import { emojiCount } from "../logic/emoji.js";
import { hueOf, nameOf } from "../logic/people.js";
import { clockTime } from "../logic/times.js";
import { Avatar } from "./avatar.js";
import { Icon } from "./icon.js";
import { MessageActions, type MessageDeeds } from "./message_actions.js";
import { MessageFailure } from "./message_failure.js";
import { MessageMeta } from "./message_meta.js";
import styles from "./message_row.module.css";
import { MessageText } from "./message_text.js";
import { Readers } from "./readers.js";

export interface MessageRowProps {
  entry: ListedMessage;
  own: boolean;
  /** The first and the last of a group of one sender. */
  first: boolean;
  last: boolean;
  /** Between two people nobody needs to be told who wrote. */
  direct: boolean;
  /** Everybody else has read it. */
  readByAll: boolean;
  /** Those whose reading ends here. */
  readers: readonly UserBrief[];
  /** Tab reaches this row, and what can be done with it. */
  focusable: boolean;
  editing: boolean;
  mayDelete: boolean;
  deeds: MessageDeeds;
}

/** One message. */
export const MessageRow = memo(function MessageRow(props: MessageRowProps) {
  const { entry, own, first, last, direct, readByAll, readers, focusable, editing, mayDelete, deeds } = props;
  const { message, status } = entry;
  if (message.type === "system") {
    return (
      <p className={styles.system} data-message-id={entry.id} tabIndex={focusable ? 0 : -1}>
        {message.text}
      </p>
    );
  }

  const deleted = message.type === "deleted";
  const emoji = deleted ? 0 : emojiCount(message.text);
  const name = own ? "You" : nameOf(message.user);
  const time = clockTime(new Date(message.created_at));
  return (
    <article
      className={styles.message}
      data-message-id={entry.id}
      data-own={own}
      data-first={first}
      data-last={last}
      data-status={status}
      aria-label={`${name}, ${time}`}
      tabIndex={focusable ? 0 : -1}
    >
      {!own && !direct && (
        <div className={styles.gutter}>{last && <Avatar user={message.user} size={30} />}</div>
      )}
      <div className={styles.column}>
        {first && !own && !direct && (
          <div className={styles.author} data-hue={hueOf(message.user.id)}>
            <bdi>{name}</bdi>
          </div>
        )}
        <div className={styles.line}>
          <div className={styles.bubble} data-emoji={emoji} data-deleted={deleted} data-editing={editing}>
            {deleted ? (
              <span className={styles.deleted}>
                <Icon name="trash" size={15} /> Message deleted
              </span>
            ) : message.text === "" ? (
              <span className={styles.deleted}>Attachment</span>
            ) : (
              <MessageText text={message.text} />
            )}
            <MessageMeta entry={entry} own={own} direct={direct} readByAll={readByAll} />
          </div>
          {!deleted && (
            <MessageActions
              entry={entry}
              own={own}
              mayDelete={mayDelete}
              focusable={focusable}
              deeds={deeds}
            />
          )}
        </div>
        {status === "failed" && <MessageFailure entry={entry} deeds={deeds} />}
        {!direct && readers.length > 0 && <Readers readers={readers} />}
      </div>
    </article>
  );
}, sameRow);

/** Lists of readers are made anew with every change; most are what they were. */
function sameRow(a: MessageRowProps, b: MessageRowProps): boolean {
  const { readers: before, ...rest } = a;
  const { readers: after } = b;
  return (
    (Object.keys(rest) as (keyof typeof rest)[]).every((key) => Object.is(a[key], b[key])) &&
    before.length === after.length &&
    before.every((reader, at) => reader === after[at])
  );
}
