// One user's time on this page: the machine of connection.ts with its transports and its timer, and what the client
// knows whether or not the app looks (the user, who is there).
//
// Made by `connectUser`, `login` or a stored session, over with `disconnectUser`, never for another user. Not here: which
// clients share it; calls, unread counts and messages on their way (desk.ts); the channels and lists that the app looks
// at (live.ts); what is kept beyond the page (keeper.ts).

import { bounded, type CallOptions, code, connectUrl, type Endpoint } from "./address.js";
import type { Ask, Authority } from "./calls.js";
import {
  Connection,
  type ConnectionConfig,
  type FailedWhy,
  type Input,
  type Output,
  type Transport,
} from "./connection.js";
import { Dial, MEANS_TO_RESUME, type WebSocketConstructor } from "./dial.js";
import type { KnownUser } from "./client.js";
import type { Desk } from "./desk.js";
import { ParlourError, textOf } from "./errors.js";
import { type ClientEvent, Listeners } from "./events.js";
import type { Keeper, Lasting } from "./keeper.js";
import type { Live } from "./live.js";
import { loadDesk } from "./load_desk.js";
import { loadHttp } from "./load_http.js";
import { loadKeeper } from "./load_keeper.js";
import { loadLive } from "./load_live.js";
import { Source, until } from "./observable.js";
import type { Outbox } from "./outbox.js";
import type { Platform } from "./platform.js";
import { type ConnectionStatus, IDLE } from "./status.js";
import type { StorageOption } from "./storage.js";
import type { TokenSource } from "./token.js";
import type { Tally, UnreadCounts } from "./unread.js";
import { Blank, type News, type Shown } from "./views.js";
import type { ErrorBody, Me, Presence, Ready, Unread, User, UserInput } from "./wire.js";

/** While there is a connection to look after, the two clocks are compared this often. */
const CLOCKS_EVERY_MS = 5_000;
/** When the wall's clock is ahead by more than this, the device slept. */
const SLEEP_MS = 10_000;
/** After these, what is to outlive the page is kept at once: there may be no later. */
const KEPT_AT_ONCE: readonly string[] = ["app", "login", "disconnect"];
/** What is kept for the desk until that is loaded, at most; where it is more, the desk asks the server. */
const UNHEARD_LEN_MAX = 1_000;

/** Causes of a state that say that the server was not there. */
const UNREACHED: readonly unknown[] = ["transport_closed", "dial_timeout", "dead_link", "network"];
/** States in which there is no connection, and none is wanted. */
const DOWN: readonly string[] = ["idle", "offline", "parked", "closed"];

export interface DriverOptions {
  userId: string;
  endpoint: Endpoint;
  /** Absent where it is no transport of this client. */
  webSocket: WebSocketConstructor | undefined;
  config: ConnectionConfig;
  platform: Platform | undefined;
  storage: StorageOption | undefined;
}

export const NOTHING_UNREAD: UnreadCounts = Object.freeze({
  totalUnreadCount: 0,
  unreadChannels: 0,
  settled: true,
});

export class Driver {
  readonly userId: string;
  readonly connection = new Source<ConnectionStatus>(IDLE);
  readonly me = new Source<Me | undefined>(undefined);
  readonly unreadCounts = new Source<UnreadCounts>(NOTHING_UNREAD);
  readonly presence = new Source<ReadonlyMap<string, Presence>>(new Map());
  readonly listeners = new Listeners();
  /** What the server said last when the connection came up: each time another object. */
  readonly ready = new Source<Ready | undefined>(undefined);
  /** What goes on beside the connection, once that is loaded. */
  desk: Desk | undefined;
  #deskOnItsWay: Promise<Desk> | undefined;
  #unheard: Output[] = [];
  readonly #blank = new Blank(() => {
    // How it went is shown.
    if (!this.isLeaving) this.look().catch(() => {});
  });
  /** What the app looks at: nothing, until that is loaded. */
  readonly shown = new Source<Shown>(this.#blank);
  #live: Promise<Live> | undefined;
  /** Clients that hold it, and what closes it a moment after the last has let go. */
  handles = 0;
  linger: ReturnType<typeof setTimeout> | undefined;
  /** Resolves when the user has left and the socket is gone. */
  readonly gone: Promise<true>;
  readonly #options: DriverOptions;
  readonly #error: Endpoint["error"];
  #machine: Connection;
  #dials = new Map<number, Pick<Dial, "transmit" | "close">>();
  #newestDial = 0;
  #token: TokenSource | undefined;
  /** What comes first is not there yet, see `begin`: what is wished meanwhile waits. */
  #held = false;
  /** The token comes from the storage: a provider that comes with `connectUser` is better. */
  #isRestored = false;
  /** What keeps things beyond the page, once it has said what was kept. */
  #keeper: Keeper | undefined;
  #unwatch = () => {};
  readonly #kept: Promise<Keeper | undefined> | undefined;
  /** Whether calls go through: once the server has answered for the user, also while the connection is away. */
  #stage: "waiting" | "ready" | ParlourError = "waiting";
  /** Changes after everything that happened. */
  #turns = new Source(0);
  #downSince: number | undefined;
  #uiChangesAt = Infinity;
  #pings = 0;
  #ponged = 0;
  #inputs: Input[] = [];
  #busy = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Between the clock that never steps back, and the wall's. */
  #clockOffset = Math.floor(Date.now() - performance.now());
  #life: "begun" | "leaving" | "over" = "begun";

  constructor(options: DriverOptions) {
    const { userId, endpoint, config } = options;
    this.#options = options;
    this.#error = endpoint.error;
    this.userId = userId;
    this.#machine = new Connection(config);
    const { storage } = options;
    this.#kept = storage && this.#openKeeper(storage);
    this.gone = until(this.#turns, () => this.#life === "over" || undefined);
  }

  get isLeaving(): boolean {
    return this.#life !== "begun";
  }

  // What the app wishes.

  /** Be connected as the user, with these fields; `after`: not before this. */
  connectUser(user: UserInput, token: TokenSource, after?: Promise<unknown>): void {
    const state = this.#state;
    if (!this.#token || this.#isRestored || state === "failed" || DOWN.includes(state)) {
      this.#isRestored = false;
      if (this.#stage !== "ready") this.#stage = "waiting";
      this.#begin(token, after);
      if (this.#held) this.connection.set({ ...IDLE, state: "connecting", attempt: 1 });
    }
    this.input({ type: "connect_user", user });
  }

  /** Be this user, whose token the server has taken, now (it says who she is) or when the app ran last. */
  logIn(token: TokenSource, user: KnownUser | undefined, after?: Promise<unknown>): void {
    const isNew = !this.#token;
    this.#isRestored = isNew && !user;
    this.#begin(token.reuse(), after);
    this.#stage = "ready";
    // Every user that the server knows has a role.
    if (user?.role) this.me.set(user as Me);
    this.input({ type: "login", user: { id: this.userId }, saved: null });
    // Who is there already may have been disconnected.
    if (!isNew && this.#options.config.mode === "auto") this.input({ type: "connect" });
    this.settle();
  }

  /** Takes the token, and waits: for another user who leaves, and for what an earlier page has kept. */
  #begin(token: TokenSource, after: Promise<unknown> | undefined): void {
    const isFirst = !this.#token;
    this.#token = token;
    this.loadDesk().catch(() => {});
    // Where the app stands comes before what it wishes; a browser, which tells more than that, is listened to later.
    const { platform } = this.#options;
    if (isFirst && platform) this.#unwatch = platform.watch((news) => this.input(news));
    const kept = isFirst ? this.#kept : undefined;
    if (this.#held || !(after ?? kept)) return;
    this.#held = true;
    void Promise.all([kept, after]).then(([keeper]) => {
      this.#held = false;
      this.#keeper = keeper;
      const user = { id: this.userId };
      if (keeper) this.#inputs.unshift({ type: "login", user, saved: keeper.saved });
      this.input({ type: "tick" });
    });
  }

  connect(): void {
    if (this.#stage !== "ready") this.#stage = "waiting";
    this.input({ type: "connect" });
  }

  /** Resolves when the connection is up. */
  async up(options: CallOptions | undefined): Promise<Me> {
    const look = () => {
      const state = this.#state;
      if (this.isLeaving || (DOWN.includes(state) && !this.#held)) {
        throw this.#error("cancelled", "closed before the connection was up");
      }
      if (state === "failed") throw this.connection.get().error;
      return state === "connected" ? this.me.get() : undefined;
    };
    try {
      return await bounded(this.#options.endpoint, "hello", options, (signal) => until(this.#turns, look, signal));
    } catch (error) {
      const late = (error as ParlourError).code === "timeout";
      if (!late || !UNREACHED.includes(this.connection.get().cause)) throw error;
      throw this.#error("network", "the server could not be reached yet; still dialling");
    }
  }

  /** Closes the connection and keeps the user. */
  disconnect(): Promise<true> {
    const newest = this.#newestDial;
    this.input({ type: "disconnect" });
    const gone = () => DOWN.includes(this.#state) || Math.min(...this.#dials.keys()) > newest;
    return until(this.#turns, () => gone() || undefined);
  }

  /** Closes the connection, goes offline at once and forgets the user; of what is stored, `keeps` stays. */
  disconnectUser(keeps: "outbox" | "nothing"): Promise<true> {
    if (this.#life === "begun") {
      void this.#kept?.then((keeper) => keeper?.end(keeps));
      this.#end("leaving", this.#error("not_logged_in", "the user has left"));
      this.input({ type: "disconnect_user" });
    }
    return this.gone;
  }

  /** The same, with nothing kept; answers how many messages were not sent. */
  async logOut(): Promise<number> {
    const desk = this.desk ?? (await this.loadDesk().catch(() => undefined));
    const unsent = desk?.outbox.erase() ?? 0;
    await this.disconnectUser("nothing");
    return unsent;
  }

  /** Nobody holds this any more: closes the socket, and does not log out. */
  drop(): void {
    if (this.#life === "begun") {
      this.#keeper?.close();
      this.#end("over", this.#error("cancelled", "the client was closed"));
    }
    this.#life = "over";
    for (const dial of this.#dials.values()) dial.close(MEANS_TO_RESUME);
    this.settle();
  }

  /** The round trip, in milliseconds. */
  ping(options: CallOptions | undefined): Promise<number> {
    const id = ++this.#pings;
    const sentAt = performance.now();
    this.input({ type: "send", frame: { type: "ping", id } });
    const look = () => {
      if (this.#state !== "connected") throw this.#error("not_connected", "there is nothing to ping over");
      if (this.#ponged < id) return undefined;
      const rttMs = performance.now() - sentAt;
      this.connection.patch({ rttMs });
      return rttMs;
    };
    return bounded(this.#options.endpoint, "ping", options, (signal) => until(this.#turns, look, signal));
  }

  // What is known.

  /**
   * Loads what keeps channels and lists current, when the app first looks at one. Where that fails, as `network`, the
   * next look tries again.
   */
  look(): Promise<Live> {
    return (this.#live ??= this.#loadLive());
  }

  /** Asks the server, once it has answered for the user. */
  readonly ask: Ask = async (request, options) => {
    const load = () => this.loadDesk();
    const desk = this.desk ?? (await bounded(this.#options.endpoint, "the client's own code", options, load));
    return desk.ask(request, options);
  };

  /** @internal Whoever looks has waited for the desk. */
  get outbox(): Outbox {
    return this.desk!.outbox;
  }

  /** @internal Whoever looks has waited for the desk. */
  get tally(): Tally {
    return this.desk!.tally;
  }

  /** Loads what goes on beside the connection. Where that fails, as `network`, the next need tries again. */
  loadDesk(): Promise<Desk> {
    return (this.#deskOnItsWay ??= this.#loadDesk());
  }

  /** What is to outlive the page. */
  lasting(): Lasting {
    return {
      token: this.#stage === "ready" ? this.#token?.current : undefined,
      saved: this.#machine.saved() ?? null,
      outbox: this.desk?.outbox.kept(),
    };
  }

  /** A state came with a call: where nothing is known of the channel, it tells the unread count. */
  seen(state: { unread?: Unread | undefined }): void {
    if (state.unread) this.tally.seen(state.unread);
    this.settle();
  }

  // What the machine says.

  get #state(): ConnectionStatus["state"] {
    return this.#machine.state().type;
  }

  #now(): number {
    return Math.floor(performance.now());
  }

  /** Takes an input after those that are being taken: a listener may wish something while it is told. */
  input(input: Input): void {
    if (this.#life === "over") return;
    this.#inputs.push(input);
    if (this.#busy) return;
    this.#busy = true;
    let keepsNow = false;
    while (this.#inputs.length && !this.#held) {
      const next = this.#inputs.shift()!;
      for (const output of this.#machine.handle(this.#now(), Math.random(), next)) this.#output(output);
      keepsNow ||= KEPT_AT_ONCE.includes(next.type);
    }
    this.#busy = false;
    this.settle();
    if (keepsNow) this.#keeper?.touch(true);
  }

  #output(output: Output): void {
    switch (output.type) {
      case "open":
        this.#open(output.dial, output.transport);
        break;
      case "transmit":
        this.#dials.get(output.dial)?.transmit(output.frame);
        break;
      case "close":
        this.#dials.get(output.dial)?.close(output.code);
        break;
      case "fetch_token":
        void this.#fetchToken(output.fetch, output.refused);
        break;
      case "ready":
      case "renewed":
        this.#onReady(output);
        this.#heard(output);
        this.show(output);
        this.ready.set(output.ready);
        break;
      case "fell_back": {
        const { type: _, ...fellBack } = output;
        this.connection.patch({ fellBack });
        this.#tell({ type: "connection.fell_back", ...fellBack });
        break;
      }
      case "deliver": {
        const { event, topic, seq } = output.event;
        this.#heard(output);
        if (event.type === "user.updated" && event.user.id === this.userId) this.#meUpdated(event.user);
        this.show(output);
        this.#tell({ ...event, topic, seq });
        break;
      }
      case "signal": {
        const { signal } = output;
        this.#heard(output);
        this.show(output);
        this.#tell(signal);
        break;
      }
      case "reset":
        this.#heard(output);
        this.show(output);
        this.#tell(output);
        break;
      case "refused":
        this.#tell({ type: "refused", error: this.#told(output.error), topic: output.topic ?? undefined });
        break;
      case "pong":
        this.#ponged = output.id;
        break;
      case "throttled":
        this.#tell({ type: "throttled", feature: output.feature, retryAfterMs: output.for_ms });
        break;
      case "changed": {
        const from = this.connection.get();
        const { cause, code } = output.transition;
        this.#publish({ cause, code });
        this.#tell({ type: "connection.changed", from, to: this.connection.get() });
      }
    }
  }

  #open(dial: number, transport: Transport): void {
    const { endpoint, webSocket } = this.#options;
    const tell = (input: Input) => {
      if (input.type === "closed") this.#dials.delete(input.dial);
      this.input(input);
    };
    this.#newestDial = dial;
    if (transport === "web_socket") {
      this.#dials.set(dial, new Dial(dial, connectUrl(endpoint.url), webSocket!, tell));
      return;
    }
    // Until the code for it is there, it is no more than something to close.
    const closes = (reason: string) => {
      if (this.#dials.get(dial) === onItsWay) tell({ type: "closed", dial, code: null, reason });
    };
    const onItsWay = { transmit() {}, close: () => closes("") };
    this.#dials.set(dial, onItsWay);
    loadHttp().then(
      ({ HttpTransport }) => {
        if (this.#dials.get(dial) !== onItsWay) return;
        this.#dials.set(dial, new HttpTransport(transport, dial, endpoint, tell));
      },
      (error) => closes(textOf(error)),
    );
  }

  async #fetchToken(fetch: number, refused: string | null): Promise<void> {
    const source = this.#token!;
    try {
      // A call may have got another one meanwhile.
      const token = await (refused === null ? source.fresh() : source.otherThan(refused));
      this.input({ type: "token_fetched", fetch, token });
    } catch (error) {
      const { message, retryable } = error as ParlourError;
      this.input({ type: "token_failed", fetch, permanent: !retryable, message });
    }
  }

  #onReady({ type, ready }: Extract<Output, { type: "ready" | "renewed" }>): void {
    const { me, resumed, presence = [] } = ready;
    this.#stage = "ready";
    this.me.set(me);
    if (!this.desk) {
      const { total_unread_count: totalUnreadCount, unread_channels: unreadChannels } = me;
      this.unreadCounts.set({ totalUnreadCount, unreadChannels, settled: false });
      this.loadDesk().catch(() => {});
    }
    const downtimeMs = this.#now() - (this.#downSince ?? this.#now());
    this.#downSince = undefined;
    if (type === "ready") this.#keeper?.touch(true);
    if (type === "ready" && this.ready.get()) this.#tell({ type: "connection.recovered", resumed, downtimeMs });
    if (presence.length) this.#tell({ type: "user.presence.snapshot", users: presence });
  }

  #meUpdated(user: User): void {
    const { devices = [], mutes = [], total_unread_count, unread_channels } = this.me.get()!;
    this.me.set({ ...user, devices, mutes, total_unread_count, unread_channels });
  }

  /** Tells whoever keeps what the app looks at. */
  show(news: News): void {
    this.shown.get().take(news);
  }

  #tell(event: ClientEvent): void {
    this.listeners.tell(event);
  }

  /** What follows from where things stand, after everything that happened. */
  settle(): void {
    if (this.#busy) return;
    this.#publish();
    const state = this.#state;
    if (state === "failed" && this.#stage === "waiting") this.#stage = this.connection.get().error!;
    this.desk?.settle(state === "connected");
    this.#keeper?.touch(false);
    const isOut = state === "closed" || state === "idle";
    if (this.#life === "leaving" && !this.#held && isOut) this.#life = "over";
    this.#arm();
    this.#turns.set(this.#turns.get() + 1);
  }

  /** Shows where the connection stands; `why` where its state changed. */
  #publish(why?: Pick<ConnectionStatus, "cause" | "code">): void {
    if (this.#held) return;
    const state = this.#machine.state();
    const { type } = state;
    const now = this.#now();
    const up = type === "connected";
    if (this.ready.get() && !up) this.#downSince ??= now;
    const trying = !up && type !== "failed" && !DOWN.includes(type);
    const graceEnds = now + this.#options.config.ui_grace_ms;
    this.#uiChangesAt = trying ? Math.min(this.#uiChangesAt, graceEnds) : Infinity;
    const retry = "retry_at" in state ? state.retry_at : null;
    this.connection.patch({
      state: type,
      uiStatus: this.#machine.uiStatus(now),
      attempt: "attempt" in state ? state.attempt : 0,
      retryAt: retry === null ? undefined : this.#clockOffset + retry,
      transport: this.#machine.transport(),
      connectionId: up ? this.ready.get()?.connection_id : undefined,
      error: "why" in state ? (this.connection.get().error ?? this.#failure(state.why)) : undefined,
      ...why,
    });
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#life === "over") return;
    const now = this.#now();
    const ours = [this.#uiChangesAt, this.desk?.deadline ?? Infinity].filter((at) => at > now);
    const at = Math.min(this.#machine.deadline() ?? Infinity, ...ours);
    if (at < Infinity) this.#timer = setTimeout(() => this.#tick(), Math.max(0, Math.min(at - now, CLOCKS_EVERY_MS)));
  }

  /** Time has passed; perhaps more than the clock tells that stands still while the device sleeps. */
  #tick(): void {
    const offset = Math.floor(Date.now() - performance.now());
    const slept = offset - this.#clockOffset > SLEEP_MS;
    this.#clockOffset = offset;
    this.input({ type: slept ? "woke" : "tick" });
  }

  async #loadLive(): Promise<Live> {
    this.#blank.fails(undefined);
    try {
      const [{ Live }] = await Promise.all([this.#code(loadLive), this.loadDesk()]);
      const live = new Live(this, this.#blank.brought);
      this.shown.set(live);
      return live;
    } catch (error) {
      this.#live = undefined;
      if (!this.isLeaving) this.#blank.fails(error as ParlourError);
      throw error;
    }
  }

  async #loadDesk(): Promise<Desk> {
    try {
      const { Desk } = await this.#code(loadDesk);
      const authorize = (refused: string | undefined, signal: AbortSignal) => this.#authorize(refused, signal);
      const desk = new Desk(this, this.#options.endpoint, authorize);
      // Before anything that is queued from now on.
      desk.begin((await this.#kept)?.outbox ?? [], !this.#options.platform);
      if (this.isLeaving) throw this.#stage;
      for (const output of this.#unheard.splice(0)) desk.take(output);
      this.desk = desk;
      this.settle();
      return desk;
    } catch (error) {
      this.#deskOnItsWay = undefined;
      throw error;
    }
  }

  /** Code that is not in the page yet, for a user who may be gone when it is there. */
  async #code<T>(load: () => Promise<T>): Promise<T> {
    const loaded = await code(this.#options.endpoint, load);
    if (this.isLeaving) throw this.#stage;
    return loaded;
  }

  async #openKeeper(storage: StorageOption): Promise<Keeper | undefined> {
    try {
      const { Keeper } = await code(this.#options.endpoint, loadKeeper);
      return await new Keeper(storage, this.#options.endpoint, this).open();
    } catch (error) {
      this.#tell({ type: "storage.failed", message: textOf(error) });
      return undefined;
    }
  }

  /** Tells the desk, now or when it is there. */
  #heard(output: Output): void {
    if (this.desk) return this.desk.take(output);
    const { length } = this.#unheard;
    const topic = `user:${this.userId}`;
    if (length > UNHEARD_LEN_MAX) this.#unheard = [{ type: "reset", topic, reason: "too_far_behind", head: 0 }];
    this.#unheard.push(output);
  }

  async #authorize(refused: string | undefined, signal: AbortSignal): Promise<Authority> {
    const look = () => (this.#stage === "waiting" ? undefined : this.#stage);
    const stage = await until(this.#turns, look, signal);
    if (stage !== "ready") throw stage;
    return { token: await this.#token!.otherThan(refused) };
  }

  /** The user's time is over, for this reason. */
  #end(life: "leaving" | "over", reason: ParlourError): void {
    this.#life = life;
    this.#stage = reason;
    this.#unwatch();
    this.desk?.end();
    this.shown.get().end();
    // Nobody else on this device is to see it.
    this.shown.set(this.#blank);
    this.me.set(undefined);
    this.unreadCounts.set(NOTHING_UNREAD);
    this.presence.set(new Map());
  }

  /** Why the connection failed, as the error of whoever waited for it. */
  #failure(why: FailedWhy): ParlourError {
    if (why.type === "token") return this.#error("token_missing", why.message);
    const { code, reason, error } = why;
    if (error) return this.#told(error);
    const docs = `/docs/errors/close-${code}`;
    return this.#error("not_connected", `the server closed the connection, ${code}: ${reason}`, { docs });
  }

  /** An error that the server told over the connection. */
  #told(body: ErrorBody): ParlourError {
    return new ParlourError(body, this.#options.endpoint.url);
  }
}
