import type { Channel } from "@parlour/client";
import { useTyping } from "@parlour/react";
import { memo } from "react";
import { enter, go } from "../hooks/use_place.js";
import { useObservable } from "../hooks/use_observable.js";
import { useOnline } from "../hooks/use_online.js";
import { useToday } from "../hooks/use_today.js";
import { count, otherOne, titleOf, typingText } from "../logic/people.js";
import { previewOf } from "../logic/preview.js";
import { listTime } from "../logic/times.js";
import { ChannelAvatar } from "./channel_avatar.js";
import styles from "./channel_row.module.css";
import { PlaceLink } from "./place_link.js";
import { placeOf, type Session } from "./session.js";

interface Props {
  channel: Channel;
  session: Session;
  current: boolean;
}

/** A channel in the list: its name, what was said last, and how much of it one has not read. */
export const ChannelRow = memo(function ChannelRow({ channel, session, current }: Props) {
  const { me } = session;
  const view = useObservable(channel.view);
  const typing = typingText(useTyping(channel));
  useToday();
  const title = titleOf(view.data, view.members, me) || channel.id;
  const other = otherOne(view.data, view.members, me);
  const online = useOnline(other?.id);
  const at = view.lastMessage?.created_at ?? view.data?.last_message_at;

  return (
    <PlaceLink
      className={styles.row}
      to={placeOf(session, channel.cid)}
      by={session.place.channel === undefined ? enter : go}
      aria-current={current ? "page" : undefined}
      data-unread={view.unread > 0}
    >
      <ChannelAvatar data={view.data} title={title} other={other} online={online} />
      <span className={styles.texts}>
        <span className={styles.line}>
          <bdi className={styles.title}>{title}</bdi>
          {online && <span className="hidden-visually">, online</span>}
          {at && (
            <time className={styles.time} dateTime={at}>
              {listTime(new Date(at), new Date())}
            </time>
          )}
        </span>
        <span className={styles.line}>
          {typing ? (
            <span className={`${styles.preview} ${styles.typing}`}>{typing}</span>
          ) : (
            <bdi className={styles.preview}>{previewOf(view.lastMessage, me, other !== undefined)}</bdi>
          )}
          {view.unread > 0 && (
            <span className={styles.badge} role="img" aria-label={count(view.unread, "unread message")}>
              {view.unread > 99 ? "99+" : view.unread}
            </span>
          )}
        </span>
      </span>
    </PlaceLink>
  );
});
