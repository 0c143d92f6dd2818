// One tab among those of its browser that are for the same user, and share one connection.
//
// To each tab's machine a link to whoever has the connection is a transport like any other: it resumes over it, with
// cursors of its own. The connection is that of a host (host.ts), which lives in the tab that has a Web Lock, or in a
// worker (worker.ts), which is to them as one of them. Whoever waits for the lock is next, at the moment in which that tab
// is closed or crashes, or gives it up because it stops. One that falls silent is robbed by a tab that is visible; hidden
// tabs do not judge, since their timers are late.

import type { Carrier } from "../dial.js";
import type { Input } from "../connection.js";
import type { Driver } from "../driver.js";
import type { KeptMessage, Outbox } from "../outbox.js";
import { Guest } from "./guest.js";
import { Host, type House } from "./host.js";
import type { Page } from "./page.js";
import { Recent } from "./recent.js";
import { tabOf, type Way, type Word } from "./words.js";

/** When a worker has not begun within this, one of the tabs has the connection. */
export const WORKER_WAIT_MS = 2_000;

/** A visible tab asks whether the host lives this long after its last word. */
const ASK_MS = 250;
/** When that has no answer for this long, the host's tab is robbed, */
const SILENCE_MS = 450;
/** or up to this later, by chance: where several windows are visible one of them is the first. */
const SPREAD_MS = 100;
/** How often that is looked at. */
const LOOK_MS = 50;
/** When the user is gone, what is still to be said is said within this. */
const END_MS = 1_000;
/** When the host's tab has no other token for this long, the tab asks its own provider. */
const TOKEN_WAIT_MS = 2_000;

/** States in which a tab wants no connection. */
const RESTS: readonly string[] = ["idle", "offline", "parked", "failed", "closed"];

export class Tabs implements House {
  readonly driver: Driver;
  readonly page: Page;
  /** Tells this tab from others, and from what the page had before. */
  readonly tab = crypto.randomUUID();
  readonly isTab: boolean;
  readonly recent = new Recent();
  /** How the connection travels, as far as this tab knows. */
  way: Way;
  #guests = new Set<Guest>();
  #host: Host | undefined;
  #hosts = 0;
  readonly #served: Promise<boolean> | undefined;
  /** The worker begins, and is not judged before. */
  #isWorkerBeginning = false;
  /** Ends the wait for the lock. */
  #wait: AbortController | undefined;
  #place: ReturnType<Page["sit"]>;
  /** The page stops, or has stopped: nothing of it may be relied on. */
  #isStopped = false;
  #isOver = false;
  /** The worker waits for a token of this tab's own provider. */
  #isAsked = false;
  /** Nothing is shared here. */
  #isAlone = false;
  /** The others know of messages here. */
  #hasTold = false;
  /** Another tab has said so, and all have heard it. */
  #isLoggedOut = false;
  #look: (() => void) | undefined;
  #lookedAt = 0;
  #answeredAt = 0;
  #askedAt: number | undefined;
  /** What other tabs have not sent yet, by tab. */
  readonly #outboxes = new Map<string, readonly KeptMessage[]>();
  /** What tabs that are gone have not sent: the tab where the host lives sends it. */
  #abandoned: readonly KeptMessage[] = [];
  #tokenCame: (token: string) => void = () => {};
  readonly #unwatch: () => void;
  readonly #unfollow: () => void;

  /** `served`: resolves with whether a worker has the connection. `isTab`: whether this is no worker itself. */
  constructor(driver: Driver, page: Page, served?: Promise<boolean>, isTab = true) {
    this.isTab = isTab;
    this.driver = driver;
    this.#served = served;
    if (served) void this.#awaitWorker(served);
    this.page = page;
    this.way = { transport: undefined, worked_in: driver.runner.machine.saved()?.worked_in ?? {} };
    this.#unwatch = page.watch(
      (word) => this.#isAlone || this.#heard(word),
      () => this.#stops(),
      () => this.#goesOn(),
      () => this.#watchHost(),
    );
    const { connection } = driver;
    let wasResting = true;
    this.#unfollow = connection.subscribe(() => {
      const rests = RESTS.includes(connection.get().state);
      if (rests && !wasResting) this.post({ type: "rest", tab: this.tab });
      wasResting = rests;
    });
    this.#place = page.sit(this.tab);
    void driver.gone.then(() => this.#end());
    // Where its code does not come, there is nothing to tell.
    driver.loadDesk().then(({ outbox }) => this.#follows(outbox), () => {});
  }

  /** A dial of this tab's machine. */
  dial(dial: number, tell: (input: Input) => void): Carrier {
    const token = this.driver.runner.token!;
    token.via = (ask, refused) => this.#token(ask, refused);
    this.#host?.uses(token);
    const post = (word: Word) => this.post(word);
    const seated = () => this.#place.seated;
    const over = () => this.#left(guest);
    const left = (isBye: boolean) => this.#rests(isBye);
    const guest = new Guest(`${this.tab}/${dial}`, dial, tell, post, seated, over, left);
    this.#guests.add(guest);
    if (!this.#isStopped) this.#seek(guest);
    return guest;
  }

  /** The user leaves, in all tabs; of what is stored, `keeps` stays. */
  logOut(keeps: "outbox" | "nothing"): void {
    if (!this.#isLoggedOut) this.#post({ type: "logged_out", page: this.page.id, keeps });
    if (this.#host) this.#host.isLoggedOut = true;
  }

  /** Somebody who looks at this tab wants it to be dialled now. */
  retry(): void {
    this.post({ type: "retry" });
  }

  /** Says something to all tabs, this one among them. */
  post(word: Word): void {
    this.#post(word);
    queueMicrotask(() => this.#heard(word));
  }

  #post(word: Word): void {
    if (!this.#isOver && !this.#isAlone) this.page.post(word);
  }

  /** Looks for the host, and waits to be where the next one lives. */
  #seek(guest: Guest): void {
    guest.knock();
    if (this.#served) void this.#served.then((isServed) => !isServed && this.#guests.size && this.#queue());
    else this.#queue();
    this.#watchHost();
  }

  #left(guest: Guest): void {
    this.#guests.delete(guest);
    if (this.#guests.size) return;
    this.#wait?.abort();
    this.#wait = undefined;
    this.#watchHost();
  }

  /** This tab has closed a link; with a bye, it wants no connection. Resolves when none is left that was for it. */
  async #rests(isBye: boolean): Promise<void> {
    if (!isBye) return;
    const host = this.#host;
    this.post({ type: "rest", tab: this.tab });
    await host?.gone;
  }

  // Where the host lives.

  async #awaitWorker(served: Promise<boolean>): Promise<void> {
    this.#isWorkerBeginning = true;
    if (await served) await new Promise((resolve) => setTimeout(resolve, WORKER_WAIT_MS));
    this.#isWorkerBeginning = false;
    this.#watchHost();
  }

  #queue(steal = false): void {
    if ((this.#wait || this.#host) && !steal) return;
    this.#wait?.abort();
    const wait = (this.#wait = new AbortController());
    let host: Host | undefined;
    const granted = () =>
      new Promise<void>((resolve) => {
        // Nobody waits for it any more.
        if (this.#wait !== wait) return resolve();
        host = this.#begin(resolve);
      });
    this.page.request(steal ? { steal } : { signal: wait.signal }, granted).catch(() => {
      if (host) return host.end();
      // There is no lock to be had here: each tab for itself.
      if (this.#wait !== wait) return;
      this.#isAlone = true;
      this.#begin(() => {});
    });
  }

  #begin(release: () => void): Host {
    this.#wait = undefined;
    const id = `${this.tab}#${++this.#hosts}`;
    const stillLeads = async () => {
      await this.page.settled();
      return this.#host === host;
    };
    const over = (restMs: number) => {
      if (this.#host === host) this.#host = undefined;
      if (restMs) setTimeout(release, restMs);
      else release();
    };
    const host = new Host(id, this, over, stillLeads);
    this.#host = host;
    this.post({ type: "leads", host: id });
    this.#adopt();
    this.#watchHost();
    return host;
  }

  #heard(word: Word): void {
    if (this.#isStopped) return;
    const host = this.#host;
    if ("host" in word && word.type !== "say") this.#answered();
    switch (word.type) {
      case "knock":
        if (!this.#outboxes.has(tabOf(word.from))) this.#tellOutbox();
        return host?.welcome(word.from);
      case "say":
        return host?.said(word.from, word.frame);
      case "part":
        return host?.parted(word.from);
      case "rest":
        return host?.rests(word.tab);
      case "retry":
        return host?.retry();
      case "ask":
        host?.tick();
        if (host) this.post({ type: "here", host: host.id });
        return;
      case "logged_out":
        // This page's own next user may be waiting for the last one to leave.
        if (word.page === this.page.id) return;
        this.#isLoggedOut = true;
        void (word.keeps === "nothing" ? this.driver.logOut() : this.driver.disconnectUser("outbox"));
        return;
      case "outbox":
        return this.#otherOutbox(word.tab, word.messages);
      case "want_token":
        if (word.of === this.tab) return void this.#tellOwnToken(word.refused);
        return void (host && word.of === undefined && this.#tellToken(word.refused));
      case "token":
        this.driver.runner.token?.reuse(word.token);
        return this.#tokenCame(word.token);
      case "token_refused":
        return this.driver.runner.token?.refuse(word.token);
      case "up":
        this.way = word.way;
        this.driver.settle();
        if (this.driver.connection.get().state === "reconnecting" && !this.#guests.size) {
          this.driver.input({ type: "retry_now" });
        }
        return;
      case "fell_back":
        return this.driver.fellBack(word.news);
      case "leads":
        for (const guest of [...this.#guests]) guest.leaves(word.host);
        return;
      case "welcome":
        return this.#guestAt([word.to], (guest) => {
          this.way = word.way;
          guest.welcome(word.host);
        });
      case "hear":
        return this.#guestAt(word.to, (guest) => this.#hears(guest, word.host, word.frame));
      case "closed":
        return this.#guestAt(word.to, (guest) => guest.lost(word.host, word.code, word.reason, word.why));
    }
  }

  #guestAt(seats: readonly string[], then: (guest: Guest) => void): void {
    for (const guest of [...this.#guests]) if (seats.includes(guest.seat)) then(guest);
  }

  /** A frame for this tab; the host remembers by itself what was in it. */
  #hears(guest: Guest, host: string, frame: Extract<Word, { type: "hear" }>["frame"]): void {
    const heard = guest.hear(host, frame);
    if (!heard || this.#host) return;
    const { recent } = this;
    if (frame.type === "ready") {
      if (frame.resumed === "resumed" && heard.begin) recent.goesOn(heard.begin, true);
      else recent.begins(frame, false);
    }
    if (frame.type === "event") recent.heard(frame);
    if (frame.type === "reset") recent.reset(frame.topic, frame.head);
    if (frame.type === "ping") recent.ping(frame.as_of);
  }

  // Tokens.

  /** One provider is asked for all tabs: that of the tab where the host lives. */
  async #token(ask: () => Promise<unknown>, refused: string | undefined): Promise<unknown> {
    const isElsewhere = !this.#host && !this.#isAsked && (await this.page.isLed());
    const other = isElsewhere ? await this.#otherToken(refused) : undefined;
    if (other !== undefined) return other;
    const token = await ask();
    if (typeof token === "string") this.#post({ type: "token", token });
    return token;
  }

  #otherToken(refused: string | undefined): Promise<string | undefined> {
    return new Promise((resolve) => {
      setTimeout(() => resolve(undefined), TOKEN_WAIT_MS);
      this.#tokenCame = (token) => token !== refused && resolve(token);
      this.#post({ type: "want_token", refused });
    });
  }

  /** The worker asks this tab, which is not to ask the worker. */
  async #tellOwnToken(refused: string | undefined): Promise<void> {
    this.#isAsked = true;
    await this.#tellToken(refused);
    this.#isAsked = false;
  }

  async #tellToken(refused: string | undefined): Promise<void> {
    const token = await this.driver.runner.token?.otherThan(refused).catch(() => undefined);
    if (token !== undefined) this.#post({ type: "token", token });
  }

  // Messages on their way.

  /** What is to outlive the page, of all tabs: each of them keeps it in the same place. */
  kept(): KeptMessage[] | undefined {
    const own = this.driver.desk?.outbox.kept();
    if (!own) return undefined;
    const ids = new Set(own.map(({ id }) => id));
    return [...own, ...[...this.#outboxes.values(), this.#abandoned].flat().filter(({ id }) => !ids.has(id))];
  }

  #follows({ entries }: Outbox): void {
    const tell = () => this.#tellOutbox();
    const stop = entries.subscribe(tell);
    tell();
    void this.driver.gone.then(stop);
  }

  #tellOutbox(): void {
    const messages = this.driver.desk?.outbox.kept() ?? [];
    if (!messages.length && !this.#hasTold) return;
    this.#hasTold = true;
    this.#post({ type: "outbox", tab: this.tab, messages });
  }

  #otherOutbox(tab: string, messages: readonly KeptMessage[]): void {
    if (tab === this.tab) return;
    const isNew = !this.#outboxes.has(tab);
    this.#outboxes.set(tab, messages);
    // It looks after them now.
    const ids = new Set(messages.map(({ id }) => id));
    this.#abandoned = this.#abandoned.filter(({ id }) => !ids.has(id));
    if (isNew) void this.page.gone(tab).then(() => this.#leaves(tab));
  }

  #leaves(tab: string): void {
    this.#abandoned = [...this.#abandoned, ...(this.#outboxes.get(tab) ?? [])];
    this.#outboxes.delete(tab);
    this.#adopt();
  }

  #adopt(): void {
    const { desk } = this.driver;
    if (!this.#host || !desk || this.driver.isLeaving) return;
    desk.outbox.restore(this.#abandoned);
    this.#abandoned = [];
  }

  // Whether the host lives.

  #answered(): void {
    this.#answeredAt = performance.now();
    this.#askedAt = undefined;
  }

  /** Watches over the host, while this tab depends on it and is looked at. */
  #watchHost(): void {
    const isDependent = this.#guests.size > 0 && !this.#host && !this.#isWorkerBeginning;
    const isDue = isDependent && this.page.isVisible && !this.#isStopped;
    if (isDue === (this.#look !== undefined)) return;
    this.#look?.();
    this.#look = undefined;
    if (!isDue) return;
    this.#answered();
    this.#lookedAt = this.#answeredAt;
    this.#ask();
    this.#look = this.page.every(LOOK_MS, () => this.#judge());
  }

  #ask(): void {
    this.#askedAt = performance.now();
    this.#post({ type: "ask" });
  }

  #judge(): void {
    const now = performance.now();
    const wasAway = now - this.#lookedAt > ASK_MS;
    this.#lookedAt = now;
    // What was answered while this tab itself stood still has not been heard yet.
    if (wasAway) this.#ask();
    else if (this.#askedAt === undefined) now - this.#answeredAt >= ASK_MS && this.#ask();
    else if (now - this.#askedAt >= SILENCE_MS) this.#rob(this.#askedAt);
  }

  #rob(askedAt: number): void {
    const stop = this.page.every(Math.random() * SPREAD_MS, () => {
      stop();
      if (askedAt !== this.#askedAt) return;
      this.#answered();
      this.#queue(true);
    });
  }

  // The page.

  #stops(): void {
    this.#host?.end();
    this.#isStopped = true;
    // Nobody is to wait for a tab that stands still.
    this.#wait?.abort();
    this.#wait = undefined;
    this.#place.rise();
    this.#watchHost();
  }

  #goesOn(): void {
    if (!this.#isStopped) return;
    this.#isStopped = false;
    this.#place = this.page.sit(this.tab);
    // Who has the connection may be another one by now, and may have forgotten this one.
    for (const guest of [...this.#guests]) guest.leaves();
    for (const guest of this.#guests) this.#seek(guest);
  }

  #end(): void {
    if (this.#isOver) return;
    this.#host?.end();
    this.#isStopped = true;
    this.#wait?.abort();
    this.#place.rise();
    this.#look?.();
    this.#unfollow();
    setTimeout(() => {
      this.#isOver = true;
      this.#unwatch();
    }, END_MS);
  }
}
