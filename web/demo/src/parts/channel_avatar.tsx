import type { ChannelData, UserBrief } from "@parlour/client";
import { hueOf } from "../logic/people.js";
import avatar from "./avatar.module.css";
import { Avatar } from "./avatar.js";
import styles from "./channel_avatar.module.css";
import { Icon } from "./icon.js";

interface Props {
  data: ChannelData | undefined;
  title: string;
  /** The other one of a one-to-one chat. */
  other: UserBrief | undefined;
  online: boolean;
  size?: number;
}

/** A channel's picture: a person for a chat of two, else a square, so that groups are told from people. */
export function ChannelAvatar({ data, title, other, online, size = 44 }: Props) {
  if (other) return <Avatar user={other} size={size} online={online} />;
  const cid = data?.cid ?? "";
  return (
    <span
      className={`${avatar.avatar} ${avatar[`hue${hueOf(cid)}`]} ${styles.square}`}
      style={{ width: size, height: size, fontSize: size * 0.4 }}
      aria-hidden="true"
    >
      {data?.type === "livestream" ? (
        <Icon name="broadcast" size={Math.round(size * 0.55)} />
      ) : (
        ([...title.trim()][0] ?? "#").toUpperCase()
      )}
    </span>
  );
}
