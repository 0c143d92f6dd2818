// What goes on beside a user's connection: calls, messages on their way, unread counts, who is there, and what the
// platform tells.
//
// Loaded while the first connection is being opened, since nothing of it is needed before the server has answered;
// what the connection brings meanwhile is kept for it. Not here: what the app looks at (live.ts).

import { attendance, changed, comesTo, present } from "./attendance.js";
import { bounded, type CallOptions, type Endpoint } from "./address.js";
import { isGone, retryAfterMs } from "./answers.js";
import { watchBrowser } from "./browser.js";
import { type Ask, type Authorize, caller } from "./calls.js";
import type { KnownUser } from "./client.js";
import type { Output } from "./connection.js";
import type { Driver } from "./driver.js";
import {
  channelState,
  deleteChannel,
  deleteMessage,
  distinctChannel,
  editMessage,
  getOrCreate,
  markRead,
  markUnread,
  me,
  members,
  message,
  messages,
  queryChannels,
  type Request,
  unread,
  updateChannel,
  updateMembers,
  updateUser,
  users,
} from "./endpoints.js";
import type { ParlourError } from "./errors.js";
import { type Source, until } from "./observable.js";
import { type KeptMessage, type Outbox, outboxOf } from "./outbox.js";
import type { TokenSource } from "./token.js";
import { ALL, Tally } from "./unread.js";
import type { ChannelState, Me, PresenceDigest, Ready, UnreadTotals } from "./wire.js";

/** Loads of unread counts at the same time, at most. */
const LOADS_MAX = 4;
/** Paused features that are remembered: far more than a server has. */
const PAUSES_MAX = 100;
/** When a load failed, the next one is tried after up to this, or after what the server asks for. */
const LOAD_RETRY_MS = 4_000;

/** Whom a token is of, as the server says. Nobody is made, counted or connected by it. */
export async function whoIs(endpoint: Endpoint, token: TokenSource, options?: CallOptions): Promise<KnownUser> {
  const ask = caller(endpoint, async (refused) => ({ token: await token.otherThan(refused) }));
  const { me: user } = await ask(me, options);
  // Who was never connected nor made is nobody yet but in the token.
  const id = user?.id ?? userOf(token.current!);
  if (!id) throw endpoint.error("token_missing", "the token names no user");
  return user ?? { id };
}

/** The calls that an app's client makes. */
const CALLS = {
  channelState,
  deleteChannel,
  deleteMessage,
  distinctChannel,
  editMessage,
  getOrCreate,
  markRead,
  markUnread,
  members,
  message,
  messages,
  queryChannels,
  updateChannel,
  updateMembers,
  updateUser,
  users,
};

/** Which call is meant. */
export type Wish<T> = (to: typeof CALLS) => Request<T>;

export class Desk {
  readonly ask: Ask;
  readonly outbox: Outbox;
  readonly tally = new Tally();
  readonly #driver: Driver;
  readonly #endpoint: Endpoint;
  /** Paused features, and until when. */
  readonly #pauses = new Map<string, number>();
  #arePausesNews = false;
  #pings = 0;
  #ponged = 0;
  #unwatch = () => {};
  #loads = 0;
  #loadsFrom = 0;

  constructor(driver: Driver, endpoint: Endpoint, authorize: Authorize) {
    this.#driver = driver;
    this.#endpoint = endpoint;
    this.ask = caller(endpoint, authorize);
    this.tally.clear(driver.userId);
    this.outbox = outboxOf([endpoint.url, endpoint.appKey, driver.userId].join("\n"));
  }

  /** Begins to send what waits, what an earlier page has kept before all else; and to listen to the browser. */
  begin(kept: readonly KeptMessage[], watchesBrowser: boolean): void {
    const { ask, outbox } = this;
    const driver = this.#driver;
    outbox.restore(kept);
    outbox.changed = (event) => {
      driver.show(event);
      driver.listeners.tell(event);
      driver.settle();
    };
    outbox.attach({ ask, ready: driver.ready, throttled: (forMs) => this.#pause("messages", forMs) });
    if (watchesBrowser) this.#unwatch = watchBrowser((news) => driver.input(news));
  }

  /** The round trip, in milliseconds. */
  ping(options: CallOptions | undefined): Promise<number> {
    const { connection, turns } = this.#driver;
    const id = ++this.#pings;
    const sentAt = performance.now();
    this.#driver.input({ type: "send", frame: { type: "ping", id } });
    const look = () => {
      const isUp = connection.get().state === "connected";
      if (!isUp) throw this.#endpoint.error("not_connected", "there is nothing to ping over");
      if (this.#ponged < id) return undefined;
      const rttMs = performance.now() - sentAt;
      connection.patch({ rttMs });
      return rttMs;
    };
    return bounded(this.#endpoint, "ping", options, (signal) => until(turns, look, signal));
  }

  async call<T>(wish: Wish<T>, options: CallOptions | undefined): Promise<T> {
    return this.ask(wish(CALLS), options);
  }

  /** Takes what the machine said. */
  take(output: Output): void {
    switch (output.type) {
      case "signal": {
        const { signal } = output;
        const { presence } = this.#driver;
        if (signal.type === "user.presence.changed") presence.set(changed(presence.get(), signal.users));
        if (signal.type === "user.presence.snapshot") presence.set(attendance(signal.users, signal.others));
        if (signal.type === "user.presence.digest") this.#compare(signal);
        break;
      }
      case "ready":
      case "renewed":
        this.#begin(output.ready);
        this.#loadsFrom = 0;
        this.tally.ready(output.ready);
        break;
      case "deliver":
        this.tally.event(output.event);
        break;
      case "pong":
        this.#ponged = output.id;
        break;
      case "throttled":
        this.#pause(output.feature, output.for_ms);
        break;
      case "reset":
        this.tally.reset(output.topic, output.reason, output.head);
    }
  }

  /** Shows the counts after everything that happened, and while connected loads what is missing for them. */
  settle(isConnected: boolean): void {
    if (isConnected) this.#loadUnread();
    this.#showPauses();
    const counts = this.tally.counts();
    const { me, unreadCounts } = this.#driver;
    unreadCounts.patch(counts);
    const { totalUnreadCount: total_unread_count, unreadChannels: unread_channels } = counts;
    if (me.get()) (me as Source<Me>).patch({ total_unread_count, unread_channels });
  }

  /** When to settle again. */
  get deadlines(): readonly number[] {
    return [this.tally.hasWants() ? this.#loadsFrom : Infinity, ...this.#pauses.values()];
  }

  /** Whether the server wants this feature left alone. */
  pauses(feature: string): boolean {
    return (this.#pauses.get(feature) ?? 0) > performance.now();
  }

  #pause(feature: string, retryAfterMs: number): void {
    if (this.#pauses.size < PAUSES_MAX || this.#pauses.has(feature)) {
      this.#pauses.set(feature, performance.now() + retryAfterMs);
    }
    this.#arePausesNews = true;
    this.#driver.listeners.tell({ type: "throttled", feature, retryAfterMs });
    this.#driver.settle();
  }

  #showPauses(): void {
    const now = performance.now();
    for (const [feature, until] of this.#pauses) {
      if (until > now) continue;
      this.#pauses.delete(feature);
      this.#arePausesNews = true;
    }
    if (!this.#arePausesNews) return;
    this.#arePausesNews = false;
    const throttled = [...this.#pauses].map(([feature, until]) => ({ feature, until: Math.round(Date.now() + until - now) }));
    this.#driver.connection.patch({ throttled: throttled.length ? throttled : undefined });
  }

  end(): void {
    this.#unwatch();
    this.outbox.detach();
    this.tally.clear();
  }

  /** Begins with who is there. */
  #begin({ presence: users = [], presence_others: others }: Ready): void {
    this.#driver.presence.set(attendance(users, others));
    if (users.length || others) this.#driver.listeners.tell({ type: "user.presence.snapshot", users, ...(others && { others }) });
  }

  /** Asks who is there where something of it was lost. */
  #compare(digest: PresenceDigest): void {
    const { presence } = this.#driver;
    if (!comesTo(presence.get(), digest)) this.#driver.input({ type: "send", frame: { type: "presence" } });
    // Those who left are remembered for a while, for when they were last seen; not for ever.
    presence.set(present(presence.get()));
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

/** The user that a token names, if it is a JWT with a user in it. Whether it is good, the server knows. */
function userOf(token: string): string | undefined {
  try {
    const { user_id, sub } = JSON.parse(atob(token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/")));
    return user_id ?? sub;
  } catch {
    return undefined;
  }
}
