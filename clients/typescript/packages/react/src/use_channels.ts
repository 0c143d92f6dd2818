import type { ChannelListQuery, ChannelListView } from "@parlour/client";
import { useMemo } from "react";

import { useClient } from "./provider.js";
import { useObservable } from "./use_observable.js";

/** The channels, and how to have more of them. */
export type UseChannels = ChannelListView & {
  /** Loads the next page, if there is one. */
  loadMore: () => Promise<void>;
  /** Asks for the first page again. */
  reload: () => Promise<void>;
};

const LOADING: ChannelListView = Object.freeze({ channels: [], hasMore: false, loading: true });

/** Channels that match, live: those of which the user is a member where no filter is given. */
export function useChannels(query?: ChannelListQuery): UseChannels {
  const client = useClient();
  const list = client.channels(query);
  const view = useObservable(list.view, LOADING);
  return useMemo(() => ({ ...view, loadMore: () => list.loadMore(), reload: () => list.reload() }), [view, list]);
}
