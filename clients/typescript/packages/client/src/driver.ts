// One user's time on this page: the machine of connection.ts with its transports and its timer, and what the client
// knows whether or not the app looks (the user, who is there).
//
// Made by `connectUser`, `login` or a stored session, over with `disconnectUser`, never for another user. Not here: which
// clients share it; calls, unread counts and messages on their way (desk.ts); the channels and lists that the app looks
// at (live.ts); what is kept beyond the page (keeper.ts).

import { bounded, type CallOptions, code, type Endpoint } from "./address.js";
import type { Attendance } from "./attendance.js";
import type { Authority } from "./calls.js";
import type { FailedWhy, Input, Output } from "./connection.js";
import type { KnownUser } from "./client.js";
import type { Desk, Wish } from "./desk.js";
import { ParlourError, textOf } from "./errors.js";
import { type ClientEvent, Listeners } from "./events.js";
import type { Keeper, Lasting } from "./keeper.js";
import type { Live } from "./live.js";
import { loadDesk } from "./load_desk.js";
import { loadKeeper } from "./load_keeper.js";
import { loadLive } from "./load_live.js";
import { Source, until } from "./observable.js";
import type { Outbox } from "./outbox.js";
import type { Platform } from "./platform.js";
import { type Owner, Runner, type RunnerOptions } from "./runner.js";
import { type ConnectionStatus, type FellBack, IDLE } from "./status.js";
import type { StorageOption } from "./storage.js";
import type { TokenSource } from "./token.js";
import type { Tally, UnreadCounts } from "./unread.js";
import { Blank, type News, type Shown } from "./views.js";
import type { ErrorBody, Me, Ready, Unread, User, UserInput } from "./wire.js";

/** After these, what is to outlive the page is kept at once: there may be no later. */
const KEPT_AT_ONCE: readonly string[] = ["app", "login", "disconnect"];
/** What is kept for the desk until that is loaded, at most; where it is more, the desk asks the server. */
const UNHEARD_LEN_MAX = 1_000;

/** Causes of a state that say that the server was not there. */
const UNREACHED: readonly unknown[] = ["transport_closed", "dial_timeout", "dead_link", "network"];
/** States in which there is no connection, and none is wanted. */
const DOWN: readonly string[] = ["idle", "offline", "parked", "closed"];

export interface DriverOptions extends RunnerOptions {
  userId: string;
  platform: Platform | undefined;
  storage: StorageOption | undefined;
  /** Makes the worker that is to have the connection of all tabs. */
  worker: ((name: string) => SharedWorker) | undefined;
}

export const NOTHING_UNREAD: UnreadCounts = Object.freeze({
  totalUnreadCount: 0,
  unreadChannels: 0,
  settled: true,
});

export class Driver implements Owner {
  readonly userId: string;
  readonly connection = new Source<ConnectionStatus>(IDLE);
  readonly me = new Source<Me | undefined>(undefined);
  readonly unreadCounts = new Source<UnreadCounts>(NOTHING_UNREAD);
  readonly presence = new Source<Attendance>(new Map());
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
  readonly options: DriverOptions;
  readonly runner: Runner;
  readonly #error: Endpoint["error"];
  /** The token comes from the storage: a provider that comes with `connectUser` is better. */
  #isRestored = false;
  /** What keeps things beyond the page, once it has said what was kept. */
  #keeper: Keeper | undefined;
  #unwatch = () => {};
  readonly #kept: Promise<Keeper | undefined> | undefined;
  /** Whether calls go through: once the server has answered for the user, also while the connection is away. */
  #stage: "waiting" | "ready" | ParlourError = "waiting";
  /** Changes after everything that happened. */
  readonly turns = new Source(0);
  #downSince: number | undefined;
  #uiChangesAt = Infinity;
  /** The user's time is over, or about to be. */
  isLeaving = false;

  constructor(options: DriverOptions) {
    const { userId, endpoint, storage } = options;
    this.options = options;
    this.#error = endpoint.error;
    this.userId = userId;
    this.runner = new Runner(options, this);
    this.#kept = storage && this.#openKeeper(storage);
    this.gone = until(this.turns, () => this.runner.isOver || undefined);
  }

  // What the app wishes.

  /** Be connected as the user, with these fields; `after`: not before this. */
  connectUser(user: UserInput, token: TokenSource, after?: Promise<unknown>): void {
    const state = this.#state;
    if (!this.runner.token || this.#isRestored || state === "failed" || DOWN.includes(state)) {
      this.#isRestored = false;
      if (this.#stage !== "ready") this.#stage = "waiting";
      this.#begin(token, after);
      if (this.runner.isHeld) this.connection.set({ ...IDLE, state: "connecting", attempt: 1 });
    }
    this.input({ type: "connect_user", user });
  }

  /** Be this user, whose token the server has taken, now (it says who she is) or when the app ran last. */
  logIn(token: TokenSource, user: KnownUser | undefined, after?: Promise<unknown>): void {
    const isNew = !this.runner.token;
    this.#isRestored = isNew && !user;
    this.#begin(token.reuse(), after);
    this.#stage = "ready";
    // Every user that the server knows has a role.
    if (user?.role) this.me.set(user as Me);
    this.input({ type: "login", user: { id: this.userId }, saved: null });
    // Who is there already may have been disconnected.
    if (!isNew && this.options.config.mode === "auto") this.input({ type: "connect" });
    this.settle();
  }

  /** Takes the token, and waits: for another user who leaves, and for what an earlier page has kept. */
  #begin(token: TokenSource, after: Promise<unknown> | undefined): void {
    const isFirst = !this.runner.token;
    this.runner.token = token;
    this.loadDesk().catch(() => {});
    // Where the app stands comes before what it wishes; a browser, which tells more than that, is listened to later.
    const { platform } = this.options;
    if (isFirst && platform) this.#unwatch = platform.watch((news) => this.input(news));
    const kept = isFirst ? this.#kept : undefined;
    if (this.runner.isHeld || !(after ?? kept)) return;
    this.runner.isHeld = true;
    void Promise.all([kept, after]).then(([keeper]) => {
      this.#keeper = keeper;
      const user = { id: this.userId };
      this.runner.goOn(...(keeper ? [{ type: "login", user, saved: keeper.saved } as const] : []));
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
      if (this.isLeaving || (DOWN.includes(state) && !this.runner.isHeld)) {
        throw this.#error("cancelled", "closed before the connection was up");
      }
      if (state === "failed") throw this.connection.get().error;
      return state === "connected" ? this.me.get() : undefined;
    };
    try {
      return await bounded(this.options.endpoint, "hello", options, (signal) => until(this.turns, look, signal));
    } catch (error) {
      const late = (error as ParlourError).code === "timeout";
      if (!late || !UNREACHED.includes(this.connection.get().cause)) throw error;
      throw this.#error("network", "the server could not be reached yet; still dialling");
    }
  }

  /** Closes the connection and keeps the user. */
  disconnect(): Promise<true> {
    const { dials } = this.runner;
    const open = [...dials.keys()];
    this.input({ type: "disconnect" });
    const gone = () => DOWN.includes(this.#state) || !open.some((dial) => dials.has(dial));
    return until(this.turns, () => gone() || undefined);
  }

  /** Closes the connection, goes offline at once and forgets the user; of what is stored, `keeps` stays. */
  disconnectUser(keeps: "outbox" | "nothing"): Promise<true> {
    if (!this.isLeaving) {
      this.runner.tabs?.logOut(keeps);
      void this.#kept?.then((keeper) => keeper?.end(keeps));
      this.#end(this.#error("not_logged_in", "the user has left"));
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
    if (!this.isLeaving) {
      this.#keeper?.close();
      this.#end(this.#error("cancelled", "the client was closed"));
    }
    this.runner.drop();
    this.settle();
  }

  /** The round trip, in milliseconds. */
  ping(options: CallOptions | undefined): Promise<number> {
    return this.#beside(options, (desk) => desk.ping(options));
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
  ask<T>(wish: Wish<T>, options?: CallOptions): Promise<T> {
    return this.#beside(options, (desk) => desk.call(wish, options));
  }

  /** At once, where the desk is there. */
  #beside<T>(options: CallOptions | undefined, use: (desk: Desk) => Promise<T>): Promise<T> {
    if (this.desk) return use(this.desk);
    const load = () => this.loadDesk();
    return bounded(this.options.endpoint, "the client's own code", options, load).then(use);
  }

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
      token: this.#stage === "ready" ? this.runner.token?.current : undefined,
      saved: this.runner.saved() ?? null,
      outbox: this.runner.tabs?.kept() ?? this.desk?.outbox.kept(),
    };
  }

  /** A state came with a call: where nothing is known of the channel, it tells the unread count. */
  seen(state: { unread?: Unread | undefined }): void {
    if (state.unread) this.tally.seen(state.unread);
    this.settle();
  }

  // What the machine says.

  get #state(): ConnectionStatus["state"] {
    return this.runner.machine.state().type;
  }

  input(input: Input): void {
    this.runner.input(input);
  }

  /** @internal For the runner. */
  taken(types: readonly Input["type"][]): void {
    this.settle();
    if (types.some((type) => KEPT_AT_ONCE.includes(type))) this.#keeper?.touch(true);
  }

  /** @internal For the runner. */
  output(output: Output): void {
    switch (output.type) {
      case "ready":
      case "renewed":
        this.#onReady(output);
        this.#heard(output);
        this.show(output);
        this.ready.set(output.ready);
        break;
      case "fell_back": {
        const { type: _, ...news } = output;
        this.fellBack(news);
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
      case "throttled":
        this.#heard(output);
        break;
      case "changed": {
        const from = this.connection.get();
        const { cause, code } = output.transition;
        this.#publish({ cause, code });
        this.#tell({ type: "connection.changed", from, to: this.connection.get() });
      }
    }
  }

  fellBack(fellBack: FellBack): void {
    this.connection.patch({ fellBack });
    this.#tell({ type: "connection.fell_back", ...fellBack });
  }

  #onReady({ type, ready }: Extract<Output, { type: "ready" | "renewed" }>): void {
    const { me, resumed } = ready;
    this.#stage = "ready";
    this.me.set(me);
    if (!this.desk) {
      const { total_unread_count: totalUnreadCount, unread_channels: unreadChannels } = me;
      this.unreadCounts.set({ totalUnreadCount, unreadChannels, settled: false });
      this.loadDesk().catch(() => {});
    }
    const downtimeMs = this.runner.now() - (this.#downSince ?? this.runner.now());
    this.#downSince = undefined;
    if (type === "ready") this.#keeper?.touch(true);
    if (type === "ready" && this.ready.get()) this.#tell({ type: "connection.recovered", resumed, downtimeMs });
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
    if (this.runner.isBusy) return;
    this.#publish();
    const state = this.#state;
    if (state === "failed" && this.#stage === "waiting") this.#stage = this.connection.get().error!;
    this.desk?.settle(state === "connected");
    this.#keeper?.touch(false);
    const isOut = state === "closed" || state === "idle";
    if (this.isLeaving && !this.runner.isHeld && isOut) this.runner.isOver = true;
    this.runner.arm();
    this.turns.set(this.turns.get() + 1);
  }

  /** Shows where the connection stands; `why` where its state changed. */
  #publish(why?: Pick<ConnectionStatus, "cause" | "code">): void {
    if (this.runner.isHeld) return;
    const state = this.runner.machine.state();
    const { type } = state;
    const now = this.runner.now();
    const up = type === "connected";
    if (this.ready.get() && !up) this.#downSince ??= now;
    const trying = !up && type !== "failed" && !DOWN.includes(type);
    const graceEnds = now + this.options.config.ui_grace_ms;
    this.#uiChangesAt = trying ? Math.min(this.#uiChangesAt, graceEnds) : Infinity;
    const retry = "retry_at" in state ? state.retry_at : null;
    this.connection.patch({
      state: type,
      uiStatus: this.runner.machine.uiStatus(now),
      attempt: "attempt" in state ? state.attempt : 0,
      retryAt: retry === null ? undefined : this.runner.clockOffset + retry,
      transport: this.runner.transport(),
      connectionId: up ? this.ready.get()?.connection_id : undefined,
      error: "why" in state ? (this.connection.get().error ?? this.#failure(state.why)) : undefined,
      ...why,
    });
  }

  /** When the app is shown a longer downtime, or the desk wants to be looked at. */
  get deadlines(): readonly number[] {
    return [this.#uiChangesAt, ...(this.desk?.deadlines ?? [])];
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
      const desk = new Desk(this, this.options.endpoint, authorize);
      // Before anything that is queued from now on.
      desk.begin((await this.#kept)?.outbox ?? [], !this.options.platform);
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
    const loaded = await code(this.options.endpoint, load);
    if (this.isLeaving) throw this.#stage;
    return loaded;
  }

  async #openKeeper(storage: StorageOption): Promise<Keeper | undefined> {
    try {
      const { Keeper } = await code(this.options.endpoint, loadKeeper);
      return await new Keeper(storage, this.options.endpoint, this).open();
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
    const stage = await until(this.turns, look, signal);
    if (stage !== "ready") throw stage;
    return { token: await this.runner.token!.otherThan(refused) };
  }

  /** The user's time is over, for this reason. */
  #end(reason: ParlourError): void {
    this.isLeaving = true;
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
    return new ParlourError(body, this.options.endpoint.url);
  }
}
