// The one connection of all tabs of a user: a machine of its own, in one of them, which answers the tabs as a server
// would.
//
// A tab's own machine never meets the server: its link goes to the host, also where that is in the same page. Not here:
// which tab has it (tab.ts), and what a tab says and hears (guest.ts).

import type { AppLevel, FailedWhy, Output, Saved, Why } from "../connection.js";
import { watchBrowser } from "../browser.js";
import type { Driver } from "../driver.js";
import type { Owner, Runner } from "../runner.js";
import type { TokenSource } from "../token.js";
import type {
  AppState,
  ClientFrame,
  CloseCode,
  ConnectionId,
  Event,
  PresenceSubscription,
  Ready,
  Resume,
  ServerFrame,
  Topic,
  UserInput,
  WatchTopic,
} from "../wire.js";
import { COME_BACK, MOVED } from "./guest.js";
import type { Page } from "./page.js";
import { covers, earliest, type Recent } from "./recent.js";
import { foremost, widest } from "./widest.js";
import { type Seat, tabOf, type Way, type Word } from "./words.js";

/** When nobody has asked for a connection this long, there is no use in a host. */
const IDLE_MS = 5_000;
/** After a tab asked to go on, the others are waited for as long as so many questions to the browser take. */
const COLLECT_ROUNDS = 8;
/** When all is over, the others hear of it within this, before one of them can lead. */
const FAREWELL_MS = 100;
/** A token refused, for another reason than a server's words. */
const TOKEN_REFUSED = 4002;
/** The server has no use for the token: refused, one of a server, ended. */
const TOKEN_CODES: readonly CloseCode[] = [TOKEN_REFUSED, 4007, 4202];
/** The id of a machine's own pings: nobody else waits for the answer. */
const PROBE_ID = 0;
/** Ids of pings: what tabs number by themselves is below. */
const PINGS_FROM = 2 ** 31;

type HelloFrame = Extract<ClientFrame, { type: "hello" }>;

/** One dial of a tab that listens. */
interface Listener {
  readonly seat: Seat;
  readonly watched: Set<Topic>;
  /** Said, and not taken yet: `hello` is, where it was said, the first that is taken. */
  said: ClientFrame[];
  isUp: boolean;
  app: AppState | undefined;
  presence: PresenceSubscription | undefined;
}

/** Where a host lives. */
export interface House {
  readonly driver: Driver;
  readonly page: Page;
  readonly recent: Recent;
  /** The tab that it lives in. */
  readonly tab: string;
  /** Whether that is one; else a worker. */
  readonly isTab: boolean;
  way: Way;
  post(word: Word): void;
}

export class Host implements Owner {
  readonly deadlines = [];
  readonly id: string;
  readonly #house: House;
  /** It is no host any more, and so long nobody else is to be one. */
  readonly #over: (restMs: number) => void;
  /** Whether it was not robbed meanwhile. */
  readonly #stillLeads: () => Promise<boolean>;
  #runner: Runner;
  readonly #guests = new Map<Seat, Listener>();
  /** Tabs that want a connection, also where they wait to dial again. */
  readonly #tabs = new Set<string>();
  /** Topics that come without being watched. */
  readonly #byRight = new Set<Topic>();
  readonly #pings = new Map<number, { guest: Listener; id: number }>();
  #pinged = PINGS_FROM;
  #user: UserInput | undefined;
  /** Where the connection begins; nothing where it is the first. */
  #begin: Resume | undefined;
  /** It begins no later than where the tab stands that it lives in. */
  #isOwn = false;
  #ready: Ready | undefined;
  /** Until when all is heard. */
  #asOf = "";
  #told: { app: AppLevel; presence: PresenceSubscription } | undefined;
  /** How many tabs the server knows to share the connection. */
  #toldTabs = 1;
  #idle: ReturnType<typeof setTimeout>;
  readonly #unwatch: () => void;
  /** The user leaves, in all tabs. */
  isLoggedOut = false;
  #isEnding = false;
  #isGone!: () => void;
  /** Resolves when it has ended, and its socket is closed. */
  readonly gone = new Promise<void>((resolve) => (this.#isGone = resolve));
  /** It ended for all of them. */
  #isFinal = false;

  constructor(id: string, house: House, over: (restMs: number) => void, stillLeads: () => Promise<boolean>) {
    this.id = id;
    this.#house = house;
    this.#over = over;
    this.#stillLeads = stillLeads;
    this.#runner = this.#newRunner();
    const { platform } = house.driver.options;
    const watch = platform ? platform.watch.bind(platform) : watchBrowser;
    this.#unwatch = watch((news) => news.type !== "app" && this.#runner.input(news));
    this.#idle = setTimeout(() => this.end(), IDLE_MS);
  }

  #newRunner(): Runner {
    const { runner: own } = this.#house.driver;
    // When a tab is to be connected, its own machine says.
    const runner = own.another({ mode: "auto", background: "keep" }, this);
    runner.token = own.token?.reuse();
    return runner;
  }

  // The tabs.

  welcome(seat: Seat): void {
    const tab = tabOf(seat);
    if (!this.#tabs.has(tab)) {
      this.#tabs.add(tab);
      // One that crashed says nothing any more.
      void this.#house.page.gone(tab).then(() => this.rests(tab));
      this.#tellTabs();
    }
    if (!this.#guests.has(seat)) {
      this.#guests.set(seat, { seat, watched: new Set(), said: [], isUp: false, app: undefined, presence: undefined });
    }
    this.#house.post({ type: "welcome", to: seat, host: this.id, way: this.#house.way });
  }

  said(seat: Seat, frame: ClientFrame): void {
    const guest = this.#guests.get(seat);
    if (!guest || frame.type === "pong" || frame.type === "token") return;
    if (frame.type === "bye") return this.parted(seat);
    guest.said.push(frame);
    if (frame.type === "hello") {
      guest.app = frame.app_state;
      guest.presence = frame.presence;
      this.#asks(frame);
    }
    // Who redials because the link does not answer is not greeted over that link.
    if (this.#ready && this.#isUp && (guest.isUp || !this.#isInDoubt)) this.#take([guest], this.#present());
  }

  parted(seat: Seat): void {
    const guest = this.#guests.get(seat);
    if (!guest) return;
    this.#guests.delete(seat);
    for (const topic of guest.watched) this.#unwatched(topic);
    this.#tellWishes();
  }

  /** A tab is gone, or wants no connection any more. */
  rests(tab: string): void {
    if (!this.#tabs.delete(tab)) return;
    for (const seat of [...this.#guests.keys()]) if (tabOf(seat) === tab) this.parted(seat);
    // What it tells of the user is only right where the tab that it lives in is connected itself.
    if (!this.#tabs.size || tab === this.#house.tab) this.end();
    else this.#tellTabs();
  }

  /** The tab that it lives in has this provider now. */
  uses(token: TokenSource): void {
    this.#runner.token = token;
  }

  /** Somebody wants to be connected now. */
  retry(): void {
    this.#runner.input({ type: "retry_now" });
  }

  /** A hidden page's own timers are late. */
  tick(): void {
    this.#runner.tick();
  }

  /** A hello: the first one makes the connection. */
  #asks({ user, resume, replaces }: HelloFrame): void {
    if (this.#user) return this.#tellUser(user);
    clearTimeout(this.#idle);
    this.#user = user ?? { id: this.#house.driver.userId };
    const told = user ? null : this.#user;
    if (!resume) return this.#connect(told, replaces);
    void this.#collect().then(() => this.#isEnding || this.#connect(told, replaces));
  }

  /** Lets the hellos of the other tabs come, so that the connection begins where the last of them stands. */
  async #collect(): Promise<void> {
    // No timer, which would take a second in a hidden page.
    for (let n = 0; n < COLLECT_ROUNDS; n++) await this.#house.page.settled();
  }

  /** Connects, from where the last of the tabs stands. `told`: the fields of the user that the server has. */
  #connect(told: UserInput | null, predecessor: ConnectionId | undefined): void {
    const waiting = this.#waiting();
    const own = waiting.find(({ seat }) => tabOf(seat) === this.#house.tab);
    const wished = waiting.map(({ said }) => helloIn(said)?.resume);
    const resumes = [this.#ready && this.#saved, ...wished].filter((resume) => resume !== undefined);
    const [first] = resumes;
    this.#begin = earliest(resumes.filter(({ epoch }) => epoch === first?.epoch));
    // What this host itself has heard is remembered already.
    this.#isOwn = this.#ready !== undefined || own !== undefined;
    if (this.#ready) {
      this.#runner.drop();
      this.#runner = this.#newRunner();
      this.#told = undefined;
    }
    const { worked_in } = this.#house.way;
    const saved = this.#begin ? { ...this.#begin, told, worked_in, predecessor } : null;
    this.#tellWishes();
    this.#runner.input({ type: "login", user: this.#user!, saved });
    for (const { watched } of this.#guests.values()) for (const topic of watched) this.#watchFrom(topic);
  }

  /** Begins anew, from where those stand who were away for too long. */
  #rewind(): void {
    const { connection_id } = this.#ready!;
    this.#connect(this.#saved.told, connection_id);
  }

  /** Another tab's fields of the user, if they are others. */
  #tellUser(user: UserInput | undefined): void {
    if (!user || equal(user, this.#user)) return;
    this.#user = user;
    const { id, ...set } = user;
    // Where that fails, the next hello of that tab tells them again.
    this.#house.driver.ask((to) => to.updateUser(id, { set })).catch(() => {});
  }

  /** Does what these tabs have said. `begin`: the connection begins here, and all that comes after it is to come. */
  #take(guests: readonly Listener[], ready: Ready, begin?: Resume): void {
    let isBehind = false;
    for (const guest of guests) {
      const hello = helloIn(guest.said);
      if (hello && !this.#greet(guest, hello, ready, begin)) isBehind = true;
      if (guest.isUp) for (const frame of guest.said.splice(0)) this.#does(guest, frame);
    }
    if (isBehind) this.#rewind();
  }

  /** What the server would say now. */
  #present(): Ready {
    const { desk, me, unreadCounts, presence } = this.#house.driver;
    const { totalUnreadCount: total_unread_count, unreadChannels: unread_channels } = unreadCounts.get();
    const { channels = [], presence_others: _before, ...ready } = this.#ready!;
    const { others } = presence.get();
    return {
      ...ready,
      me: { ...(me.get() ?? ready.me), total_unread_count, unread_channels },
      channels: channels.map((channel) => desk?.tally.channel(channel.cid) ?? channel),
      presence: [...presence.get().values()],
      ...(others && { presence_others: others }),
      as_of: this.#saved.as_of,
    };
  }

  /** Answers a hello as the server would; `false` where it was away for too long. */
  #greet(guest: Listener, { resume, presence }: HelloFrame, ready: Ready, begin: Resume | undefined): boolean {
    const { recent } = this.#house;
    const goesOn = resume?.epoch === ready.epoch ? resume : undefined;
    const isToCome = goesOn && begin && covers(begin, goesOn);
    const missed = isToCome || !goesOn ? [] : recent.missed(goesOn, (topic) => this.#isByRight(topic));
    if (!missed) return false;
    guest.isUp = true;
    const heads = [...this.#byRight].flatMap((topic) => {
      const head = recent.head(topic);
      return head === undefined ? [] : [[topic, head] as const];
    });
    this.#hear([guest], {
      type: "ready",
      ...ready,
      // What it has missed is still on its way to it.
      as_of: goesOn?.as_of ?? ready.as_of,
      resumed: goesOn ? "resumed" : resume ? "caught_up" : "fresh",
      heads: Object.fromEntries(heads),
    });
    for (const event of missed) this.#hear([guest], { type: "event", ...event });
    // It begins with who is there now.
    if (presence !== undefined && presence !== "none") {
      this.#runner.input({ type: "presence", subscription: this.#wishes().presence });
    }
    return true;
  }

  /** What one of the tabs says to the server. */
  #does(guest: Listener, frame: ClientFrame): void {
    switch (frame.type) {
      case "hello":
        return;
      case "watch":
        for (const topic of frame.topics) this.#watch(guest, topic);
        return;
      case "unwatch":
        for (const topic of frame.topics) if (guest.watched.delete(topic)) this.#unwatched(topic);
        return;
      case "app_state":
        guest.app = frame.state;
        return this.#tellWishes();
      case "presence":
        if (!frame.subscription) return this.#runner.input({ type: "send", frame });
        guest.presence = frame.subscription;
        return this.#tellWishes();
      case "ping": {
        // A tab that was away does not trust its link: nor is that of all to be trusted.
        if (frame.id === PROBE_ID) this.#runner.input({ type: "woke" });
        const id = ++this.#pinged;
        this.#pings.set(id, { guest, id: frame.id });
        return this.#runner.input({ type: "send", frame: { type: "ping", id } });
      }
      default:
        this.#runner.input({ type: "send", frame });
    }
  }

  #watch(guest: Listener, { topic, after }: WatchTopic): void {
    const isNew = !this.#isWatched(topic) && !this.#byRight.has(topic);
    guest.watched.add(topic);
    if (isNew) return this.#runner.input({ type: "watch", topic, after: after ?? null });
    if (after === undefined) return;
    const { recent } = this.#house;
    const later = recent.after(topic, after);
    const head = recent.head(topic) ?? after;
    if (!later) return this.#hear([guest], { type: "reset", topic, reason: "too_far_behind", head });
    for (const event of later) this.#hear([guest], { type: "event", ...event });
  }

  /** Goes on watching over another connection. */
  #watchFrom(topic: Topic): void {
    this.#runner.input({ type: "watch", topic, after: this.#house.recent.head(topic) ?? null });
  }

  /** One tab less watches a topic. */
  #unwatched(topic: Topic): void {
    if (!this.#isWatched(topic)) this.#runner.input({ type: "unwatch", topic });
  }

  #isByRight(topic: Topic): boolean {
    return this.#byRight.has(topic) || !this.#isWatched(topic);
  }

  #isWatched(topic: Topic): boolean {
    return [...this.#guests.values()].some(({ watched }) => watched.has(topic));
  }

  #wishes(): { app: AppLevel; presence: PresenceSubscription } {
    const guests = [...this.#guests.values()];
    return { app: foremost(guests.map(({ app }) => app)), presence: widest(guests.map(({ presence }) => presence)) };
  }

  /** Tells the machine what all tabs together wish. */
  #tellWishes(): void {
    if (!this.#user || !this.#guests.size) return;
    const before = this.#told;
    const { app, presence } = (this.#told = this.#wishes());
    if (app !== before?.app) this.#runner.input({ type: "app", level: app });
    if (!equal(presence, before?.presence)) this.#runner.input({ type: "presence", subscription: presence });
  }

  /** Tells the server how many share the connection, for its figures of what that saves. A worker is none of them. */
  #tellTabs(): void {
    const count = this.#tabs.size - (this.#house.isTab ? 0 : 1);
    if (!this.#isUp || count < 1 || count === this.#toldTabs) return;
    this.#toldTabs = count;
    this.#runner.input({ type: "send", frame: { type: "tabs", count } });
  }

  /** Those who have no answer to their hello. */
  #waiting(): Listener[] {
    return [...this.#guests.values()].filter(({ isUp }) => !isUp);
  }

  #listeners(): Listener[] {
    return [...this.#guests.values()].filter(({ isUp }) => isUp);
  }

  /** Who listens to a topic: those who watch it, and all if it comes by right. */
  #concerned(topic: Topic | null): Listener[] {
    const all = this.#listeners();
    const isForAll = topic === null || this.#isByRight(topic);
    return isForAll ? all : all.filter(({ watched }) => watched.has(topic));
  }

  #hear(to: readonly Listener[], frame: ServerFrame): void {
    const seats = to.map(({ seat }) => seat);
    if (seats.length) this.#house.post({ type: "hear", to: seats, host: this.id, frame });
  }

  #part(guests: readonly Listener[], code: CloseCode, reason: string, why: Why = MOVED): void {
    const seats = guests.map(({ seat }) => seat);
    for (const seat of seats) this.#guests.delete(seat);
    if (seats.length) this.#house.post({ type: "closed", to: seats, host: this.id, code, reason, why });
  }

  // The connection.

  get #isUp(): boolean {
    return this.#runner.machine.state().type === "connected";
  }

  get #saved(): Saved {
    return this.#runner.machine.saved()!;
  }

  /** @internal For the runner. */
  taken(): void {
    if (this.#isEnding && !this.#runner.dials.size) {
      this.#runner.drop();
      this.#isGone();
    }
    // A ping of the server: it also tells the tabs that the connection lives.
    if (this.#isUp && this.#saved.as_of !== this.#asOf) this.#isAlive();
    this.#runner.arm();
  }

  /** @internal For the runner. */
  output(output: Output): void {
    const { recent } = this.#house;
    switch (output.type) {
      case "ready":
      case "renewed":
        return this.#isReady(output.ready, output.type === "renewed");
      case "deliver": {
        const { event, topic } = output.event;
        recent.heard(output.event);
        this.#moves(event);
        if (!this.#isWatched(topic)) this.#byRight.add(topic);
        return this.#hear(this.#concerned(topic), { type: "event", ...output.event });
      }
      case "signal":
        return this.#hear(this.#concerned(output.topic), { type: "signal", signal: output.signal, ...about(output) });
      case "reset": {
        const { topic, head } = output;
        recent.reset(topic, head);
        return this.#hear(this.#concerned(topic), output);
      }
      case "refused":
        return this.#hear(this.#concerned(output.topic), { type: "error", error: output.error, ...about(output) });
      case "throttled": {
        const { feature, for_ms: retry_after_ms } = output;
        return this.#hear(this.#listeners(), { type: "throttle", feature, retry_after_ms });
      }
      case "pong":
        this.#ponged(output.id);
        if (!this.#isInDoubt) this.#take(this.#waiting(), this.#present());
        return;
      case "fell_back": {
        const { type: _, ...news } = output;
        return this.#house.post({ type: "fell_back", host: this.id, news });
      }
      case "changed": {
        const { from: _, to, ...why } = output.transition;
        if (to.type === "failed") void this.#failed(to.why);
        else if (to.type !== "connected" && to.type !== "connecting") this.#lost(why);
      }
    }
  }

  #ponged(id: number): void {
    const pinged = this.#pings.get(id);
    this.#pings.delete(id);
    if (pinged) this.#hear([pinged.guest], { type: "pong", id: pinged.id });
  }

  /** A tab's machine has asked whether the link lives, and there is no answer yet. */
  get #isInDoubt(): boolean {
    return [...this.#pings.values()].some(({ id }) => id === PROBE_ID);
  }

  /** Channels come, and go, by right. */
  #moves(event: Event): void {
    if (event.type === "notification.added_to_channel") this.#byRight.add(`channel:${event.cid}`);
    if (event.type === "notification.removed_from_channel") this.#byRight.delete(`channel:${event.cid}`);
  }

  #isReady(ready: Ready, goesOn: boolean): void {
    const { recent } = this.#house;
    const isOther = this.#ready !== undefined && this.#ready.epoch !== ready.epoch;
    // Of another log they have to hear by a ready of their own.
    if (isOther) this.#part(this.#listeners(), COME_BACK, "another log");
    if (isOther) this.#byRight.clear();
    for (const topic of Object.keys(ready.heads ?? {})) this.#byRight.add(topic);
    for (const { cid } of ready.channels ?? []) this.#byRight.add(`channel:${cid}`);
    if (isOther || ready.resumed === "fresh") recent.begins(ready, true);
    else if (ready.resumed === "caught_up") recent.lose();
    else if (this.#begin) recent.goesOn(this.#begin, this.#isOwn);
    this.#ready = ready;
    this.#asOf = ready.as_of;
    this.#house.post({ type: "up", host: this.id, way: { transport: this.#runner.machine.transport(), worked_in: this.#saved.worked_in } });
    // A poll has no pings: this tells the tabs that the connection lives.
    this.#hear(this.#listeners(), { type: "pong", id: PROBE_ID });
    // From now on it goes on from where it stands itself.
    const begin = this.#begin;
    this.#begin = undefined;
    if (!goesOn) {
      this.#toldTabs = 1;
      this.#take([...this.#guests.values()], ready, begin);
      this.#tellTabs();
    }
    // What an earlier connection was asked has its answer in this one.
    for (const id of this.#pings.keys()) this.#ponged(id);
  }

  #isAlive(): void {
    const { as_of } = this.#saved;
    this.#asOf = as_of;
    this.#house.recent.ping(as_of);
    this.#hear(this.#listeners(), { type: "ping", as_of });
  }

  /** There is no connection any more; it is dialled again. */
  #lost(why: Why): void {
    this.#pings.clear();
    this.#part(this.#listeners(), COME_BACK, "the connection is lost", why);
  }

  /** It is over for good. */
  async #failed(why: FailedWhy): Promise<void> {
    // Who was robbed while it stood still may hear of its connection's end before it hears why.
    if (!(await this.#stillLeads())) return;
    const { code, reason } = why.type === "token" ? { code: TOKEN_REFUSED, reason: why.message } : why;
    // A token is one tab's own affair: the others may have better ones.
    const isOwn = why.type === "token" || TOKEN_CODES.includes(code);
    const { current } = this.#runner.token ?? {};
    if (isOwn && current !== undefined) this.#house.post({ type: "token_refused", token: current });
    const all = [...this.#guests.values()];
    const told = all.filter(({ seat }) => !isOwn || tabOf(seat) === this.#house.tab);
    if (why.type === "refused" && why.error) this.#hear(told, { type: "error", error: why.error });
    this.#part(told, code, reason, { cause: "server_closed", code });
    this.#part(all.filter((guest) => !told.includes(guest)), COME_BACK, "another token is needed");
    this.#isFinal = !isOwn;
    this.end();
  }

  /** It is no host any more: its connection ends, and those who listen come back to whoever is next. */
  end(): void {
    if (this.#isEnding) return;
    clearTimeout(this.#idle);
    this.#unwatch();
    this.#part([...this.#guests.values()], COME_BACK, "another tab is to have the connection");
    // The user is still there in other tabs, or comes back: nobody is told that she goes.
    this.#isEnding = true;
    this.#runner.input(this.isLoggedOut ? { type: "disconnect" } : { type: "app", level: "frozen" });
    this.#over(this.#isFinal || this.isLoggedOut ? FAREWELL_MS : 0);
  }
}

const equal = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
const helloIn = (said: readonly ClientFrame[]) => said.find((frame) => frame.type === "hello");
const about = ({ topic }: { topic: Topic | null }) => (topic === null ? {} : { topic });
