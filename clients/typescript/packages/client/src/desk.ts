// What goes on beside a user's connection: calls, messages on their way, and unread counts.
//
// Loaded while the first connection is being opened, since nothing of it is needed before the server has answered;
// what the connection brings meanwhile is kept for it. Not here: what the app looks at (live.ts).

import type { Endpoint } from "./address.js";
import { type Ask, type Authorize, caller } from "./calls.js";
import type { Output } from "./connection.js";
import type { Driver } from "./driver.js";
import { channelState, unread } from "./endpoints.js";
import { isGone, type ParlourError, retryAfterMs } from "./errors.js";
import type { Source } from "./observable.js";
import { type Outbox, outboxOf } from "./outbox.js";
import { ALL, Tally } from "./unread.js";
import type { ChannelState, Me, UnreadTotals } from "./wire.js";

/** Loads of unread counts at the same time, at most. */
const LOADS_MAX = 4;
/** When a load failed, the next one is tried after up to this, or after what the server asks for. */
const LOAD_RETRY_MS = 4_000;

export class Desk {
  readonly ask: Ask;
  readonly outbox: Outbox;
  readonly tally = new Tally();
  readonly #driver: Driver;
  #loads = 0;
  #loadsFrom = 0;

  constructor(driver: Driver, endpoint: Endpoint, authorize: Authorize) {
    this.#driver = driver;
    this.ask = caller(endpoint, authorize);
    this.tally.clear(driver.userId);
    this.outbox = outboxOf([endpoint.url, endpoint.appKey, driver.userId].join("\n"));
    this.outbox.changed = (event) => {
      driver.show(event);
      driver.listeners.tell(event);
    };
    this.outbox.attach({ ask: this.ask, ready: driver.ready });
  }

  /** Takes what the machine said. */
  take(output: Output): void {
    switch (output.type) {
      case "ready":
      case "renewed":
        this.#loadsFrom = 0;
        this.tally.ready(output.ready);
        break;
      case "deliver":
        this.tally.event(output.event);
        break;
      case "reset":
        this.tally.reset(output.topic, output.reason, output.head);
    }
  }

  /** Shows the counts after everything that happened, and while connected loads what is missing for them. */
  settle(isConnected: boolean): void {
    if (isConnected) this.#loadUnread();
    const counts = this.tally.counts();
    const { me, unreadCounts } = this.#driver;
    unreadCounts.patch(counts);
    const { totalUnreadCount: total_unread_count, unreadChannels: unread_channels } = counts;
    if (me.get()) (me as Source<Me>).patch({ total_unread_count, unread_channels });
  }

  /** When to settle again. */
  get deadline(): number {
    return this.tally.hasWants() ? this.#loadsFrom : Infinity;
  }

  end(): void {
    this.outbox.detach();
    this.tally.clear();
  }

  #loadUnread(): void {
    while (this.#loads < LOADS_MAX && performance.now() >= this.#loadsFrom) {
      const want = this.tally.wants();
      if (want === undefined) return;
      this.#loads++;
      void this.#load(want).then(() => {
        this.#loads--;
        this.#driver.show({ type: "counted" });
        this.#driver.settle();
      });
    }
  }

  async #load(want: string): Promise<void> {
    try {
      const { channels, unread: one } = await this.ask<Partial<UnreadTotals & ChannelState>>(
        want === ALL ? unread : channelState(want, 0),
      );
      this.tally.loaded(want, channels ?? (one ? [one] : []));
    } catch (thrown) {
      const error = thrown as ParlourError;
      if (isGone(error)) return this.tally.loaded(want, []);
      this.tally.loadFailed(want);
      this.#loadsFrom = performance.now() + retryAfterMs(error, LOAD_RETRY_MS);
    }
  }
}
