// The app's handle of a live query of channels.

import type { Channel } from "./channel.js";
import type { Driver } from "./driver.js";
import type { ParlourError } from "./errors.js";
import { type ChannelListQuery, type CidsView, type LiveList, NO_CIDS } from "./live_list.js";
import { type Observable, Source, switched } from "./observable.js";

export interface ChannelListView {
  /** In the order that was asked for; the latest activity first where none was. */
  channels: readonly Channel[];
  /** Whether there are more to load. */
  hasMore: boolean;
  loading: boolean;
  /** Why the last load failed. */
  error?: ParlourError;
}

const NO_LIST = new Source<CidsView>({ ...NO_CIDS, loading: true });

export class ChannelList {
  /** Loads when it is first subscribed to, and is kept current from then on. */
  readonly view: Observable<ChannelListView>;
  readonly #list: () => LiveList;

  /** @internal Made by `client.channels`. */
  constructor(
    drivers: Observable<Driver | undefined>,
    driver: () => Driver,
    query: ChannelListQuery,
    channelAt: (cid: string) => Channel,
  ) {
    this.#list = () => driver().list(query);
    const cids = switched(drivers, (driver) => driver?.list(query).view ?? NO_LIST);
    let from: CidsView | undefined;
    let view: ChannelListView;
    this.view = {
      subscribe: cids.subscribe,
      get: () => {
        const current = cids.get();
        if (current !== from) {
          const { cids: names, ...rest } = current;
          const same = from?.cids === names;
          view = { ...rest, channels: same ? view.channels : names.map(channelAt) };
          from = current;
        }
        return view;
      },
    };
  }

  /** Loads the next page, if there is one. */
  async loadMore(): Promise<void> {
    return this.#list().loadMore();
  }

  /** Asks for the first page again. */
  async reload(): Promise<void> {
    return this.#list().reload();
  }
}
