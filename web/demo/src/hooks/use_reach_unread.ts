import type { Channel, ChannelView, MessagesView } from "@parlour/client";
import { useEffect, useRef, useState } from "react";

/** As many as the server gives at once. */
const PAGE_MAX = 100;
/** What was read before the unread ones is worth seeing, too. */
const READ_ABOVE = 10;

/**
 * Loads what one has not read, as far as one page reaches, before the list is shown: it opens at the first of
 * these messages. Answers whether that is done.
 */
export function useReachUnread(channel: Channel, view: ChannelView, messages: MessagesView): boolean {
  const [reached, setReached] = useState(false);
  const asked = useRef(false);
  const loaded = view.status === "ready" && messages.loading !== "first";
  const oldest = messages.messages.find((entry) => entry.status === "sent")?.message.seq;
  const misses = view.unread > 0 && messages.hasOlder && oldest !== undefined && oldest > view.lastReadSeq;

  useEffect(() => {
    if (!loaded || reached) return;
    if (!misses) setReached(true);
    else if (!asked.current) {
      asked.current = true;
      const done = () => setReached(true);
      channel.loadOlder(Math.min(PAGE_MAX, view.unread + READ_ABOVE)).then(done, done);
    }
  }, [channel, loaded, misses, reached, view.unread]);

  return reached || (loaded && !misses);
}
