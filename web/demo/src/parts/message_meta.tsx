import type { ListedMessage } from "@parlour/client";
import { clockTime, fullTime } from "../logic/times.js";
import { Icon, type IconName } from "./icon.js";
import styles from "./message_meta.module.css";

interface Props {
  entry: ListedMessage;
  own: boolean;
  direct: boolean;
  readByAll: boolean;
}

/** When it was said, whether it was edited since, and how far it has come. */
export function MessageMeta({ entry, own, direct, readByAll }: Props) {
  const { message, status } = entry;
  const at = new Date(message.created_at);
  const [icon, said] = standingOf(status, direct, readByAll);
  return (
    <span className={styles.meta}>
      {message.edited_at !== undefined && message.type !== "deleted" && (
        <span title={fullTime(new Date(message.edited_at))}>edited</span>
      )}
      <time dateTime={message.created_at} title={fullTime(at)}>
        {clockTime(at)}
      </time>
      {own && message.type !== "deleted" && (
        <span
          className={styles.standing}
          data-read={readByAll}
          data-status={status}
          role="img"
          aria-label={said}
          title={said}
        >
          <Icon name={icon} size={15} />
        </span>
      )}
    </span>
  );
}

function standingOf(
  status: ListedMessage["status"],
  direct: boolean,
  readByAll: boolean,
): [IconName, string] {
  if (status === "pending") return ["clock", "Sending"];
  if (status === "failed") return ["alert", "Not sent"];
  return readByAll ? ["checks", direct ? "Read" : "Read by all"] : ["check", "Sent"];
}
