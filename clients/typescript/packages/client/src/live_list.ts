// A query of channels, kept current: the channels that match, the latest activity first.
//
// The server alone knows what matches a filter. Where the answer may have changed, the first page is asked for
// again; what is known of a channel by itself (its order, that it is gone) needs no question.

import type { Calls } from "./calls.js";
import type { ParlourError } from "./errors.js";
import type { LiveChannel } from "./live_channel.js";
import { Source } from "./observable.js";
import type { QueryChannels } from "./wire.js";

/** Which channels, and in which order; see `POST /v1/channels`. */
export type ChannelListQuery = Pick<QueryChannels, "filter" | "sort" | "limit">;

/** What is known of a list, by the names of its channels. */
export interface CidsView {
  cids: readonly string[];
  /** Whether there are more to load. */
  hasMore: boolean;
  loading: boolean;
  /** Why the last load failed. */
  error?: ParlourError;
}

export const NO_CIDS: CidsView = Object.freeze({ cids: [], hasMore: false, loading: false });
/** When something changed that may change the answer, it is asked for after this. */
const RELOAD_AFTER_MS = 200;
const RETRY_MS = 5_000;
const LIMIT = 20;
/** Messages that each channel comes with: enough to open it without another call. */
const MESSAGES = 30;

/** What a list needs of the driver. */
interface Host {
  readonly userId: string;
  readonly calls: Calls;
  channel(cid: string): LiveChannel;
}

export class LiveList {
  readonly view = new Source<CidsView>({ ...NO_CIDS, loading: true }, (watched) => {
    if (watched && !this.#begun) void this.reload().catch(() => {});
  });
  readonly #host: Host;
  readonly #query: ChannelListQuery;
  #begun = false;
  /** Channels that were heard of since the last answer was asked for. */
  #heard = new Set<string>();
  /** Channels that were asked about and do not match: their messages are no reason to ask again. */
  #notHere = new Set<string>();
  #next: string | undefined;
  #running: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor(host: Host, query: ChannelListQuery) {
    this.#host = host;
    this.#query = query;
  }

  /** Asks for the first page again. Channels beyond it stay until they are known to be gone. */
  reload(): Promise<void> {
    this.#begun = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return this.#load(undefined);
  }

  /** Loads the next page, if there is one. */
  loadMore(): Promise<void> {
    return this.#next === undefined ? Promise.resolve() : this.#load(this.#next);
  }

  /** Something happened in a channel. */
  heardOf(cid: string): void {
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
    this.view.set(NO_CIDS);
  }

  #reloadSoon(ms: number): void {
    // What waits already is not put off: else a channel where much happens would keep it waiting.
    if (!this.#begun || this.#ended || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => void this.reload().catch(() => {}), ms);
  }

  #load(next: string | undefined): Promise<void> {
    if (this.#running) return this.#running.catch(() => {}).then(() => this.#load(next));
    const { filter, sort, limit } = this.#query;
    const mine = { members: { $in: [this.#host.userId] } };
    const query: QueryChannels = { filter: filter ?? mine, limit: limit ?? LIMIT, messages: MESSAGES };
    if (sort) query.sort = sort;
    if (next !== undefined) query.next = next;
    const heard = this.#heard;
    this.#heard = new Set();
    const { error: _, ...view } = this.view.get();
    this.view.set({ ...view, loading: true });
    const running = this.#host.calls.queryChannels(query).then(
      (answer) => {
        this.#running = undefined;
        for (const state of answer.channels) this.#host.channel(state.channel.cid).adopt(state, MESSAGES);
        const found = answer.channels.map(({ channel }) => channel.cid);
        const known = this.view.get().cids;
        // A first page that is the last one is the whole list.
        const whole = next === undefined && answer.next === undefined;
        const first = next === undefined ? found : known;
        const rest = next === undefined ? known : found;
        const cids = whole ? found : [...first, ...rest.filter((cid) => !first.includes(cid))];
        if (next !== undefined || cids.length <= found.length) this.#next = answer.next;
        for (const cid of heard) if (!cids.includes(cid)) this.#notHere.add(cid);
        this.view.set({ cids, hasMore: this.#next !== undefined, loading: false });
        this.#order();
      },
      (error: ParlourError) => {
        this.#running = undefined;
        this.view.patch({ loading: false, error });
        if (error.retryable) this.#reloadSoon((error.retryAfter ?? 0) * 1_000 + RETRY_MS * Math.random());
        throw error;
      },
    );
    this.#running = running;
    return running;
  }

  /** Puts the latest activity first, where that is the order. */
  #order(): void {
    const [by, ...more] = this.#query.sort ?? [];
    const isByActivity = !by || (by.field === "last_message_at" && by.direction !== 1 && more.length === 0);
    if (!isByActivity) return;
    const at = (cid: string) => {
      const data = this.#host.channel(cid).view.get().data;
      return Date.parse(data?.last_message_at ?? data?.created_at ?? "") || 0;
    };
    const { cids } = this.view.get();
    const ordered = [...cids].sort((a, b) => at(b) - at(a));
    if (ordered.some((cid, index) => cid !== cids[index])) this.view.patch({ cids: ordered });
  }
}
