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
import {
  deadAt,
  heldDial,
  type HelloStep,
  holds,
  lastWords,
  type Link,
  linkDeadline,
  type Live,
  type Step,
  type Trying,
} from "./connection/link.js";
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

/** One call of `handle`: when, with which dice, and what comes out. */
interface Turn {
  readonly now: number;
  readonly jitter: number;
  readonly out: Output[];
}

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

  constructor(config: ConnectionConfig) {
    this.#config = config;
    this.#presence = config.presence;
  }

  /**
   * Takes what happened at `now` (ms on a clock that never steps back; where it starts does not matter);
   * answers what to do, in order. `jitter` is a fresh random number from 0 to 1, used where a wait is chosen.
   */
  handle(now: number, jitter: number, input: Input): Output[] {
    const turn: Turn = { now, jitter, out: [] };
    const from = this.state();
    const shown = this.uiStatus(now);
    const why = this.#take(turn, input);
    this.#reconcile(turn, shown);
    const to = this.state();
    if (!equal(from, to)) turn.out.push({ type: "changed", transition: { from, to, ...why } });
    return turn.out;
  }

  /** When to call with `tick` next. */
  deadline(): number | undefined {
    return linkDeadline(this.#link);
  }

  /** The public state. */
  state(): State {
    const link = this.#link;
    switch (link.type) {
      case "rest":
        return { type: AT_REST[this.#login.type] };
      case "failed":
        return { type: "failed", why: link.why };
      case "up":
        return { type: "connected" };
      case "closing":
        return link.shown;
      case "trying": {
        if (this.#network === "down") return { type: "no_network" };
        if (link.story === "first") return { type: "connecting", attempt: 1 };
        const retry_at = link.step.type === "wait" ? link.step.until : null;
        return { type: "reconnecting", attempt: Math.max(1, this.#failures), retry_at };
      }
    }
  }

  /**
   * The state as a banner would show it at this moment. It also changes with time alone: `ui_grace_ms` into a
   * downtime.
   */
  uiStatus(now: number): UiStatus {
    const link = this.#link;
    if (link.type === "failed") return "needs_action";
    if (!this.#wanted()) return this.#user ? "offline" : "signed_out";
    if (link.type !== "trying") return "online";
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

  /** Makes what is there into what is wanted. `shown` is what a banner showed before. */
  #reconcile(turn: Turn, shown: UiStatus): void {
    if (!this.#wanted()) {
      this.#takeDown(turn);
    } else if (this.#link.type === "rest") {
      this.#failures = 0;
      this.#link = { type: "trying", story: "first", since: turn.now, shown, step: this.#dial(turn) };
    }
  }

  #take(turn: Turn, input: Input): Why {
    const user = this.#user;
    switch (input.type) {
      case "connect_user":
        this.#connectUser(turn, input.user);
        this.#retryNow(turn);
        break;
      case "connect":
        this.#intent = "up";
        this.#retryNow(turn);
        break;
      case "disconnect":
        this.#intent = "down";
        break;
      case "disconnect_user":
        if (user) this.#login = { type: "logged_out" };
        break;
      case "retry_now":
        this.#retryNow(turn);
        break;
      case "watch":
        if (user) {
          this.#transmit(turn, { type: "watch", topics: [user.places.watch(input.topic, input.after)] });
        }
        break;
      case "unwatch":
        user?.places.unwatch(input.topic);
        this.#transmit(turn, { type: "unwatch", topics: [input.topic] });
        break;
      case "presence":
        this.#presence = input.subscription;
        this.#transmit(turn, { type: "presence", subscription: input.subscription });
        break;
      case "send":
        this.#transmit(turn, input.frame);
        break;
      case "network":
        this.#networkIs(turn, input.level);
        return { cause: "network" };
      case "app":
        this.#appIs(turn, input.state);
        return { cause: "app_state" };
      case "token_fetched":
        this.#tokenFetched(turn, input.fetch, input.token);
        return { cause: "token" };
      case "token_failed":
        this.#tokenFailed(turn, input.fetch, input.permanent, input.message);
        return { cause: "token" };
      case "opened":
        this.#opened(turn, input.dial);
        break;
      case "received":
        return { cause: this.#received(turn, input.dial, input.frame) };
      case "closed":
        return this.#closed(turn, input.dial, input.code, input.reason);
      case "tick":
        return { cause: this.#tick(turn) };
    }
    return { cause: "wish" };
  }

  #connectUser(turn: Turn, user: UserInput): void {
    const known = this.#user;
    this.#intent = "up";
    if (known?.user.id === user.id) {
      // New fields are told with the next hello; a connection in progress is joined.
      known.user = user;
      // The call may have brought another token provider.
      if (this.#link.type === "rest" || this.#link.type === "failed") known.token = { type: "unknown" };
    } else {
      this.#takeDown(turn);
      this.#login = newUser(user);
    }
  }

  #retryNow({ now, jitter }: Turn): void {
    const link = this.#link;
    if (link.type === "failed") {
      this.#link = { type: "rest" };
    } else if (link.type === "trying" && link.step.type === "wait") {
      const soon = now + share(jitter, this.#config.retry_now_spread_ms);
      link.step.until = Math.min(link.step.until, soon);
    }
  }

  #networkIs(turn: Turn, level: NetworkLevel): void {
    const link = this.#link;
    const before = this.#network;
    this.#network = level;
    if (link.type !== "trying" || level === before) return;
    if (level !== "down") {
      // From up to unknown is no news.
      if (before !== "up") this.#retryNow(turn);
    } else if (link.step.type === "wait") {
      link.step.until = turn.now + PROBE_MS;
    }
  }

  #appIs(turn: Turn, state: AppState): void {
    if (state === this.#app) return;
    this.#app = state;
    this.#transmit(turn, { type: "app_state", state });
    if (state !== "foreground") return;
    const why = this.#link.type === "failed" ? this.#link.why : undefined;
    // Who was evicted comes back with its user, and not before: else two devices would evict each other in
    // turns. Whatever else failed waits for the app to act.
    if (!why || (why.type === "refused" && EVICTED_CODES.includes(why.code))) this.#retryNow(turn);
  }

  /** Lets go of what is there, on purpose. */
  #takeDown(turn: Turn): void {
    if (this.#link.type === "closing") return;
    const shown = this.state();
    const dial = heldDial(this.#link);
    this.#transmit(turn, { type: "bye", intent: "leave" });
    delete this.#user?.predecessor;
    if (dial === undefined) {
      this.#link = { type: "rest" };
    } else {
      turn.out.push({ type: "close", dial, code: NORMAL });
      this.#link = { type: "closing", dial, shown, until: turn.now + CLOSE_WAIT_MS };
    }
  }

  /** Sends a frame if there is a connection to send it on. */
  #transmit(turn: Turn, frame: ClientFrame): void {
    if (this.#link.type === "up") turn.out.push({ type: "transmit", dial: this.#link.dial, frame });
  }

  /** The first step of a dial: a token, or where there is one, the transport. */
  #dial(turn: Turn): Step {
    const token = this.#user?.token;
    if (token?.type !== "held") {
      const fetch = this.#fetch(turn, token?.type === "refused" ? token.token : null);
      return { type: "token", fetch, until: turn.now + TOKEN_WAIT_MS };
    }
    const dial = ++this.#dials;
    turn.out.push({ type: "open", dial });
    return { type: "opening", dial, until: turn.now + this.#config.dial_timeout_ms };
  }

  #fetch(turn: Turn, refused: string | null): number {
    const fetch = ++this.#fetches;
    turn.out.push({ type: "fetch_token", fetch, refused });
    return fetch;
  }

  #opened(turn: Turn, dial: number): void {
    const link = this.#link;
    const user = this.#user;
    if (heldDial(link) !== dial) {
      turn.out.push({ type: "close", dial, code: this.#wanted() ? MEANS_TO_RESUME : NORMAL });
    } else if (link.type === "trying" && link.step.type === "opening" && user?.token.type === "held") {
      const told = { user: user.user, app: this.#app, presence: this.#presence };
      link.step = { type: "hello", dial, until: link.step.until, told, words: new LastWords() };
      turn.out.push({ type: "transmit", dial, frame: hello(this.#config, user.token.token, user, told) });
    }
  }

  #tokenFetched(turn: Turn, fetch: number, token: string): void {
    const link = this.#link;
    const user = this.#user;
    if (!user) return;
    const refused = user.token.type === "refused" ? user.token : undefined;
    if (link.type === "trying" && link.step.type === "token" && link.step.fetch === fetch) {
      if (refused?.token === token) return this.#fail(refused.why);
      user.token = { type: "held", token, trust: refused ? "last" : "full" };
      link.step = this.#dial(turn);
    } else if (link.type === "up" && link.renewal.type === "asked" && link.renewal.fetch === fetch) {
      link.renewal = { type: "none" };
      user.token = { type: "held", token, trust: "full" };
      this.#transmit(turn, { type: "token", token });
    }
  }

  #tokenFailed(turn: Turn, fetch: number, permanent: boolean, message: string): void {
    const link = this.#link;
    if (link.type === "trying" && link.step.type === "token" && link.step.fetch === fetch) {
      if (permanent) this.#fail({ type: "token", message });
      else this.#lose(turn, link, "backoff");
    } else if (link.type === "up" && link.renewal.type === "asked" && link.renewal.fetch === fetch) {
      const { failures } = link.renewal;
      if (permanent) {
        turn.out.push({ type: "close", dial: link.dial, code: MEANS_TO_RESUME });
        this.#fail({ type: "token", message });
      } else {
        const until = turn.now + this.#backoff(failures, turn.jitter);
        link.renewal = { type: "wait", until, failures: failures + 1 };
      }
    }
  }

  #tick(turn: Turn): Cause {
    const link = this.#link;
    if ((linkDeadline(link) ?? Infinity) > turn.now) return "timer";
    if (link.type === "closing") {
      this.#link = { type: "rest" };
      return "wish";
    }
    if (link.type === "up") {
      if (deadAt(link) <= turn.now) return this.#breakOff(turn, link, link.dial, "dead_link");
      if (link.renewal.type === "wait") {
        const { failures } = link.renewal;
        link.renewal = { type: "asked", fetch: this.#fetch(turn, null), failures };
      }
    }
    if (link.type === "trying") {
      const { step } = link;
      if (step.type === "token") {
        this.#lose(turn, link, "backoff");
        return "token";
      }
      if (step.type !== "wait") return this.#breakOff(turn, link, step.dial, "dial_timeout");
      link.step = this.#dial(turn);
    }
    return "timer";
  }

  // What a connection takes from the server's frames.

  #received(turn: Turn, dial: number, received: ReceivedFrame): Cause {
    const link = this.#link;
    const user = this.#user;
    if (!user || !holds(link, dial)) return "ready";
    if (link.type === "up") link.heardAt = turn.now;
    const frame = serverFrame(received);
    if (!frame) return "ready";

    if (link.type === "up") {
      if (frame.type === "ready") return this.#breakOff(turn, link, dial, "protocol");
      link.words.hear(turn.now, frame);
      this.#heard(turn, user, link, frame);
    } else if (link.step.type === "hello") {
      if (frame.type === "ready") this.#ready(turn, user, link.step, frame);
      else if (AFTER_READY.includes(frame.type)) return this.#breakOff(turn, link, dial, "protocol");
      else link.step.words.hear(turn.now, frame);
    }
    return "ready";
  }

  #ready(turn: Turn, user: User, { dial, told, words }: HelloStep, frame: ReadyFrame): void {
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
      since: turn.now,
      heardAt: turn.now,
      deadLinkMs: ready.limits.dead_link_ms || this.#config.dead_link_ms,
      proof: "none",
      renewal: { type: "none" },
      words,
      resetAlready: new Set(resets),
    };
    turn.out.push({ type: "ready", ready });
    for (const topic of resets) {
      // Where the server did not say how far the new log is, everything in it is new.
      turn.out.push({ type: "reset", topic, reason: "other_epoch", head: heads.get(topic) ?? 0 });
    }
    const watched = user.places.watched();
    while (watched.length > 0) {
      this.#transmit(turn, { type: "watch", topics: watched.splice(0, WATCHED_PER_FRAME) });
    }
    // What changed while the answer was on the way.
    if (told.app !== this.#app) this.#transmit(turn, { type: "app_state", state: this.#app });
    if (!equal(told.presence, this.#presence)) {
      this.#transmit(turn, { type: "presence", subscription: this.#presence });
    }
  }

  /** Takes a frame of a connection that is up. */
  #heard(turn: Turn, user: User, link: Live, frame: ServerFrame): void {
    const { out } = turn;
    switch (frame.type) {
      case "event": {
        const { topic, seq, event } = frame;
        const verdict = user.places.offer(topic, seq);
        if (verdict === "deliver") out.push({ type: "deliver", event: { topic, seq, event } });
        else if (verdict !== "drop") this.#transmit(turn, { type: "watch", topics: [{ topic, ...verdict }] });
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
        link.proof = "round_trip";
        if (user.log) user.log.as_of = frame.as_of;
        this.#transmit(turn, { type: "pong" });
        break;
      case "pong":
        link.proof = "round_trip";
        out.push({ type: "pong", id: frame.id });
        break;
      case "token_expiring":
        link.renewal = { type: "asked", fetch: this.#fetch(turn, null), failures: 0 };
        break;
      case "throttle":
        out.push({ type: "throttled", feature: frame.feature, for_ms: frame.retry_after_ms });
        break;
      case "error":
        out.push({ type: "refused", error: frame.error, topic: frame.topic ?? null });
    }
  }

  // How a connection ends, and how soon the next one is tried.

  #closed(turn: Turn, dial: number, saidCode: CloseCode | null, saidReason: string): Why {
    const link = this.#link;
    if (link.type === "closing" && link.dial === dial) {
      this.#link = { type: "rest" };
      return { cause: "wish" };
    }
    // An old dial.
    if (!holds(link, dial)) return { cause: "transport_closed" };
    const words = lastWords(link);
    const at = words.returnAt(turn.now);
    // Where the close frame says nothing, a `bye` that came is as good.
    const code = saidCode === null || ABSENT_CODES.includes(saidCode) ? words.code : saidCode;
    if (code === null) {
      this.#lose(turn, link, at ?? "backoff");
      return { cause: "transport_closed" };
    }
    const how = comeBack(code);
    const why = words.refused(code, saidReason);
    if (how === "never") this.#fail(why);
    else if (code === TOKEN_EXPIRED) this.#tokenExpired(turn, link, why, at ?? how);
    else this.#lose(turn, link, at ?? how);
    return { cause: "server_closed", code };
  }

  /** The server did not take the token, or no longer: one other is tried. */
  #tokenExpired(turn: Turn, link: Trying | Live, why: FailedWhy, then: ComeBack | number): void {
    const user = this.#user;
    if (user?.token.type === "held") {
      if (user.token.trust === "last") return this.#fail(why);
      user.token = { type: "refused", token: user.token.token, why };
    }
    this.#lose(turn, link, then);
  }

  /** Drops a transport that is of no use, and comes back. */
  #breakOff(turn: Turn, link: Trying | Live, dial: number, cause: Cause): Cause {
    turn.out.push({ type: "close", dial, code: MEANS_TO_RESUME });
    this.#lose(turn, link, lastWords(link).returnAt(turn.now) ?? "backoff");
    return cause;
  }

  /**
   * There is no connection (any more), and one is wanted. `then` says how soon to come back: in a manner, or
   * at a time that the server named.
   */
  #lose(turn: Turn, link: Trying | Live, then: ComeBack | number): void {
    const { now, jitter } = turn;
    const { stable_after_ms, spread_ms } = this.#config;
    const wasUp = link.type === "up";
    if (wasUp && link.proof === "round_trip" && now >= link.since + stable_after_ms) this.#failures = 0;
    const before = this.#failures;
    const noNetwork = this.#network === "down";
    // A probe that finds no network says nothing of the server.
    if (wasUp || !noNetwork) this.#failures += 1;

    const backoff = now + this.#backoff(before, jitter);
    const times: Record<ComeBack, number> = {
      // At once, but not again and again: a server that closes every hello would be dialled in a loop.
      at_once: wasUp || before === 0 ? now : backoff,
      backoff,
      later: LATER_MS + backoff,
      spread: now + share(jitter, spread_ms),
    };
    const named = typeof then === "number" ? then : times[then];
    const until = noNetwork ? now + PROBE_MS : named;

    const step: Step = then === "at_once" && until === now ? this.#dial(turn) : { type: "wait", until };
    const { since, shown } = wasUp ? { since: now, shown: "online" as const } : link;
    this.#link = { type: "trying", story: "again", since, shown, step };
  }

  #fail(why: FailedWhy): void {
    const user = this.#user;
    delete user?.predecessor;
    if (user && (why.type === "token" || TOKEN_CODES.includes(why.code))) user.token = { type: "unknown" };
    this.#link = { type: "failed", why };
  }

  #backoff(failures: number, jitter: number): number {
    const { base_ms, cap_ms } = this.#config.backoff;
    const hidden = this.#app === "hidden" || this.#app === "background";
    const capMs = hidden ? Math.max(cap_ms, HIDDEN_CAP_MS) : cap_ms;
    return backoffWait({ base_ms, cap_ms: capMs }, failures, jitter);
  }
}
