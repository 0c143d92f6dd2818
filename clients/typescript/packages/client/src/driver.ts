// One user's time on this page: the machine of connection.ts with its transports, its timer, its calls, and what
// the client knows by itself (the user, unread counts, who types, who is there, channels, lists).
//
// Made by `connectUser`, over with `disconnectUser`, never for another user. Not here: which clients share it.

import { type Authority, Calls, connectUrl, type Endpoint } from "./calls.js";
import { Connection, type ConnectionConfig, type FailedWhy, type Input, type Output, type State } from "./connection.js";
import { Dial, MEANS_TO_RESUME, type WebSocketConstructor } from "./dial.js";
import { type ClientErrorCode, ParlourError, parlourError } from "./errors.js";
import { type ClientEvent, Listeners } from "./events.js";
import { type Host, LiveChannel } from "./live_channel.js";
import { type ChannelListQuery, LiveList } from "./live_list.js";
import { Source, until } from "./observable.js";
import type { Outbox } from "./outbox.js";
import { PLATFORM } from "./platform.js";
import { type ConnectionStatus, IDLE } from "./status.js";
import { type TokenProvider, TokenSource } from "./token.js";
import { Tally, type UnreadCounts } from "./unread.js";
import type { ErrorBody, Event, EventFrame, Me, Presence, Ready, ResetReason, Signal, Unread, UserBrief, UserInput } from "./wire.js";

/** Loads of unread counts at the same time, at most. */
const LOADS_MAX = 4;
/** When a load failed, the next one is tried after up to this, or after what the server asks for. */
const LOAD_RETRY_MS = 4_000;

/** Whether calls go through: once the server has answered for the user, also while the connection is away. */
type Stage = "waiting" | "ready" | ParlourError;

interface Waiter<T> {
  resolve(value: T): void;
  reject(error: ParlourError): void;
}

export interface DriverOptions {
  userId: string;
  endpoint: Endpoint;
  webSocket: WebSocketConstructor;
  config: ConnectionConfig;
  outbox: Outbox;
}

export const NOTHING_UNREAD: UnreadCounts = Object.freeze({
  totalUnreadCount: 0,
  unreadChannels: 0,
  settled: true,
});

export class Driver implements Host {
  readonly userId: string;
  readonly calls: Calls;
  readonly outbox: Outbox;
  readonly connection = new Source<ConnectionStatus>(IDLE);
  readonly me = new Source<Me | undefined>(undefined);
  readonly unreadCounts = new Source<UnreadCounts>(NOTHING_UNREAD);
  readonly presence = new Source<ReadonlyMap<string, Presence>>(new Map());
  readonly listeners = new Listeners();
  /** Resolves when the user has left and the socket is gone. */
  readonly gone: Promise<void>;
  #resolveGone = () => {};
  #options: DriverOptions;
  #machine: Connection;
  #dials = new Map<number, Dial>();
  #newestDial = 0;
  #token: TokenSource | undefined;
  /** What is wished, while another user's socket is still closing. */
  #held: { user: UserInput; wish: "up" | "down" } | undefined;
  #stage = new Source<Stage>("waiting");
  #tally = new Tally();
  #channels = new Map<string, LiveChannel>();
  #lists = new Map<string, LiveList>();
  #recoveries = new Source(0);
  #epoch: string | undefined;
  #freshReady: Me | undefined;
  #wasUp = false;
  #downSince: number | undefined;
  #uiChangesAt: number | undefined;
  #loads = 0;
  #loadsFrom = 0;
  #pings = new Map<number, Waiter<number> & { sentAt: number }>();
  #nextPing = 1;
  #waitingUp = new Set<Waiter<Me>>();
  #waitingDown: { newest: number; resolve: () => void }[] = [];
  #inputs: Input[] = [];
  #busy = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #start = performance.now();
  #startedAt = Date.now();
  #life: "begun" | "leaving" | "over" = "begun";
  #unwatchPlatform = () => {};
  #unsubscribeOutbox: () => void;

  constructor(options: DriverOptions) {
    const { userId, endpoint, config, outbox } = options;
    this.#options = options;
    this.userId = userId;
    this.outbox = outbox;
    this.#machine = new Connection(config);
    this.#tally.clear(userId);
    this.calls = new Calls(endpoint, (refused, signal) => this.#authorize(refused, signal));
    this.gone = new Promise((resolve) => (this.#resolveGone = resolve));
    outbox.onSent = (message) => {
      this.#channels.get(message.cid)?.stored(message);
      this.#tell({ type: "outbox.changed", cid: message.cid, id: message.id, status: "sent", message });
    };
    outbox.onChanged = ({ cid, id, error }) =>
      this.#tell({ type: "outbox.changed", cid, id, ...(error ? { status: "failed", error } : { status: "pending" }) });
    this.#unsubscribeOutbox = outbox.entries.subscribe(() => {
      for (const channel of this.#channels.values()) channel.showMessages();
    });
  }

  get isLeaving(): boolean {
    return this.#life !== "begun";
  }

  // What the app wishes.

  /** Be connected as the user, with these fields; `after`: not before this. */
  connectUser(user: UserInput, token: TokenProvider, after?: Promise<unknown>): void {
    if (this.#held) {
      this.#held = { user, wish: "up" };
    } else if (this.#token && this.#isUnderWay()) {
      this.#input({ type: "connect_user", user });
    } else {
      const { endpoint } = this.#options;
      this.#token = new TokenSource(token, endpoint.callTimeoutMs, endpoint.url);
      if (this.#stage.get() !== "ready") this.#stage.set("waiting");
      if (!after) return this.#begin(user);
      this.#held = { user, wish: "up" };
      this.connection.set({ ...IDLE, state: "connecting", attempt: 1 });
      void after.then(() => {
        const { user, wish } = this.#held!;
        this.#held = undefined;
        if (this.#life !== "begun") return this.#settle();
        this.#begin(user);
        if (wish === "down") this.#input({ type: "disconnect" });
      });
    }
  }

  #begin(user: UserInput): void {
    this.outbox.attach({
      send: (cid, draft) => this.calls.sendMessage(cid, draft),
      recoveries: this.#recoveries,
    });
    this.#unwatchPlatform();
    this.#input({ type: "connect_user", user });
    this.#unwatchPlatform = PLATFORM.watch(
      (state) => this.#input({ type: "app", state }),
      (level) => this.#input({ type: "network", level }),
    );
  }

  connect(): void {
    if (this.#stage.get() instanceof ParlourError) this.#stage.set("waiting");
    if (this.#held) this.#held.wish = "up";
    this.#input({ type: "connect" });
  }

  /** Resolves when the connection is up. */
  up(signal: AbortSignal): Promise<Me> {
    const me = this.me.get();
    if (me && this.#machine.state().type === "connected") return Promise.resolve(me);
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      this.#waitingUp.add(waiter);
      signal.addEventListener("abort", () => this.#waitingUp.delete(waiter), { once: true });
    });
  }

  /** Why `up` takes so long. */
  whyNotUp(): ParlourError {
    const { cause } = this.connection.get();
    const unreached = cause === "transport_closed" || cause === "dial_timeout" || cause === "dead_link";
    return unreached || cause === "network"
      ? this.#made("network", "the server could not be reached yet; still dialling")
      : this.#made("timeout", "the connection is not up yet; still dialling");
  }

  /** Closes the connection and keeps the user. */
  disconnect(): Promise<void> {
    const down = this.#down();
    if (this.#held) this.#held.wish = "down";
    this.#input({ type: "disconnect" });
    return down;
  }

  /** Closes the connection, goes offline at once and forgets the user. */
  disconnectUser(): Promise<void> {
    if (this.#life === "begun") {
      this.#life = "leaving";
      this.#end(this.#made("not_logged_in", "the user has left"));
      this.#input({ type: "disconnect_user" });
    }
    return this.gone;
  }

  /** Nobody holds this any more: closes the socket, and does not log out. */
  drop(): void {
    if (this.#life === "begun") this.#end(this.#made("cancelled", "the client was closed"));
    this.#life = "over";
    clearTimeout(this.#timer);
    for (const dial of this.#dials.values()) dial.close(MEANS_TO_RESUME);
    this.#resolveGone();
  }

  ping(signal: AbortSignal): Promise<number> {
    if (this.#machine.state().type !== "connected") {
      return Promise.reject(this.#made("not_connected", "there is no connection to ping over"));
    }
    const id = this.#nextPing++;
    const pong = new Promise<number>((resolve, reject) =>
      this.#pings.set(id, { resolve, reject, sentAt: performance.now() }),
    );
    signal.addEventListener("abort", () => this.#pings.delete(id), { once: true });
    this.#input({ type: "send", frame: { type: "ping", id } });
    return pong;
  }

  input(input: Input): void {
    this.#input(input);
  }

  // What is known.

  channel(cid: string): LiveChannel {
    let channel = this.#channels.get(cid);
    if (!channel) {
      channel = new LiveChannel(this, cid);
      this.#channels.set(cid, channel);
    }
    return channel;
  }

  list(query: ChannelListQuery): LiveList {
    const key = JSON.stringify([query.filter, query.sort, query.limit]);
    let list = this.#lists.get(key);
    if (!list) {
      list = new LiveList(this, query);
      this.#lists.set(key, list);
    }
    return list;
  }

  unread(cid: string): Unread | undefined {
    return this.#tally.channel(cid);
  }

  seen(unread: Unread): void {
    this.#tally.seen(unread);
    this.#settle();
  }

  stale(): void {
    for (const list of this.#lists.values()) list.stale();
  }

  watch(cid: string, after: number): void {
    this.#input({ type: "watch", topic: `channel:${cid}`, after });
  }

  unwatch(cid: string): void {
    this.#input({ type: "unwatch", topic: `channel:${cid}` });
  }

  brief(): UserBrief {
    const { name, image }: Partial<Me> = this.me.get() ?? {};
    const brief: UserBrief = { id: this.userId };
    if (typeof name === "string") brief.name = name;
    if (typeof image === "string") brief.image = image;
    return brief;
  }

  // What the machine says.

  #now(): number {
    return Math.floor(performance.now() - this.#start);
  }

  /** Takes an input after those that are being taken: a listener may wish something while it is told. */
  #input(input: Input): void {
    if (this.#life === "over") return;
    this.#inputs.push(input);
    if (this.#busy) return;
    this.#busy = true;
    for (let next = this.#inputs.shift(); next; next = this.#inputs.shift()) {
      for (const output of this.#machine.handle(this.#now(), Math.random(), next)) this.#output(output);
    }
    this.#busy = false;
    this.#settle();
  }

  #output(output: Output): void {
    switch (output.type) {
      case "open":
        this.#newestDial = output.dial;
        this.#dials.set(
          output.dial,
          new Dial(output.dial, connectUrl(this.#options.endpoint.url), this.#options.webSocket, (input) => {
            if (input.type === "closed") this.#dials.delete(input.dial);
            this.#input(input);
          }),
        );
        break;
      case "transmit":
        this.#dials.get(output.dial)?.transmit(output.frame);
        break;
      case "close":
        this.#dials.get(output.dial)?.close(output.code);
        break;
      case "fetch_token":
        void this.#fetchToken(output.fetch, output.refused ?? undefined);
        break;
      case "ready":
        this.#ready(output.ready);
        break;
      case "deliver":
        this.#deliver(output.event);
        break;
      case "signal":
        this.#signal(output.signal);
        break;
      case "reset":
        this.#reset(output.topic, output.reason, output.head);
        break;
      case "refused":
        this.#tell({
          type: "refused",
          error: this.#error(output.error),
          ...(output.topic !== null && { topic: output.topic }),
        });
        break;
      case "pong": {
        const ping = this.#pings.get(output.id);
        this.#pings.delete(output.id);
        ping?.resolve(performance.now() - ping.sentAt);
        break;
      }
      case "throttled":
        this.#tell({ type: "throttled", feature: output.feature, retryAfterMs: output.for_ms });
        break;
      case "changed": {
        const from = this.connection.get();
        const { cause, code } = output.transition;
        this.#publish({ cause, ...(code !== undefined && { code }) });
        this.#tell({ type: "connection.changed", from, to: this.connection.get() });
        break;
      }
    }
  }

  async #fetchToken(fetch: number, refused: string | undefined): Promise<void> {
    const source = this.#token!;
    try {
      // A call may have got another one meanwhile.
      const token = await (refused === undefined ? source.fresh() : source.otherThan(refused));
      this.#input({ type: "token_fetched", fetch, token });
    } catch (error) {
      const { message, retryable } = error as ParlourError;
      this.#input({ type: "token_failed", fetch, permanent: !retryable, message });
    }
  }

  #ready(ready: Ready): void {
    const otherLog = this.#epoch !== undefined && this.#epoch !== ready.epoch;
    this.#epoch = ready.epoch;
    this.#tally.ready(ready);
    this.#loadsFrom = 0;
    this.#setPresence(ready.presence ?? [], new Map());
    this.#stage.set("ready");
    this.connection.patch({ connectionId: ready.connection_id });
    this.#setMe(ready.me);
    this.#freshReady = this.me.get();
    const downtimeMs = this.#downSince === undefined ? 0 : this.#now() - this.#downSince;
    this.#downSince = undefined;
    if (this.#wasUp) this.#tell({ type: "connection.recovered", resumed: ready.resumed, downtimeMs });
    this.#wasUp = true;
    if (ready.presence?.length) this.#tell({ type: "user.presence.snapshot", users: ready.presence });
    for (const channel of this.#channels.values()) {
      channel.showUnread();
      // Also those that no reset will name, because no event of theirs was heard.
      if (otherLog) channel.reset("other_epoch");
      channel.connected();
    }
    for (const list of this.#lists.values()) list.connected();
    this.#recoveries.set(this.#recoveries.get() + 1);
  }

  #deliver(frame: EventFrame): void {
    this.#tally.event(frame);
    const { event, topic, seq } = frame;
    const cid = cidOf(topic);
    if (cid !== undefined) {
      const channel = this.#channels.get(cid);
      channel?.event(frame);
      channel?.showUnread();
      if (event.type === "channel.deleted") this.#gone(cid);
      else if (event.type === "message.new" || event.type === "channel.updated") this.#heardOf(cid);
    } else {
      this.#ownEvent(event);
    }
    this.#tell({ ...event, topic, seq });
  }

  /** Takes an event of the user's own topic. */
  #ownEvent(event: Event): void {
    switch (event.type) {
      case "notification.added_to_channel":
      case "notification.removed_from_channel":
        if (event.type === "notification.removed_from_channel") this.#gone(event.cid);
        this.#channels.get(event.cid)?.membershipChanged();
        this.stale();
        break;
      case "notification.mark_read":
        this.#channels.get(event.cid)?.showUnread();
        break;
      case "user.updated": {
        const { devices = [], mutes = [], total_unread_count, unread_channels } = this.me.get()!;
        if (event.user.id === this.userId) {
          this.#setMe({ ...event.user, devices, mutes, total_unread_count, unread_channels });
        }
      }
    }
  }

  #signal(signal: Signal): void {
    switch (signal.type) {
      case "typing.start":
        this.#channels.get(signal.cid)?.typingStarted(signal.user);
        break;
      case "typing.stop":
        this.#channels.get(signal.cid)?.typingStopped(signal.user.id);
        break;
      case "user.presence.changed":
        this.#setPresence(signal.users, this.presence.get());
        break;
      case "user.presence.snapshot":
        this.#setPresence(signal.users, new Map());
        break;
    }
    this.#tell(signal);
  }

  #reset(topic: string, reason: ResetReason, head: number): void {
    this.#tally.reset(topic, reason, head);
    const cid = cidOf(topic);
    if (cid !== undefined) {
      this.#channels.get(cid)?.reset(reason);
      if (reason === "no_access") this.#gone(cid);
    } else if (topic.startsWith("user:")) {
      // Channels may have been joined and left meanwhile.
      this.stale();
    }
    this.#tell({ type: "reset", topic, reason, head });
  }

  #setPresence(users: readonly Presence[], before: ReadonlyMap<string, Presence>): void {
    this.presence.set(new Map([...before, ...users.map((user) => [user.user_id, user] as const)]));
  }

  #setMe(me: Me): void {
    const { totalUnreadCount, unreadChannels } = this.#tally.counts();
    this.me.set({ ...me, total_unread_count: totalUnreadCount, unread_channels: unreadChannels });
  }

  #heardOf(cid: string): void {
    for (const list of this.#lists.values()) list.heardOf(cid);
  }

  #gone(cid: string): void {
    for (const list of this.#lists.values()) list.gone(cid);
  }

  #tell(event: ClientEvent): void {
    this.listeners.tell(event);
  }

  // After everything that happened: what follows from where things stand now.

  #settle(): void {
    if (this.#life === "over" || this.#busy) return;
    const { type } = this.#machine.state();
    this.#publish({});
    this.#answer(type);
    if (type === "connected") this.#load();
    const counts = this.#tally.counts();
    this.unreadCounts.patch(counts);
    const me = this.me.get();
    if (me && (me.total_unread_count !== counts.totalUnreadCount || me.unread_channels !== counts.unreadChannels)) {
      this.#setMe(me);
    }
    if (this.#life === "leaving" && !this.#held && (type === "closed" || type === "idle")) {
      this.#life = "over";
      this.#resolveGone();
    }
    this.#arm();
  }

  #publish(why: Pick<ConnectionStatus, "cause" | "code">): void {
    if (this.#held) return;
    const state = this.#machine.state();
    const now = this.#now();
    const trying = state.type === "connecting" || state.type === "reconnecting" || state.type === "no_network";
    if (this.#wasUp && state.type !== "connected") this.#downSince ??= now;
    this.#uiChangesAt = trying ? (this.#uiChangesAt ?? now + this.#options.config.ui_grace_ms) : undefined;
    const before = this.connection.get();
    const last = "cause" in why ? why : pick(before, "cause", "code");
    const retryAt = state.type === "reconnecting" && state.retry_at !== null && this.#startedAt + state.retry_at;
    const next: ConnectionStatus = {
      state: state.type,
      uiStatus: this.#machine.uiStatus(now),
      attempt: "attempt" in state ? state.attempt : 0,
      ...(retryAt !== false && { retryAt }),
      ...(state.type === "connected" && pick(before, "connectionId")),
      ...(state.type === "failed" && { error: before.error ?? this.#failure(state.why) }),
      ...last,
    };
    const keys = new Set([...Object.keys(before), ...Object.keys(next)]) as Set<keyof ConnectionStatus>;
    if ([...keys].some((key) => before[key] !== next[key])) this.connection.set(next);
  }

  #answer(state: State["type"]): void {
    const me = this.#freshReady;
    this.#freshReady = undefined;
    const waitingUp = (settle: (waiter: Waiter<Me>) => void) => {
      const waiters = [...this.#waitingUp];
      this.#waitingUp.clear();
      waiters.forEach(settle);
    };
    if (me) waitingUp(({ resolve }) => resolve(me));
    if (state === "failed") {
      const error = this.connection.get().error!;
      if (this.#stage.get() === "waiting") this.#stage.set(error);
      waitingUp(({ reject }) => reject(error));
    }
    const isDown = state === "idle" || state === "offline" || state === "parked" || state === "closed";
    if (isDown && this.#held?.wish !== "up") {
      const error = this.#made("cancelled", "a disconnect came before the connection was up");
      waitingUp(({ reject }) => reject(error));
    }
    const oldest = Math.min(...this.#dials.keys());
    this.#waitingDown = this.#waitingDown.filter(({ newest, resolve }) => {
      const over = isDown || oldest > newest;
      if (over) resolve();
      return !over;
    });
    if (state !== "connected") {
      for (const { reject } of this.#pings.values()) reject(this.#made("not_connected", "the connection broke"));
      this.#pings.clear();
    }
  }

  #load(): void {
    while (this.#loads < LOADS_MAX && this.#now() >= this.#loadsFrom) {
      const want = this.#tally.wants();
      if (!want) return;
      this.#loads++;
      const loaded =
        want.type === "all"
          ? this.calls.unread().then((totals) => this.#tally.loadedAll(totals))
          : this.calls.channel(want.cid, 0).then(({ unread }) => this.#tally.loaded(want.cid, unread));
      void loaded
        .catch((error: ParlourError) => {
          const gone = error.status === 403 || error.status === 404;
          this.#tally.loadFailed(want, gone);
          const pause = Math.max(LOAD_RETRY_MS * Math.random(), (error.retryAfter ?? 0) * 1_000);
          if (!gone) this.#loadsFrom = this.#now() + pause;
        })
        .then(() => {
          this.#loads--;
          for (const channel of this.#channels.values()) channel.showUnread();
          this.#settle();
        });
    }
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const now = this.#now();
    const later = (at: number | undefined) => (at !== undefined && at > now ? at : Infinity);
    const loads = this.#tally.hasWants() ? later(this.#loadsFrom) : Infinity;
    const at = Math.min(this.#machine.deadline() ?? Infinity, later(this.#uiChangesAt), loads);
    if (at === Infinity) return;
    this.#timer = setTimeout(() => this.#input({ type: "tick" }), Math.max(0, at - now));
  }

  #isUnderWay(): boolean {
    const { type } = this.#machine.state();
    return type === "connecting" || type === "connected" || type === "reconnecting" || type === "no_network";
  }

  #down(): Promise<void> {
    return new Promise((resolve) => this.#waitingDown.push({ newest: this.#newestDial, resolve }));
  }

  async #authorize(refused: string | undefined, signal: AbortSignal): Promise<Authority | undefined> {
    const known = (stage: Stage): stage is Exclude<Stage, "waiting"> => stage !== "waiting";
    const stage = await until<Stage, Exclude<Stage, "waiting">>(this.#stage, known, signal);
    if (stage instanceof ParlourError) throw stage;
    const token = await this.#token!.otherThan(refused);
    return token === refused ? undefined : { token };
  }

  /** The user's time is over, for this reason. */
  #end(reason: ParlourError): void {
    this.#stage.set(reason);
    this.#unwatchPlatform();
    this.#unsubscribeOutbox();
    this.outbox.detach();
    this.#tally.clear(undefined);
    for (const channel of this.#channels.values()) channel.end();
    for (const list of this.#lists.values()) list.end();
    this.me.set(undefined);
    this.presence.set(new Map());
    for (const { reject } of this.#waitingUp) reject(this.#made("cancelled", reason.message));
    this.#waitingUp.clear();
  }

  /** Why the connection failed, as the error of whoever waited for it. */
  #failure(why: FailedWhy): ParlourError {
    if (why.type === "token") return this.#made("token_missing", why.message);
    if (why.error) return this.#error(why.error);
    const { code, reason } = why;
    const error = FAILURES[code] ?? "not_connected";
    return this.#made(error, `the server closed the connection, ${code}: ${reason}`);
  }

  #made(code: ClientErrorCode, message: string): ParlourError {
    return parlourError(code, message, this.#options.endpoint.url);
  }

  #error(body: ErrorBody): ParlourError {
    return new ParlourError(body, this.#options.endpoint.url);
  }
}

/** Close codes that an error names. */
const FAILURES: Readonly<Record<number, ClientErrorCode>> = {
  4001: "unknown_app",
  4002: "token_malformed",
  4003: "user_banned",
  4006: "unsupported_version",
  4007: "server_token_cannot_connect",
  4009: "too_many_connections",
  4202: "token_expired",
};

function cidOf(topic: string): string | undefined {
  return topic.startsWith("channel:") ? topic.slice("channel:".length) : undefined;
}

function pick<T extends object, K extends keyof T>(from: T, ...keys: K[]): Pick<T, K> {
  return Object.fromEntries(keys.filter((key) => key in from).map((key) => [key, from[key]])) as Pick<T, K>;
}
