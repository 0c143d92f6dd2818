import { usePresence, useTyping } from "@parlour/react";
import { useOnline } from "../hooks/use_online.js";
import { useOnlineCount } from "../hooks/use_online_count.js";
import { count, typingText } from "../logic/people.js";
import { lastSeen } from "../logic/times.js";
import { ChannelAvatar } from "./channel_avatar.js";
import styles from "./channel_header.module.css";
import type { OpenChannel } from "./channel_pane.js";
import { IconButton } from "./icon_button.js";

interface Props {
  open: OpenChannel;
  /** Only where the list is another screen. */
  onBack: (() => void) | undefined;
  onMembers: () => void;
}

/** Which channel this is, and who is there. */
export function ChannelHeader({ open, onBack, onMembers }: Props) {
  const { view, title, other, channel } = open;
  const online = useOnline(other?.id);
  const typing = typingText(useTyping(channel));
  return (
    <header className={styles.header}>
      {onBack && <IconButton label="Back to the chats" icon="back" size={24} onClick={onBack} />}
      <ChannelAvatar data={view.data} title={title} other={other} online={online} size={40} />
      <div className={styles.texts}>
        <h1 className={styles.title}>
          <bdi>{title}</bdi>
        </h1>
        <p className={styles.state} data-live={typing !== "" || online}>
          {typing || (other ? <Standing userId={other.id} /> : <Attendance open={open} />)}
        </p>
      </div>
      <IconButton label="Show members" icon="people" onClick={onMembers} />
    </header>
  );
}

function Standing({ userId }: { userId: string }) {
  const presence = usePresence(userId);
  if (presence?.online) return "Online";
  if (presence?.last_active) return lastSeen(new Date(presence.last_active), new Date());
  return "Offline";
}

function Attendance({ open: { view } }: { open: OpenChannel }) {
  const online = useOnlineCount(view.members);
  if (!view.data) return "";
  const kind = view.data.type === "livestream" ? "Livestream · " : "";
  const members = count(view.data.member_count, "member");
  return `${kind}${members}${online > 1 ? `, ${online.toLocaleString()} online` : ""}`;
}
