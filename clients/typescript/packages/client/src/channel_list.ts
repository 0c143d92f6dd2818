// The app's handle of a live query of channels.

import type { Channel } from "./channel.js";
import type { Client } from "./client.js";
import type { Driver } from "./driver.js";
import type { ParlourError } from "./errors.js";
import type { LiveList } from "./live_list.js";
import type { Observable } from "./observable.js";
import { type CidsView, NO_CIDS, shown } from "./views.js";

export interface ChannelListView {
  /** In the order that was asked for; the latest activity first where none was. */
  channels: readonly Channel[];
  /** Whether there are more to load. */
  hasMore: boolean;
  loading: boolean;
  /** Why the last load failed. */
  error?: ParlourError | undefined;
}

export class ChannelList {
  /** Loads when it is first subscribed to, and is kept current from then on. */
  readonly view: Observable<ChannelListView>;
  readonly #list: () => Promise<LiveList>;

  /** @internal Made by `client.channels`. `query` as JSON. */
  constructor(client: Client, drivers: Observable<Driver | undefined>, query: string) {
    this.#list = async () => (await client.driver.look()).list(query);
    const cids = shown(drivers, (shown) => shown.list(query).view, NO_CIDS);
    let from: CidsView | undefined;
    let view: ChannelListView;
    this.view = {
      subscribe: cids.subscribe,
      get: () => {
        const current = cids.get();
        if (current !== from) {
          const { cids: names, ...rest } = current;
          const same = from?.cids === names;
          view = { ...rest, channels: same ? view.channels : names.map((cid) => client.channelAt(cid)) };
          from = current;
        }
        return view;
      },
    };
  }

  /** Loads the next page, if there is one. */
  async loadMore(): Promise<void> {
    return (await this.#list()).loadMore();
  }

  /** Asks for the first page again. */
  async reload(): Promise<void> {
    return (await this.#list()).reload();
  }
}
