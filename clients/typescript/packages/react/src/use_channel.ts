import type { Channel, ChannelView } from "@parlour/client";
import { useEffect, useMemo } from "react";

import { useClient } from "./provider.js";
import { useObservable } from "./use_observable.js";

/** What is known of a channel, and its handle. */
export type UseChannel = ChannelView & { channel: Channel | undefined };

const NO_CHANNEL: ChannelView = Object.freeze({ status: "idle", members: [], reads: [], unread: 0, lastReadSeq: 0 });

/** A channel by its full name, `type:id`, or by both. It is loaded and kept live while the component is mounted. */
export function useChannel(name: string | { type: string; id: string } | undefined): UseChannel {
  const client = useClient();
  const cid = typeof name === "object" ? `${name.type}:${name.id}` : name;
  const channel = useMemo(() => (cid === undefined ? undefined : client.channelAt(cid)), [client, cid]);
  useEffect(() => channel?.open(), [channel]);
  const view = useObservable(channel?.view, NO_CHANNEL);
  return useMemo(() => ({ ...view, channel }), [view, channel]);
}
