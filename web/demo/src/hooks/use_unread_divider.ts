import type { ChannelView, ListedMessage } from "@parlour/client";
import { useMemo, useState } from "react";
import { firstUnread } from "../logic/rows.js";

/**
 * The message that "New messages" stands above: the first one that was unread when the reader came to the channel, or
 * came back to it. It stays there while the reader is here, although all is read by then.
 */
export function useUnreadDivider(
  view: ChannelView,
  entries: readonly ListedMessage[],
  me: string,
  attention: boolean,
): string | undefined {
  const [readUpTo, setReadUpTo] = useState(view.unread > 0 ? view.lastReadSeq : undefined);
  const [attended, setAttended] = useState(attention);
  if (attended !== attention) {
    setAttended(attention);
    if (attention && view.unread > 0) setReadUpTo(view.lastReadSeq);
  }
  return useMemo(
    () => (readUpTo === undefined ? undefined : firstUnread(entries, readUpTo, me)),
    [entries, readUpTo, me],
  );
}
