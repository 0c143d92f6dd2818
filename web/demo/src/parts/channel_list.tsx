import { useChannels } from "@parlour/react";
import type { Channel } from "@parlour/client";
import { useCallback, useMemo, useRef } from "react";
import { useArrowKeys } from "../hooks/use_arrow_keys.js";
import { useWhenSeen } from "../hooks/use_when_seen.js";
import { sentence, titleOf } from "../logic/people.js";
import styles from "./channel_list.module.css";
import { ChannelRow } from "./channel_row.js";
import { useSession } from "./session.js";

/** The channels that one is a member of, the latest activity first. */
export function ChannelList({ filter }: { filter: string }) {
  const session = useSession();
  const { me } = session;
  const query = useMemo(() => ({ filter: { members: { $in: [me] } }, limit: 30 }), [me]);
  const { channels, hasMore, loading, error, loadMore } = useChannels(query);
  const onKeyDown = useArrowKeys("a");
  const end = useRef<HTMLDivElement>(null);
  const more = useCallback(() => void loadMore().catch(() => undefined), [loadMore]);
  useWhenSeen(end, hasMore && !loading, more);

  const wanted = filter.trim().toLowerCase();
  const shown = channels.filter((channel) => matches(channel, wanted, me));
  return (
    <div className={styles.scroller} aria-busy={loading}>
      <ul className={styles.list} onKeyDown={onKeyDown}>
        {shown.map((channel) => (
          <li key={channel.cid}>
            <ChannelRow channel={channel} session={session} current={channel.cid === session.place.channel} />
          </li>
        ))}
      </ul>
      {loading && channels.length === 0 && <Skeleton />}
      {!loading && !error && shown.length === 0 && (
        <p className={styles.note}>
          {wanted === "" ? "No chats yet. Start the first one." : "No chat is called so."}
        </p>
      )}
      {error && (
        <p className={styles.note} role="alert">
          {sentence(error.message)}
        </p>
      )}
      <div ref={end} className={styles.end} />
    </div>
  );
}

function matches(channel: Channel, wanted: string, me: string): boolean {
  if (wanted === "") return true;
  const { data, members } = channel.view.get();
  return titleOf(data, members, me).toLowerCase().includes(wanted);
}

function Skeleton() {
  return (
    <div className={styles.skeleton} aria-hidden="true">
      {[64, 44, 56, 38, 50].map((width) => (
        <div key={width} className={styles.ghost}>
          <span />
          <span style={{ width: `${width}%` }} />
        </div>
      ))}
    </div>
  );
}
