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
  LEASE_EXPIRED,
  MEANS_TO_RESUME,
  NORMAL,
  TOKEN_CODES,
  TOKEN_EXPIRED,
} from "./connection/close.js";
import type { ConnectionConfig } from "./connection/config.js";
import { equal } from "./connection/equal.js";
import { hello } from "./connection/hello.js";
import type { AppLevel, Input, NetworkLevel, ReceivedFrame } from "./connection/input.js";
import { LastWords } from "./connection/last_words.js";
import {
  climbing,
  deadAt,
  deadlineOf,
  type Greeted,
  holds,
  type Link,
  type Live,
  type Opening,
  type Step,
  type Told,
  type Trying,
} from "./connection/link.js";
import { type Login, newUser, type Saved, type User } from "./connection/login.js";
import type { Output } from "./connection/output.js";
import { serverFrame } from "./connection/server_frame.js";
import type { Cause, FailedWhy, State, Transition, UiStatus, Why } from "./connection/state.js";
import { type Transport, Ways } from "./connection/ways.js";
import { Wish } from "./connection/wish.js";
import type { ClientFrame, CloseCode, PresenceSubscription, ServerFrame, UserInput } from "./wire.js";

export type { AppLevel, Cause, ConnectionConfig, FailedWhy, Input, NetworkLevel, Output, ReceivedFrame };
export type { Saved, State, Transition, Transport, UiStatus, Why };

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
/** The id of the machine's own pings; apps use others. */
const PROBE_ID = 0;
/** Topics in one `watch` frame: with the longest names it stays below the server's frame limit. */
const WATCHED_PER_FRAME = 100;
/** What a server may not say before `ready`. */
const AFTER_READY: readonly string[] = ["event", "signal", "reset"];

type ReadyFrame = Extract<ServerFrame, { type: "ready" }>;

/** How soon to come back after a loss: in a manner, at a time that the server named, or at once by another way. */
type Return = ComeBack | "elsewhere" | number;

/**
 * ```ts
 * const connection = new Connection(config);
 * connection.handle(0, 0.5, { type: "connect_user", user: { id: "alice" } }); // [fetch_token 1, changed]
 * connection.handle(20, 0.5, { type: "token_fetched", fetch: 1, token: "…" }); // [open 1 by web_socket]
 * connection.deadline(); // 10_020: without an answer it is given up after ten seconds
 * ```
 */
export class Connection {
  readonly #config: ConnectionConfig;
  // Levels: what is wanted follows from these alone.
  #login: Login = { type: "none" };
  readonly #wish: Wish;
  #network: NetworkLevel = "unknown";
  #presence: PresenceSubscription;
  // What is there.
  #link: Link = { type: "rest" };
  /** Losses and failed dials since the connection was last stable. */
  #failures = 0;
  #dials = 0;
  #fetches = 0;
  readonly #ways: Ways;
  // Of the call of `handle` that is under way: when, with which dice, and what comes out.
  #now = 0;
  #jitter = 0;
  #out: Output[] = [];

  constructor(config: ConnectionConfig) {
    this.#config = config;
    this.#wish = new Wish(config);
    this.#ways = new Ways(config.transports);
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
    const holdEnded = this.#wish.endHold(now);
    let why = this.#take(input);
    const isWanted = this.#isWanted;
    if (holdEnded && !isWanted) why = { cause: "lease" };
    // What is there becomes what is wanted.
    if (isWanted && this.#link.type === "rest") {
      this.#failures = 0;
      this.#link = { story: "first", since: now, shown, ...this.#dial() };
    } else if (!isWanted && this.#link.type === "failed") {
      // What failed stays failed while the app is away: it is not less broken when it comes back.
      if (this.#wish.intent !== "up") this.#link = { type: "rest" };
    } else if (!isWanted && this.#link.type !== "rest") {
      this.#takeDown(shown, why.cause);
    }
    const to = this.state();
    if (!equal(from, to)) this.#out.push({ type: "changed", transition: { from, to, ...why } });
    return this.#out;
  }

  /** When to call with `tick` next. */
  deadline(): number | undefined {
    const at = Math.min(deadlineOf(this.#link), this.#wish.deadline);
    return at < Infinity ? at : undefined;
  }

  /** How frames travel, while connected. */
  transport(): Transport | undefined {
    return this.#link.type === "up" ? this.#config.transports[this.#link.at] : undefined;
  }

  /** What a later run needs to go on from here; nothing without a user, or before her first `ready`. */
  saved(): Saved | undefined {
    const user = this.#user;
    if (!user?.log) return undefined;
    const { told = null, log, places } = user;
    return { told, ...log, cursors: places.forResume(), worked_in: { ...this.#ways.workedIn } };
  }

  /** The public state. */
  state(): State {
    const link = this.#link;
    switch (link.type) {
      case "rest":
        return { type: this.#atRest() };
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

  #atRest(): "idle" | "closed" | "parked" | "offline" {
    if (this.#login.type === "none") return "idle";
    if (this.#login.type === "logged_out") return "closed";
    return this.#wish.intent !== "down" && !this.#wish.isInFront ? "parked" : "offline";
  }

  /**
   * The state as a banner would show it at this moment. It also changes with time alone: `ui_grace_ms` into a
   * downtime.
   */
  uiStatus(now: number): UiStatus {
    const link = this.#link;
    if (link.type === "failed") return "needs_action";
    if (!this.#isWanted || link.type === "rest") return this.#user ? "offline" : "signed_out";
    if (link.type === "closing") return link.ui;
    if (link.type === "up") return "online";
    if (now < link.since + this.#config.ui_grace_ms) return link.shown;
    return this.#network === "down" ? "offline" : "reconnecting";
  }

  get #user(): User | undefined {
    return this.#login.type === "user" ? this.#login : undefined;
  }

  /** What the levels ask for. */
  get #isWanted(): boolean {
    return this.#user !== undefined && this.#wish.isUp;
  }

  #take(input: Input): Why {
    const user = this.#user;
    switch (input.type) {
      case "connect_user":
        this.#connectUser(input.user);
        this.#comeUp();
        break;
      case "login":
        this.#logIn(input.user, input.saved);
        break;
      case "connect":
        if (user) this.#comeUp();
        break;
      case "disconnect":
        this.#wish.intent = "down";
        break;
      case "disconnect_user":
        if (!user) break;
        this.#login = { type: "logged_out" };
        this.#wish.intent = "down";
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
        if (!user) break;
        user.places.unwatch(input.topic);
        this.#transmit({ type: "unwatch", topics: [input.topic] });
        break;
      case "presence":
        this.#presence = input.subscription;
        this.#transmit({ type: "presence", subscription: input.subscription });
        break;
      case "send":
        if (input.frame.type === "ping" && this.#link.type === "up") this.#wish.pinged(this.#now);
        this.#transmit(input.frame);
        break;
      case "network":
        this.#networkIs(input.level);
        return { cause: "network" };
      case "path":
        this.#pathIs(input.network);
        return { cause: "network" };
      case "woke":
        this.#woke();
        return { cause: "timer" };
      case "app":
        this.#appIs(input.level);
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
        return this.#received(input.dial, input.frame);
      case "closed": {
        const why = this.#closed(input.dial, input.code, input.reason);
        return input.why ?? why;
      }
      case "tick":
        return this.#tick();
    }
    return { cause: "wish" };
  }

  #connectUser(user: UserInput): void {
    const known = this.#user;
    if (known?.user.id === user.id) {
      // New fields are told with the next hello; a connection in progress is joined.
      known.user = user;
      // The call may have brought another token provider.
      if (this.#link.type === "rest" || this.#link.type === "failed") known.token = { type: "unknown" };
    } else {
      this.#letGo();
      this.#login = newUser(user);
    }
  }

  #logIn(user: UserInput, saved: Saved | null): void {
    if (this.#user?.user.id === user.id) return;
    this.#letGo();
    if (this.#config.mode === "auto") this.#wish.intent = "up";
    if (saved) this.#ways.recall(saved.worked_in);
    this.#login = newUser(user, saved);
  }

  /** Whoever was there is gone. */
  #letGo(): void {
    const shown = this.uiStatus(this.#now);
    this.#wish.intent = "down";
    this.#takeDown(shown, "wish");
  }

  #comeUp(): void {
    this.#wish.intent = "up";
    if (!this.#wish.isInFront) {
      this.#wish.holdOn(this.#now);
      this.#transmit(this.#wish.told(this.#now));
    }
    this.#retryNow();
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
    if (level === before) return;
    if (before === "down") this.#checkLink();
    else if (link.type !== "wait") return;
    else if (level === "down") link.until = this.#now + PROBE_MS;
    // From up to unknown is no news.
    else if (level === "up") this.#retryNow();
  }

  #pathIs(network: string | null): void {
    const link = this.#link;
    this.#ways.goesBy(network ?? "");
    if (link.type === "up" && this.#ways.at < link.at && !climbing(link)) {
      link.climb = { type: "wait", until: this.#now };
    }
    this.#checkLink();
  }

  #appIs(level: AppLevel): void {
    const link = this.#link;
    const { before, isNews } = this.#wish.appIs(level, this.#now);
    if (isNews && this.#user) this.#transmit(this.#wish.told(this.#now));
    if (level === before || !this.#wish.isInFront) return;
    const why = link.type === "failed" ? link.why : undefined;
    // Who was evicted comes back with its user, and not before: else two devices would evict each other in
    // turns. Whatever else failed waits for the app to act.
    if (level === "foreground" && why?.type === "refused" && EVICTED_CODES.includes(why.code)) {
      this.#link = { type: "rest" };
    }
    if (before === "background" || before === "frozen") this.#woke();
    else if (level === "foreground") this.#checkLink();
  }

  /**
   * Time has passed without us. Before the next dial the provider is asked for a token, because the old one may have
   * ended meanwhile.
   */
  #woke(): void {
    const user = this.#user;
    if (user) user.renew = true;
    this.#checkLink();
  }

  /** Nothing that was known of the link is sure any more: it has to answer, or is dialled again; a wait ends soon. */
  #checkLink(): void {
    const link = this.#link;
    if (link.type === "wait") {
      this.#retryNow();
    } else if (link.type === "up" && link.probeUntil === undefined) {
      link.probeUntil = this.#now + this.#config.wake_probe_ms;
      this.#transmit({ type: "ping", id: PROBE_ID });
    }
  }

  /** Lets go of what is there, on purpose: for good, or for the background. `ui` is what a banner showed. */
  #takeDown(ui: UiStatus, cause: Cause): void {
    const shown = this.state();
    this.#promote();
    const link = this.#link;
    if (link.type === "closing") return;
    const parks = this.#user !== undefined && this.#wish.intent !== "down";
    this.#transmit({ type: "bye", intent: parks ? "park" : "leave" });
    if (!parks) delete this.#user?.predecessor;
    this.#stopClimbing();
    this.#link = { type: "rest" };
    if (!("dial" in link)) return;
    const { dial } = link;
    this.#out.push({ type: "close", dial, code: parks ? MEANS_TO_RESUME : NORMAL });
    this.#link = { type: "closing", dial, shown, ui, cause, until: this.#now + CLOSE_WAIT_MS };
  }

  /** Sends a frame if there is a connection to send it on. */
  #transmit(frame: ClientFrame): void {
    const link = this.#link;
    if (link.type === "up" && !link.over) this.#out.push({ type: "transmit", dial: link.dial, frame });
  }

  #drop(dial: number): void {
    this.#out.push({ type: "close", dial, code: MEANS_TO_RESUME });
  }

  /** The first step of a dial: a token, or where there is one, the transport. */
  #dial(): Step {
    const user = this.#user;
    const token = user?.token;
    if (token?.type === "held" && !user?.renew) return this.#open(this.#ways.at);
    const fetch = this.#fetch(token?.type === "refused" ? token.token : null);
    return { type: "token", fetch, until: this.#now + TOKEN_WAIT_MS };
  }

  /** Opens one of the allowed transports. */
  #open(at: number): Opening {
    const { transports, dial_timeout_ms, stall_ms } = this.#config;
    const transport = transports[at]!;
    const dial = ++this.#dials;
    this.#out.push({ type: "open", dial, transport });
    const whole = this.#now + dial_timeout_ms;
    const until = at + 1 < transports.length ? Math.min(whole, this.#now + stall_ms) : whole;
    // An open WebSocket has passed what stands in the way of it, and may take its time to say `ready`; with the
    // others nothing is known before that.
    return { type: "opening", dial, at, until, readyUntil: transport === "web_socket" ? whole : until };
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
    const climb = climbing(link);
    const user = this.#user;
    if (user && holds(link, dial)) {
      if (link.type === "opening") this.#goOn(link, this.#greet(user, link));
      else if (link.type === "up" && this.#polls(link)) link.asked ??= this.#sayHello(user, link);
    } else if (user && link.type === "up" && climb?.dial === dial) {
      if (climb.type === "opening") link.climb = this.#greet(user, climb);
    } else {
      this.#out.push({ type: "close", dial, code: this.#isWanted ? MEANS_TO_RESUME : NORMAL });
    }
  }

  #polls({ at }: { at: number }): boolean {
    return this.#config.transports[at] === "long_poll";
  }

  #greet(user: User, opened: Opening): Greeted {
    const { dial, at, readyUntil: until } = opened;
    return { type: "hello", dial, at, until, told: this.#sayHello(user, opened), words: new LastWords() };
  }

  /** Says hello, with what the app has. A poll also says what is watched: the server forgets it with the answer. */
  #sayHello(user: User, to: Opening | Live): Told {
    const { dial } = to;
    const told = { user: user.user, app: this.#wish.appState, presence: this.#presence };
    if (this.#polls(to)) this.#watchAgain(user, dial);
    // Nothing is opened before there is a token.
    const token = user.token.type === "held" ? user.token.token : "";
    const frame = hello(this.#config, token, user, told, this.#ways.heartbeatMs);
    this.#out.push({ type: "transmit", dial, frame });
    return told;
  }

  /** Says what is watched, from where the app stands. */
  #watchAgain(user: User, dial: number): void {
    const watched = user.places.watched();
    while (watched.length > 0) {
      const topics = watched.splice(0, WATCHED_PER_FRAME);
      this.#out.push({ type: "transmit", dial, frame: { type: "watch", topics } });
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
    const trust = user.token.type === "held" ? user.token.trust : refused ? "last" : "full";
    user.token = { type: "held", token, trust };
    user.renew = false;
    if (link.type === "token") return this.#goOn(link, this.#dial());
    link.fetch = undefined;
    this.#transmit({ type: "token", token });
  }

  #tokenFailed(fetch: number, permanent: boolean, message: string): void {
    const link = this.#asking(fetch);
    if (!link) return;
    if (permanent) {
      if (link.type === "up") this.#drop(link.dial);
      this.#stopClimbing();
      this.#fail({ type: "token", message });
    } else if (link.type === "token") {
      this.#lose(link, "backoff");
    } else {
      link.fetch = undefined;
      link.renewAt = this.#now + this.#backoff(link.renewals++);
    }
  }

  #tick(): Why {
    const timer: Why = { cause: "timer" };
    if (this.#now >= (this.deadline() ?? Infinity) + this.#config.wake_jump_ms) this.#woke();
    if (deadlineOf(this.#link) > this.#now || this.#promote(true)) return timer;
    const link = this.#link;
    switch (link.type) {
      case "closing":
        this.#link = { type: "rest" };
        return { cause: link.cause };
      case "token":
        this.#lose(link, "backoff");
        return { cause: "token" };
      case "wait":
        this.#goOn(link, this.#dial());
        break;
      case "opening":
      case "hello":
        return this.#breakOff(link, "dial_timeout");
      case "up":
        if (deadAt(link) <= this.#now) return this.#breakOff(link, "dead_link");
        if (link.renewAt <= this.#now) {
          link.renewAt = Infinity;
          link.fetch = this.#fetch(null);
        }
        if (link.climb && link.climb.until <= this.#now) {
          const tried = climbing(link);
          if (tried) this.#drop(tried.dial);
          this.#climb(link, tried);
        }
    }
    return timer;
  }

  // Back to a better transport, without a break: the new one is up before the old one is let go.

  /** Tries the best one, or after one that came to nothing the next. */
  #climb(link: Live, tried?: Opening | Greeted): void {
    const at = tried ? tried.at + 1 : 0;
    const later = { type: "wait", until: this.#now + this.#config.climb_ms } as const;
    link.climb = at < link.at ? this.#open(at) : later;
  }

  /** A transport is gone. Answers whether it was the one for climbing, and another is still up. */
  #climbFailed(dial: number): boolean {
    const tried = climbing(this.#link);
    if (tried?.dial !== dial) return false;
    this.#promote();
    if (this.#link.type !== "up") return false;
    this.#climb(this.#link, tried);
    return true;
  }

  /**
   * If the dial for a better transport is all there is, it becomes a dial like any other. One that stands still does
   * not: something on the way holds its answer back, so the transport that worked is dialled once more, and nobody needs
   * to see a break. Answers whether it is.
   */
  #promote(standsStill?: boolean): boolean | undefined {
    const link = this.#link as Live;
    const step = climbing(link);
    if (!link.over || !step) return;
    if (!standsStill || step.at >= link.at) {
      this.#ways.at = step.at;
      this.#link = { story: "again", since: this.#now, shown: "online", ...step };
      return;
    }
    this.#drop(step.dial);
    const until = this.#now + this.#config.wake_probe_ms;
    link.climb = { ...this.#open(link.at), until, readyUntil: until };
    return true;
  }

  #stopClimbing(): void {
    const link = this.#link;
    const climb = climbing(link);
    if (climb) this.#drop(climb.dial);
    if (link.type === "up") link.climb = undefined;
  }

  // What a connection takes from the server's frames.

  #received(dial: number, received: ReceivedFrame): Why {
    const link = this.#link;
    const user = this.#user;
    const frame = serverFrame(received);
    const ready: Why = { cause: "ready" };
    const climb = climbing(link);
    if (user && link.type === "up" && climb?.dial === dial) {
      if (climb.type === "hello" && frame?.type === "ready") {
        this.#ready(user, climb, frame);
        if (!link.over) this.#drop(link.dial);
      } else if (frame && AFTER_READY.includes(frame.type)) {
        this.#drop(dial);
        this.#climbFailed(dial);
      }
      return ready;
    }
    if (!user || !holds(link, dial)) return ready;
    if (link.type === "up") {
      link.heardAt = this.#now;
      link.probeUntil = undefined;
    } else if (link.type === "hello") {
      this.#ways.heard();
      link.words.any = true;
    }
    if (!frame || link.type === "opening") return ready;
    if (frame.type === "ready") {
      const told = link.type === "up" ? link.asked : link.told;
      if (!told) return this.#breakOff(link, "protocol");
      this.#ready(user, { ...link, told }, frame);
    } else if (link.type === "hello" && AFTER_READY.includes(frame.type)) {
      return this.#breakOff(link, "protocol");
    } else {
      link.words.hear(this.#now, frame);
      if (link.type === "up") this.#heard(user, link, frame);
    }
    return ready;
  }

  /** The server's answer to hello: the connection is up by this dial, goes over to it, or polls on. */
  #ready(user: User, said: Pick<Greeted, "dial" | "at" | "told" | "words">, frame: ReadyFrame): void {
    const { type: _, ...ready } = frame;
    const { epoch, as_of } = ready;
    const { dial, at, told, words } = said;
    const heads = new Map(Object.entries(ready.heads ?? {}));
    const before = this.#link;
    user.told = told.user;
    user.predecessor = ready.connection_id;
    if (user.token.type === "held") user.token.trust = "full";
    const resets = user.log && user.log.epoch !== epoch ? user.places.forgetAll() : [];
    user.log = { epoch, as_of };
    user.places.dropRepairs();
    if (ready.resumed === "fresh") user.places.beginAt(heads);
    const resetAlready = new Set(resets);
    if (before.type === "up" && before.dial === dial) {
      Object.assign(before, { asked: undefined, proven: true, resetAlready });
    } else {
      const { stable_after_ms, climb_ms, dead_link_ms } = this.#config;
      const inDoubt = this.#ways.worked(at);
      // Where the server was away when the better ones were tried, they soon have another try.
      const climbMs = inDoubt ? Math.min(stable_after_ms, climb_ms) : climb_ms;
      this.#link = {
        type: "up",
        dial,
        at,
        since: this.#now,
        heardAt: this.#now,
        deadLinkMs: ready.limits.dead_link_ms || dead_link_ms,
        proven: false,
        renewAt: Infinity,
        renewals: 0,
        climb: at > 0 ? { type: "wait", until: this.#now + climbMs } : undefined,
        over: false,
        words,
        resetAlready,
      };
    }
    this.#out.push({ type: before.type === "up" ? "renewed" : "ready", ready });
    for (const topic of resets) {
      // Where the server did not say how far the new log is, everything in it is new.
      this.#out.push({ type: "reset", topic, reason: "other_epoch", head: heads.get(topic) ?? 0 });
    }
    // A poll has said it before its hello.
    if (!this.#polls(said)) this.#watchAgain(user, dial);
    // What changed while the answer was on the way, and the lease, which hello has no place for.
    const now = this.#wish.told(this.#now);
    if (now.state !== told.app || now.lease_ms) this.#transmit(now);
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
        if (frame.id !== PROBE_ID) out.push({ type: "pong", id: frame.id });
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
    const gone: Why = { cause: "transport_closed" };
    if (this.#climbFailed(dial)) return gone;
    const link = this.#link;
    if (link.type === "closing" && link.dial === dial) {
      this.#link = { type: "rest" };
      return { cause: link.cause };
    }
    // An old dial.
    if (!holds(link, dial)) return gone;
    const next = climbing(link);
    if (link.type === "up" && next?.type === "hello") {
      // It is the next one's hello that ended this one, and nobody needs to see a break.
      next.until = Math.min(next.until, this.#now + this.#config.wake_probe_ms);
      link.over = true;
      return gone;
    }
    this.#stopClimbing();
    const words = "words" in link ? link.words : new LastWords();
    const at = words.returnAt(this.#now);
    // Where the close frame says nothing, a `bye` that came is as good.
    const code = saidCode === null || ABSENT_CODES.includes(saidCode) ? words.code : saidCode;
    if (code === null) {
      if (link.type === "up") this.#ways.cut(this.#now - link.heardAt);
      const elsewhere = !words.any && this.#fallsBack(link, false, saidReason);
      this.#lose(link, elsewhere ? "elsewhere" : (at ?? "backoff"));
      return gone;
    }
    const how = comeBack(code);
    const why = words.refused(code, saidReason);
    if (code === LEASE_EXPIRED) this.#leaseIsOver(link);
    else if (how === "never") this.#fail(why);
    else if (code === TOKEN_EXPIRED) this.#tokenExpired(link, why, at ?? how);
    else this.#lose(link, at ?? how);
    return { cause: "server_closed", code };
  }

  /** The server ended what outlived its lease. */
  #leaseIsOver(link: Trying | Live): void {
    // The user came back in that very moment.
    if (this.#wish.isInFront) return this.#lose(link, "at_once");
    this.#wish.letGo();
    this.#link = { type: "rest" };
  }

  /** A dial ended without a word from the server. Answers whether the next transport is tried now. */
  #fallsBack(link: Trying | Live, stalled: boolean, because: string): boolean {
    if (!("at" in link) || link.type === "up" || this.#network === "down") return false;
    const at = this.#ways.failed(stalled);
    if (at === undefined) return false;
    const { transports } = this.#config;
    this.#out.push({ type: "fell_back", from: transports[link.at]!, to: transports[at]!, because });
    // Back at the first one, all have failed: no other one is worth hurrying for.
    return at > 0;
  }

  /** The server did not take the token, or no longer: one other is tried. */
  #tokenExpired(link: Trying | Live, why: FailedWhy, then: Return): void {
    const user = this.#user;
    if (user?.token.type === "held") {
      if (user.token.trust === "last") return this.#fail(why);
      user.token = { type: "refused", token: user.token.token, why };
    }
    this.#lose(link, then);
  }

  /** Drops a transport that is of no use, and comes back. */
  #breakOff(link: (Trying & (Opening | Greeted)) | Live, cause: Cause): Why {
    this.#drop(link.dial);
    const words = "words" in link ? link.words : undefined;
    const stalled = cause === "dial_timeout" && !words?.any;
    const probed = link.type === "up" && link.probeUntil !== undefined;
    const elsewhere = stalled && this.#fallsBack(link, true, "no answer");
    const then = elsewhere ? "elsewhere" : probed ? "at_once" : "backoff";
    this.#lose(link, words?.returnAt(this.#now) ?? then);
    return { cause };
  }

  /** There is no connection (any more), and one is wanted. `then` says how soon to come back. */
  #lose(link: Trying | Live, then: Return): void {
    const now = this.#now;
    const { stable_after_ms, spread_ms } = this.#config;
    const wasUp = link.type === "up";
    this.#stopClimbing();
    if (wasUp && this.#wish.givesUp()) {
      this.#link = { type: "rest" };
      return;
    }
    if (wasUp && link.proven && now >= link.since + stable_after_ms) this.#failures = 0;
    const before = this.#failures;
    const noNetwork = this.#network === "down";
    // A probe that finds no network says nothing of the server.
    if (wasUp || !noNetwork) this.#failures += 1;

    const backoff = now + this.#backoff(before);
    const times: Record<ComeBack | "elsewhere", number> = {
      // At once, but not again and again: a server that closes every hello would be dialled in a loop.
      at_once: wasUp || before === 0 ? now : backoff,
      elsewhere: now,
      backoff,
      later: LATER_MS + backoff,
      spread: now + share(this.#jitter, spread_ms),
    };
    const named = typeof then === "number" ? then : times[then];
    const until = noNetwork ? now + PROBE_MS : named;

    const hurries = then === "at_once" || then === "elsewhere";
    const step: Step = hurries && until === now ? this.#dial() : { type: "wait", until };
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
    const capMs = this.#wish.isLookedAt ? cap_ms : Math.max(cap_ms, HIDDEN_CAP_MS);
    return backoffWait({ base_ms, cap_ms: capMs }, failures, this.#jitter);
  }
}
