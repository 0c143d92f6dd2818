/**
 * The client's half of one connection.
 *
 * Inputs are levels (who, wanted or not, the app's state, the network) and what happened to the transport.
 * After each, what is wanted is compared with what is there, and the difference is the output: the machine
 * does not chase edges, so that any order of inputs ends in the same place. `spec/transcripts` says to the
 * letter what it does; the machine of the Rust SDK does the same.
 *
 * Not here: sockets, timers, the clock, the dice, the token provider, what an app does with an event.
 */

import { backoffWait, share } from "./backoff.js";
import {
  ABSENT_CODES,
  type ComeBack,
  comeBack,
  EVICTED_CODES,
  MEANS_TO_RESUME,
  NORMAL,
  TOKEN_CODES,
  TOKEN_EXPIRED,
} from "./connection/close.js";
import type { ConnectionConfig } from "./connection/config.js";
import { equal } from "./connection/equal.js";
import { hello } from "./connection/hello.js";
import type { Input, NetworkLevel, ReceivedFrame } from "./connection/input.js";
import { LastWords } from "./connection/last_words.js";
import { deadAt, deadlineOf, holds, type Link, type Live, type Step, type Trying } from "./connection/link.js";
import { type Login, newUser, type User } from "./connection/login.js";
import type { Output } from "./connection/output.js";
import { serverFrame } from "./connection/server_frame.js";
import type { Cause, FailedWhy, State, Transition, UiStatus } from "./connection/state.js";
import type {
  AppState,
  ClientFrame,
  CloseCode,
  PresenceSubscription,
  ServerFrame,
  UserInput,
} from "./wire.js";

export type { Cause, ConnectionConfig, FailedWhy, Input, NetworkLevel, Output, ReceivedFrame };
export type { State, Transition, UiStatus };

/** When the platform says that there is no network, it is tried all the same this often: platforms err. */
const PROBE_MS = 30_000;
/** When the provider has not answered for this long, it counts as failed. */
const TOKEN_WAIT_MS = 30_000;
/** When a transport that was told to close has not said `closed` for this long, it is taken for closed. */
const CLOSE_WAIT_MS = 5_000;
/** While the app is hidden, waits may grow up to this. */
const HIDDEN_CAP_MS = 60_000;
/** When the server wants its clients back later and does not say when, they come after this and a backoff. */
const LATER_MS = 1_000;
/** Topics in one `watch` frame: with the longest names it stays below the server's frame limit. */
const WATCHED_PER_FRAME = 100;
/** What a server may not say before `ready`. */
const AFTER_READY: readonly string[] = ["event", "signal", "reset"];

/** A link that holds a transport. */
type Held = Extract<Link, { type: "opening" | "hello" | "up" }>;
type ReadyFrame = Extract<ServerFrame, { type: "ready" }>;

/** Why the public state changes, if it does. */
type Why = Pick<Transition, "cause" | "code">;

/** What the public state is without a link. */
const AT_REST = { none: "idle", logged_out: "closed", user: "offline" } as const;

/**
 * ```ts
 * const connection = new Connection(config);
 * connection.handle(0, 0.5, { type: "connect_user", user: { id: "alice" } }); // [fetch_token 1, changed]
 * connection.handle(20, 0.5, { type: "token_fetched", fetch: 1, token: "…" }); // [open 1]
 * connection.deadline(); // 10_020: without an answer it is given up after ten seconds
 * ```
 */
export class Connection {
  readonly #config: ConnectionConfig;
  // Levels: what is wanted follows from these alone.
  #login: Login = { type: "none" };
  #intent: "up" | "down" = "down";
  #app: AppState = "foreground";
  #network: NetworkLevel = "unknown";
  #presence: PresenceSubscription;
  // What is there.
  #link: Link = { type: "rest" };
  /** Losses and failed dials since the connection was last stable. */
  #failures = 0;
  #dials = 0;
  #fetches = 0;
  // Of the call of `handle` that is under way: when, with which dice, and what comes out.
  #now = 0;
  #jitter = 0;
  #out: Output[] = [];

  constructor(config: ConnectionConfig) {
    this.#config = config;
    this.#presence = config.presence;
  }

  /**
   * Takes what happened at `now` (ms on a clock that never steps back; where it starts does not matter);
   * answers what to do, in order. `jitter` is a fresh random number from 0 to 1, used where a wait is chosen.
   */
  handle(now: number, jitter: number, input: Input): Output[] {
    this.#now = now;
    this.#jitter = jitter;
    this.#out = [];
    const from = this.state();
    const shown = this.uiStatus(now);
    const why = this.#take(input);
    // What is there becomes what is wanted.
    if (!this.#wanted()) {
      this.#takeDown();
    } else if (this.#link.type === "rest") {
      this.#failures = 0;
      this.#link = { story: "first", since: now, shown, ...this.#dial() };
    }
    const to = this.state();
    if (!equal(from, to)) this.#out.push({ type: "changed", transition: { from, to, ...why } });
    return this.#out;
  }

  /** When to call with `tick` next. */
  deadline(): number | undefined {
    return deadlineOf(this.#link);
  }

  /** The public state. */
  state(): State {
    const link = this.#link;
    switch (link.type) {
      case "rest":
        return { type: AT_REST[this.#login.type] };
      case "failed":
        return link;
      case "up":
        return { type: "connected" };
      case "closing":
        return link.shown;
    }
    if (this.#network === "down") return { type: "no_network" };
    if (link.story === "first") return { type: "connecting", attempt: 1 };
    const retry_at = link.type === "wait" ? link.until : null;
    return { type: "reconnecting", attempt: Math.max(1, this.#failures), retry_at };
  }

  /**
   * The state as a banner would show it at this moment. It also changes with time alone: `ui_grace_ms` into a
   * downtime.
   */
  uiStatus(now: number): UiStatus {
    const link = this.#link;
    if (link.type === "failed") return "needs_action";
    if (!this.#wanted()) return this.#user ? "offline" : "signed_out";
    if (!("story" in link)) return "online";
    if (now < link.since + this.#config.ui_grace_ms) return link.shown;
    return this.#network === "down" ? "offline" : "reconnecting";
  }

  get #user(): User | undefined {
    return this.#login.type === "user" ? this.#login : undefined;
  }

  /** What the levels ask for. */
  #wanted(): boolean {
    return this.#login.type === "user" && this.#intent === "up";
  }

  #take(input: Input): Why {
    const user = this.#user;
    switch (input.type) {
      case "connect_user":
        this.#connectUser(input.user);
        this.#retryNow();
        break;
      case "connect":
        this.#intent = "up";
        this.#retryNow();
        break;
      case "disconnect":
        this.#intent = "down";
        break;
      case "disconnect_user":
        if (user) this.#login = { type: "logged_out" };
        break;
      case "retry_now":
        this.#retryNow();
        break;
      case "watch":
        if (user) {
          this.#transmit({ type: "watch", topics: [user.places.watch(input.topic, input.after)] });
        }
        break;
      case "unwatch":
        user?.places.unwatch(input.topic);
        this.#transmit({ type: "unwatch", topics: [input.topic] });
        break;
      case "presence":
        this.#presence = input.subscription;
        this.#transmit({ type: "presence", subscription: input.subscription });
        break;
      case "send":
        this.#transmit(input.frame);
        break;
      case "network":
        this.#networkIs(input.level);
        return { cause: "network" };
      case "app":
        this.#appIs(input.state);
        return { cause: "app_state" };
      case "token_fetched":
        this.#tokenFetched(input.fetch, input.token);
        return { cause: "token" };
      case "token_failed":
        this.#tokenFailed(input.fetch, input.permanent, input.message);
        return { cause: "token" };
      case "opened":
        this.#opened(input.dial);
        break;
      case "received":
        return { cause: this.#received(input.dial, input.frame) };
      case "closed":
        return this.#closed(input.dial, input.code, input.reason);
      case "tick":
        return { cause: this.#tick() };
    }
    return { cause: "wish" };
  }

  #connectUser(user: UserInput): void {
    const known = this.#user;
    this.#intent = "up";
    if (known?.user.id === user.id) {
      // New fields are told with the next hello; a connection in progress is joined.
      known.user = user;
      // The call may have brought another token provider.
      if (this.#link.type === "rest" || this.#link.type === "failed") known.token = { type: "unknown" };
    } else {
      this.#takeDown();
      this.#login = newUser(user);
    }
  }

  #retryNow(): void {
    const link = this.#link;
    if (link.type === "failed") {
      this.#link = { type: "rest" };
    } else if (link.type === "wait") {
      link.until = Math.min(link.until, this.#now + share(this.#jitter, this.#config.retry_now_spread_ms));
    }
  }

  #networkIs(level: NetworkLevel): void {
    const link = this.#link;
    const before = this.#network;
    this.#network = level;
    if (link.type !== "wait" || level === before) return;
    if (level === "down") link.until = this.#now + PROBE_MS;
    // From up to unknown is no news.
    else if (before !== "up") this.#retryNow();
  }

  #appIs(state: AppState): void {
    if (state === this.#app) return;
    this.#app = state;
    this.#transmit({ type: "app_state", state });
    if (state !== "foreground") return;
    const why = this.#link.type === "failed" ? this.#link.why : undefined;
    // Who was evicted comes back with its user, and not before: else two devices would evict each other in
    // turns. Whatever else failed waits for the app to act.
    if (!why || (why.type === "refused" && EVICTED_CODES.includes(why.code))) this.#retryNow();
  }

  /** Lets go of what is there, on purpose. */
  #takeDown(): void {
    const link = this.#link;
    if (link.type === "closing") return;
    const shown = this.state();
    this.#transmit({ type: "bye", intent: "leave" });
    delete this.#user?.predecessor;
    if ("dial" in link) {
      const { dial } = link;
      this.#out.push({ type: "close", dial, code: NORMAL });
      this.#link = { type: "closing", dial, shown, until: this.#now + CLOSE_WAIT_MS };
    } else {
      this.#link = { type: "rest" };
    }
  }

  /** Sends a frame if there is a connection to send it on. */
  #transmit(frame: ClientFrame): void {
    if (this.#link.type === "up") this.#out.push({ type: "transmit", dial: this.#link.dial, frame });
  }

  /** The first step of a dial: a token, or where there is one, the transport. */
  #dial(): Step {
    const token = this.#user?.token;
    if (token?.type !== "held") {
      const fetch = this.#fetch(token?.type === "refused" ? token.token : null);
      return { type: "token", fetch, until: this.#now + TOKEN_WAIT_MS };
    }
    const dial = ++this.#dials;
    this.#out.push({ type: "open", dial });
    return { type: "opening", dial, until: this.#now + this.#config.dial_timeout_ms };
  }

  #fetch(refused: string | null): number {
    const fetch = ++this.#fetches;
    this.#out.push({ type: "fetch_token", fetch, refused });
    return fetch;
  }

  #goOn({ story, since, shown }: Trying, step: Step): void {
    this.#link = { story, since, shown, ...step };
  }

  #opened(dial: number): void {
    const link = this.#link;
    const user = this.#user;
    if (!holds(link, dial)) {
      this.#out.push({ type: "close", dial, code: this.#wanted() ? MEANS_TO_RESUME : NORMAL });
    } else if (link.type === "opening" && user?.token.type === "held") {
      const told = { user: user.user, app: this.#app, presence: this.#presence };
      this.#goOn(link, { type: "hello", dial, until: link.until, told, words: new LastWords() });
      this.#out.push({ type: "transmit", dial, frame: hello(this.#config, user.token.token, user, told) });
    }
  }

  /** What waits for the answer to this fetch; a newer one makes it void. */
  #asking(fetch: number): Extract<Link, { type: "token" | "up" }> | undefined {
    const link = this.#link;
    return (link.type === "token" || link.type === "up") && link.fetch === fetch ? link : undefined;
  }

  #tokenFetched(fetch: number, token: string): void {
    const link = this.#asking(fetch);
    const user = this.#user;
    if (!user || !link) return;
    const refused = user.token.type === "refused" ? user.token : undefined;
    if (refused?.token === token) return this.#fail(refused.why);
    user.token = { type: "held", token, trust: refused ? "last" : "full" };
    if (link.type === "token") return this.#goOn(link, this.#dial());
    link.fetch = undefined;
    this.#transmit({ type: "token", token });
  }

  #tokenFailed(fetch: number, permanent: boolean, message: string): void {
    const link = this.#asking(fetch);
    if (!link) return;
    if (permanent) {
      if (link.type === "up") this.#out.push({ type: "close", dial: link.dial, code: MEANS_TO_RESUME });
      this.#fail({ type: "token", message });
    } else if (link.type === "token") {
      this.#lose(link, "backoff");
    } else {
      link.fetch = undefined;
      link.renewAt = this.#now + this.#backoff(link.renewals++);
    }
  }

  #tick(): Cause {
    const link = this.#link;
    if ((deadlineOf(link) ?? Infinity) > this.#now) return "timer";
    switch (link.type) {
      case "closing":
        this.#link = { type: "rest" };
        return "wish";
      case "token":
        this.#lose(link, "backoff");
        return "token";
      case "wait":
        this.#goOn(link, this.#dial());
        break;
      case "opening":
      case "hello":
        return this.#breakOff(link, "dial_timeout");
      case "up":
        if (deadAt(link) <= this.#now) return this.#breakOff(link, "dead_link");
        link.renewAt = Infinity;
        link.fetch = this.#fetch(null);
    }
    return "timer";
  }

  // What a connection takes from the server's frames.

  #received(dial: number, received: ReceivedFrame): Cause {
    const link = this.#link;
    const user = this.#user;
    if (!user || !holds(link, dial)) return "ready";
    if (link.type === "up") link.heardAt = this.#now;
    const frame = serverFrame(received);
    if (!frame || link.type === "opening") return "ready";
    const outOfPlace = link.type === "up" ? frame.type === "ready" : AFTER_READY.includes(frame.type);
    if (outOfPlace) return this.#breakOff(link, "protocol");
    if (link.type === "hello" && frame.type === "ready") {
      this.#ready(user, link, frame);
    } else {
      link.words.hear(this.#now, frame);
      if (link.type === "up") this.#heard(user, link, frame);
    }
    return "ready";
  }

  #ready(user: User, { dial, told, words }: Extract<Step, { type: "hello" }>, frame: ReadyFrame): void {
    const { type: _, ...ready } = frame;
    const { epoch, as_of } = ready;
    const heads = new Map(Object.entries(ready.heads ?? {}));
    user.told = told.user;
    user.predecessor = ready.connection_id;
    if (user.token.type === "held") user.token.trust = "full";
    const resets = user.log && user.log.epoch !== epoch ? user.places.forgetAll() : [];
    user.log = { epoch, as_of };
    user.places.dropRepairs();
    if (ready.resumed === "fresh") user.places.beginAt(heads);
    this.#link = {
      type: "up",
      dial,
      since: this.#now,
      heardAt: this.#now,
      deadLinkMs: ready.limits.dead_link_ms || this.#config.dead_link_ms,
      proven: false,
      renewAt: Infinity,
      renewals: 0,
      words,
      resetAlready: new Set(resets),
    };
    this.#out.push({ type: "ready", ready });
    for (const topic of resets) {
      // Where the server did not say how far the new log is, everything in it is new.
      this.#out.push({ type: "reset", topic, reason: "other_epoch", head: heads.get(topic) ?? 0 });
    }
    const watched = user.places.watched();
    while (watched.length > 0) {
      this.#transmit({ type: "watch", topics: watched.splice(0, WATCHED_PER_FRAME) });
    }
    // What changed while the answer was on the way.
    if (told.app !== this.#app) this.#transmit({ type: "app_state", state: this.#app });
    if (!equal(told.presence, this.#presence)) {
      this.#transmit({ type: "presence", subscription: this.#presence });
    }
  }

  /** Takes a frame of a connection that is up. */
  #heard(user: User, link: Live, frame: ServerFrame): void {
    const out = this.#out;
    switch (frame.type) {
      case "event": {
        const { topic, seq, event } = frame;
        const verdict = user.places.offer(topic, seq);
        if (verdict === "deliver") out.push({ type: "deliver", event: { topic, seq, event } });
        else if (verdict !== "drop") this.#transmit({ type: "watch", topics: [{ topic, ...verdict }] });
        break;
      }
      case "signal":
        out.push({ type: "signal", topic: frame.topic ?? null, signal: frame.signal });
        break;
      case "reset": {
        const { topic, reason, head } = frame;
        if (reason === "no_access") user.places.forget(topic);
        else user.places.reset(topic, head);
        const told = reason === "other_epoch" && link.resetAlready.delete(topic);
        if (!told) out.push({ type: "reset", topic, reason, head });
        break;
      }
      case "ping":
        link.proven = true;
        if (user.log) user.log.as_of = frame.as_of;
        this.#transmit({ type: "pong" });
        break;
      case "pong":
        link.proven = true;
        out.push({ type: "pong", id: frame.id });
        break;
      case "token_expiring":
        link.fetch = this.#fetch(null);
        link.renewAt = Infinity;
        link.renewals = 0;
        break;
      case "throttle":
        out.push({ type: "throttled", feature: frame.feature, for_ms: frame.retry_after_ms });
        break;
      case "error":
        out.push({ type: "refused", error: frame.error, topic: frame.topic ?? null });
    }
  }

  // How a connection ends, and how soon the next one is tried.

  #closed(dial: number, saidCode: CloseCode | null, saidReason: string): Why {
    const link = this.#link;
    if (link.type === "closing" && link.dial === dial) {
      this.#link = { type: "rest" };
      return { cause: "wish" };
    }
    // An old dial.
    if (!holds(link, dial)) return { cause: "transport_closed" };
    const words = "words" in link ? link.words : new LastWords();
    const at = words.returnAt(this.#now);
    // Where the close frame says nothing, a `bye` that came is as good.
    const code = saidCode === null || ABSENT_CODES.includes(saidCode) ? words.code : saidCode;
    if (code === null) {
      this.#lose(link, at ?? "backoff");
      return { cause: "transport_closed" };
    }
    const how = comeBack(code);
    const why = words.refused(code, saidReason);
    if (how === "never") this.#fail(why);
    else if (code === TOKEN_EXPIRED) this.#tokenExpired(link, why, at ?? how);
    else this.#lose(link, at ?? how);
    return { cause: "server_closed", code };
  }

  /** The server did not take the token, or no longer: one other is tried. */
  #tokenExpired(link: Trying | Live, why: FailedWhy, then: ComeBack | number): void {
    const user = this.#user;
    if (user?.token.type === "held") {
      if (user.token.trust === "last") return this.#fail(why);
      user.token = { type: "refused", token: user.token.token, why };
    }
    this.#lose(link, then);
  }

  /** Drops a transport that is of no use, and comes back. */
  #breakOff(link: Held, cause: Cause): Cause {
    this.#out.push({ type: "close", dial: link.dial, code: MEANS_TO_RESUME });
    this.#lose(link, ("words" in link && link.words.returnAt(this.#now)) || "backoff");
    return cause;
  }

  /**
   * There is no connection (any more), and one is wanted. `then` says how soon to come back: in a manner, or
   * at a time that the server named.
   */
  #lose(link: Trying | Live, then: ComeBack | number): void {
    const now = this.#now;
    const { stable_after_ms, spread_ms } = this.#config;
    const wasUp = link.type === "up";
    if (wasUp && link.proven && now >= link.since + stable_after_ms) this.#failures = 0;
    const before = this.#failures;
    const noNetwork = this.#network === "down";
    // A probe that finds no network says nothing of the server.
    if (wasUp || !noNetwork) this.#failures += 1;

    const backoff = now + this.#backoff(before);
    const times: Record<ComeBack, number> = {
      // At once, but not again and again: a server that closes every hello would be dialled in a loop.
      at_once: wasUp || before === 0 ? now : backoff,
      backoff,
      later: LATER_MS + backoff,
      spread: now + share(this.#jitter, spread_ms),
    };
    const named = typeof then === "number" ? then : times[then];
    const until = noNetwork ? now + PROBE_MS : named;

    const step: Step = then === "at_once" && until === now ? this.#dial() : { type: "wait", until };
    const { since, shown } = wasUp ? { since: now, shown: "online" as const } : link;
    this.#link = { story: "again", since, shown, ...step };
  }

  #fail(why: FailedWhy): void {
    const user = this.#user;
    delete user?.predecessor;
    if (user && (why.type === "token" || TOKEN_CODES.includes(why.code))) user.token = { type: "unknown" };
    this.#link = { type: "failed", why };
  }

  #backoff(failures: number): number {
    const { base_ms, cap_ms } = this.#config.backoff;
    const hidden = this.#app === "hidden" || this.#app === "background";
    const capMs = hidden ? Math.max(cap_ms, HIDDEN_CAP_MS) : cap_ms;
    return backoffWait({ base_ms, cap_ms: capMs }, failures, this.#jitter);
  }
}
