import { useOnline } from "../hooks/use_online.js";
import { ChannelAvatar } from "./channel_avatar.js";
import styles from "./beginning.module.css";
import type { OpenChannel } from "./channel_pane.js";

/** Stands where a conversation began: nothing is above it. */
export function Beginning({ open: { view, title, other } }: { open: OpenChannel }) {
  const online = useOnline(other?.id);
  return (
    <div className={styles.beginning}>
      <ChannelAvatar data={view.data} title={title} other={other} online={online} size={72} />
      <p className={styles.title}>
        <bdi>{title}</bdi>
      </p>
      <p className={styles.text}>
        {other ? "This is where your chat begins." : "This is where the channel begins."}
      </p>
    </div>
  );
}
