import type {
  Attendance,
  Channel,
  ConnectionStatus,
  Me,
  MessagesView,
  Presence,
  UnreadCounts,
  UserBrief,
} from "@parlour/client";
import { useMemo } from "react";

import { useClient } from "./provider.js";
import { useObservable } from "./use_observable.js";

const IDLE: ConnectionStatus = Object.freeze({ state: "idle", uiStatus: "signed_out", attempt: 0 });
const NOTHING_UNREAD: UnreadCounts = Object.freeze({ totalUnreadCount: 0, unreadChannels: 0, settled: true });
const NO_MESSAGES: MessagesView = Object.freeze({
  messages: [],
  hasOlder: false,
  hasNewer: false,
  loading: undefined,
});
const NOBODY: readonly UserBrief[] = Object.freeze([]);

/** Where the connection stands; `uiStatus` is what a banner shows. */
export function useConnection(): ConnectionStatus {
  return useObservable(useClient().connection, IDLE);
}

/** The connected user's own view of itself. */
export function useMe(): Me | undefined {
  return useObservable(useClient().me, undefined);
}

/** The unread totals over all channels. */
export function useUnread(): UnreadCounts {
  return useObservable(useClient().unread, NOTHING_UNREAD);
}

/** A channel's messages, those on their way included. The channel has to be open: see `useChannel`. */
export function useMessages(channel: Channel | undefined): MessagesView {
  return useObservable(channel?.messages, NO_MESSAGES);
}

/** Others who type in a channel. */
export function useTyping(channel: Channel | undefined): readonly UserBrief[] {
  return useObservable(channel?.typing, NOBODY);
}

/** Whether a user is there, as far as the client's presence subscription tells. */
export function usePresence(userId: string | undefined): Presence | undefined {
  const client = useClient();
  const presence = useMemo(() => (userId === undefined ? undefined : client.presence(userId)), [client, userId]);
  return useObservable(presence, undefined);
}

/** Everybody who is there, as far as that subscription tells; where they are too many to be named, how many. */
export function useAttendance(): Attendance | undefined {
  return useObservable(useClient().attendance, undefined);
}
