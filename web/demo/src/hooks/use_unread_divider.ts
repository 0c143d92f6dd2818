import type { ChannelView, MessagesView } from "@parlour/client";
import { useMemo, useState } from "react";
import { firstUnread } from "../logic/rows.js";

/**
 * The message that "New messages" stands above: the first one that was unread when the reader came to the
 * channel, or came back to it. It stays there while the reader is here, although all is read by then.
 */
export function useUnreadDivider(
  view: ChannelView,
  { messages, hasOlder }: MessagesView,
  me: string,
  visible: boolean,
): string | undefined {
  const [readUpTo, setReadUpTo] = useState(view.unread > 0 ? view.lastReadSeq : undefined);
  const [wasVisible, setWasVisible] = useState(visible);
  if (wasVisible !== visible) {
    setWasVisible(visible);
    if (visible && view.unread > 0) setReadUpTo(view.lastReadSeq);
  }
  return useMemo(
    () => (readUpTo === undefined ? undefined : firstUnread(messages, hasOlder, readUpTo, me)),
    [messages, hasOlder, readUpTo, me],
  );
}
