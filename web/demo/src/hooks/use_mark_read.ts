import type { Channel, ChannelView } from "@parlour/client";
import { useEffect } from "react";

/** Marks the channel as read, as long as somebody `sees` its end. */
export function useMarkRead(channel: Channel, view: ChannelView, sees: boolean): void {
  // A livestream keeps no read state: its server would refuse.
  const keepsReads = view.membership !== undefined && channel.type !== "livestream";
  const newest = view.lastMessage?.seq ?? 0;
  useEffect(() => {
    if (!sees || !keepsReads || view.unread === 0) return;
    // What cannot be said now is said with the next message, or at the next look.
    channel.markRead().catch(() => undefined);
  }, [channel, sees, keepsReads, view.unread, newest]);
}
