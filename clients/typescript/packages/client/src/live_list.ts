// A query of channels, kept current: the channels that match, the latest activity first.
//
// The server alone knows what matches a filter. Where the answer may have changed, the first page is asked for
// again; what is known of a channel by itself (its order, that it is gone) needs no question.

import { retryAfterMs } from "./answers.js";
import type { ParlourError } from "./errors.js";
import type { Live } from "./live.js";
import { Source } from "./observable.js";
import { type CidsView, NO_CIDS, STATE_MESSAGES } from "./views.js";
import type { QueryChannels } from "./wire.js";

/** Which channels, and in which order; see `POST /v1/channels`. */
export type ChannelListQuery = Pick<QueryChannels, "filter" | "sort" | "limit">;

/** When something changed that may change the answer, it is asked for after this. */
const RELOAD_AFTER_MS = 200;
const RETRY_MS = 5_000;
const LIMIT = 20;

export class LiveList {
  readonly view = new Source<CidsView>(NO_CIDS, () => {
    if (!this.#begun) void this.reload();
  });
  readonly #live: Live;
  readonly #query: ChannelListQuery;
  #begun = false;
  /** When something last happened in each channel, in milliseconds since 1970. */
  readonly #active = new Map<string, number>();
  /** Channels that were heard of since the last answer was asked for. */
  #heard = new Set<string>();
  /** Channels that were asked about and do not match: their messages are no reason to ask again. */
  #notHere = new Set<string>();
  #next: string | undefined;
  #running = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  /** `query` as JSON. */
  constructor(live: Live, query: string) {
    this.#live = live;
    this.#query = JSON.parse(query) as ChannelListQuery;
  }

  /** Asks for the first page again. Channels beyond it stay until they are known to be gone. */
  reload(): Promise<void> {
    this.#begun = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return this.#load();
  }

  /** Loads the next page, if there is one. */
  async loadMore(): Promise<void> {
    if (this.#next) await this.#load(this.#next);
  }

  /** Something happened in a channel, at this time where it counts as activity. */
  heardOf(cid: string, at?: string): void {
    if (at) this.#active.set(cid, Date.parse(at));
    if (this.view.get().cids.includes(cid)) {
      this.#order();
    } else if (!this.#notHere.has(cid)) {
      this.#heard.add(cid);
      this.#reloadSoon(RELOAD_AFTER_MS);
    }
  }

  /** Other channels may match than did. */
  stale(): void {
    this.#notHere.clear();
    this.#reloadSoon(RELOAD_AFTER_MS);
  }

  gone(cid: string): void {
    const { cids } = this.view.get();
    if (cids.includes(cid)) this.view.patch({ cids: cids.filter((other) => other !== cid) });
  }

  /** The connection is there (again). */
  connected(): void {
    if (this.view.get().error) this.#reloadSoon(0);
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  #reloadSoon(ms: number): void {
    // What waits already is not put off: else a channel where much happens would keep it waiting.
    if (!this.#begun || this.#ended || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => void this.reload(), ms);
  }

  /** One after the other. A rejection that nobody handles is silent: the view says it. */
  #load(next?: string): Promise<void> {
    const load = this.#running.then(() => this.#ask(next));
    this.#running = load.catch(() => {});
    return load;
  }

  /** Asks for the first page, or for the next one. */
  async #ask(next: string | undefined): Promise<void> {
    const heard = this.#heard;
    this.#heard = new Set();
    this.view.patch({ loading: true, error: undefined });
    const filter = { members: { $in: [this.#live.driver.userId] } };
    const query = { filter, limit: LIMIT, ...this.#query, messages: STATE_MESSAGES, ...(next && { next }) };
    try {
      const answer = await this.#live.driver.ask((to) => to.queryChannels(query));
      if (this.#ended) return;
      for (const state of answer.channels) {
        const { cid, last_message_at, created_at } = state.channel;
        this.#active.set(cid, Math.max(Date.parse(last_message_at ?? created_at), this.#active.get(cid) ?? 0));
        this.#live.channel(cid).adopt(state);
      }
      const found = answer.channels.map(({ channel }) => channel.cid);
      const known = this.view.get().cids;
      // A first page that is the last one is the whole list.
      const kept = next || answer.next ? known : [];
      const cids = [...new Set(next ? [...kept, ...found] : [...found, ...kept])];
      if (next || cids.length <= found.length) this.#next = answer.next;
      for (const cid of heard) if (!cids.includes(cid)) this.#notHere.add(cid);
      this.view.patch({ cids, hasMore: this.#next !== undefined, loading: false });
      this.#order();
    } catch (thrown) {
      const error = thrown as ParlourError;
      if (!this.#ended) this.view.patch({ loading: false, error });
      if (error.retryable) this.#reloadSoon(retryAfterMs(error, RETRY_MS));
      throw error;
    }
  }

  /** Puts the latest activity first, where that is the order. */
  #order(): void {
    const [by, ...more] = this.#query.sort ?? [];
    const isByActivity = !by || (by.field === "last_message_at" && by.direction !== 1 && more.length === 0);
    if (!isByActivity) return;
    const at = (cid: string) => this.#active.get(cid) ?? 0;
    const { cids } = this.view.get();
    const ordered = [...cids].sort((a, b) => at(b) - at(a));
    if (ordered.some((cid, index) => cid !== cids[index])) this.view.patch({ cids: ordered });
  }
}
