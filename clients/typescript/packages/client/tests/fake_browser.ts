// A browser with tabs, and a server with a log: what tabs that share a connection have around them, on a clock that the
// story moves.

import { AsyncLocalStorage } from "node:async_hooks";

import { vi } from "vitest";

import { type Endpoint, endpointOf } from "../src/address.js";
import type { AppLevel, ConnectionConfig } from "../src/connection.js";
import type { WebSocketConstructor, WebSocketLike } from "../src/dial.js";
import { Driver } from "../src/driver.js";
import { Tabs } from "../src/tabs/tab.js";
import type { Page } from "../src/tabs/page.js";
import type { Word } from "../src/tabs/words.js";
import { TokenSource } from "../src/token.js";
import type { ClientFrame, Ready, ServerFrame, Topic } from "../src/wire.js";
import { FakeServer } from "./fake_server.js";
import { defaults } from "./transcript.js";

/** Which tab's code runs: its timers stand still with it. */
const running = new AsyncLocalStorage<Tab>();

/** Timers, of the fake clock, that belong to the tab which sets them. */
function timersOfTabs(): void {
  const { setTimeout } = globalThis;
  const own = (task: () => void, ms?: number) => {
    const tab = running.getStore();
    return setTimeout(tab ? () => tab.does(task) : task, ms);
  };
  globalThis.setTimeout = own as unknown as typeof setTimeout;
}

const at = () => new Date().toISOString();

interface Waiting {
  granted: () => Promise<void>;
  resolve: () => void;
  reject: (error: unknown) => void;
  tab: Tab;
}

/** The locks of one origin. */
class Locks {
  /** Nobody gets any. */
  isDenied = false;
  #held = new Map<string, Waiting>();
  #queues = new Map<string, Waiting[]>();

  request(tab: Tab, name: string, { steal, signal }: LockOptions, granted: () => Promise<void>): Promise<void> {
    if (this.isDenied) return Promise.reject(new DOMException("denied", "SecurityError"));
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { granted, resolve, reject, tab };
      const queue = this.#queue(name);
      if (steal) {
        const robbed = this.#held.get(name);
        this.#held.delete(name);
        robbed?.tab.does(() => robbed.reject(new DOMException("stolen", "AbortError")));
        queue.unshift(waiting);
      } else {
        queue.push(waiting);
      }
      signal?.addEventListener("abort", () => {
        const place = queue.indexOf(waiting);
        if (place < 0) return;
        queue.splice(place, 1);
        reject(new DOMException("aborted", "AbortError"));
      });
      this.#next(name);
    });
  }

  /** A tab's process is gone. */
  forget(tab: Tab): void {
    for (const [name, queue] of this.#queues) {
      this.#queues.set(name, queue.filter((waiting) => waiting.tab !== tab));
      if (this.#held.get(name)?.tab !== tab) continue;
      this.#held.delete(name);
      this.#next(name);
    }
  }

  holder(name: string): Tab | undefined {
    return this.#held.get(name)?.tab;
  }

  #queue(name: string): Waiting[] {
    const queue = this.#queues.get(name) ?? [];
    this.#queues.set(name, queue);
    return queue;
  }

  #next(name: string): void {
    if (this.#held.has(name)) return;
    const waiting = this.#queue(name).shift();
    if (!waiting) return;
    this.#held.set(name, waiting);
    waiting.tab.does(() => {
      void waiting.granted().then(() => {
        if (this.#held.get(name) === waiting) this.#held.delete(name);
        waiting.resolve();
        this.#next(name);
      });
    });
  }
}

/** What a tab of the browser runs: one user's client. */
export class Tab {
  readonly driver: Driver;
  readonly #endpoint: Endpoint;
  isVisible = true;
  isFrozen = false;
  isDead = false;
  /** What came while it was frozen. */
  #held: (() => void)[] = [];
  /** Durable events as the app was told them: `topic seq`; a reset has a minus before its head. */
  readonly told: string[] = [];
  /** Where each topic stood when the tab was first connected. */
  begun: Record<Topic, number> | undefined;
  hears: (word: Word) => void = () => {};
  stops = () => {};
  goesOn = () => {};
  looked = () => {};

  constructor(
    readonly browser: Browser,
    readonly id: string,
    readonly version: number,
  ) {
    const { server } = browser;
    const tab = this;
    const webSocket = function () {
      return new Socket(server, tab);
    } as unknown as WebSocketConstructor;
    const config: ConnectionConfig = { ...defaults(), transports: ["web_socket"] };
    const { options } = server.calls;
    // A path of its own: in one process, what is of one address is shared without any tabs.
    const endpoint = (this.#endpoint = endpointOf({ ...options, url: `${options.url}/${id}` }));
    this.driver = new Driver({ userId: "alice", endpoint, webSocket, config, platform: undefined, storage: undefined, worker: undefined });
    const { driver } = this;
    running.run(this, () => (driver.runner.tabs = new Tabs(driver, this.page())));
    driver.ready.subscribe(() => (this.begun ??= driver.ready.get()?.heads));
    driver.listeners.on("all", (event) => {
      if ("seq" in event) this.told.push(`${event.topic} ${event.seq}`);
      else if (event.type === "reset") this.told.push(`${event.topic} ${-event.head}`);
    });
  }

  get state(): string {
    return this.driver.connection.get().state;
  }

  get leads(): boolean {
    return this.browser.locks.holder(this.#name("")) === this;
  }

  connects(): void {
    running.run(this, () => this.#connects());
  }

  /** Asked for tokens so far. */
  asked = 0;

  /** What the app's backend gives this tab. */
  provider = () => `token-${++this.asked}-of-${this.id}`;

  #connects(): void {
    const token = new TokenSource(() => this.provider(), this.#endpoint);
    this.driver.connectUser({ id: "alice" }, token);
  }

  app(level: AppLevel): void {
    this.isVisible = level === "foreground";
    running.run(this, () => {
      this.driver.input({ type: "app", level });
      this.looked();
    });
  }

  watches(cid: string, after: number | null = null): void {
    running.run(this, () => this.driver.input({ type: "watch", topic: `channel:${cid}`, after }));
  }

  /** Puts a message into the tab's outbox. */
  writes(cid: string, text: string): Promise<unknown> {
    return running.run(this, () => this.driver.outbox.queue(cid, { id: `${this.id}: ${text}`, text }));
  }

  /** Asks the server for a channel. */
  reads(cid: string): Promise<unknown> {
    return running.run(this, () => this.driver.ask((to) => to.channelState(cid, 0)));
  }

  /** Runs what happens to the tab: at once, later, or never. */
  does(task: () => void): void {
    if (this.isDead) return;
    if (this.isFrozen) this.#held.push(task);
    else running.run(this, task);
  }

  /** Nothing runs, and it was not told. */
  hangs(): void {
    this.isFrozen = true;
  }

  /** The browser stops it, and says so. */
  freezes(): void {
    running.run(this, this.stops);
    this.isFrozen = true;
  }

  thaws(): void {
    this.isFrozen = false;
    running.run(this, this.goesOn);
    for (const task of this.#held.splice(0)) this.does(task);
  }

  /** Its process is gone. */
  dies(): void {
    this.isDead = true;
    this.browser.tabs.delete(this);
    this.browser.locks.forget(this);
    for (const socket of this.browser.server.sockets) if (socket.tab === this) socket.vanishes();
    running.run(this, () => this.driver.drop());
  }

  #name = (seat: string) => `${this.version} ${seat}`;

  page(): Page {
    const tab = this;
    const { locks } = this.browser;
    const request = (name: string, options: LockOptions, granted: () => Promise<void>) =>
      locks.request(this, this.#name(name), options, granted);
    return {
      id: this.id,
      get isVisible() {
        return tab.isVisible;
      },
      request: (options, granted) => request("", options, granted),
      isLed: async () => locks.holder(this.#name("")) !== undefined,
      sit: (seat) => {
        let rise = () => {};
        const sits = new Promise<void>((resolve) => (rise = resolve));
        const seated = new Promise<void>((resolve) => {
          // It takes its way to the browser and back.
          const granted = () => {
            resolve();
            return sits;
          };
          setTimeout(() => void request(seat, {}, granted).catch(resolve), 1);
        });
        return { seated, rise };
      },
      gone: (seat) => request(seat, {}, async () => {}).catch(() => new Promise<never>(() => {})),
      settled: () => new Promise((resolve) => setTimeout(resolve, 1)),
      post: (word) => this.#posts(word),
      every: (ms, tick) => {
        const timer = setInterval(() => this.isFrozen || this.does(tick), ms);
        return () => clearInterval(timer);
      },
      watch: (hears, stops, goesOn, looked) => {
        Object.assign(this, { hears, stops, goesOn, looked });
        return () => (this.hears = () => {});
      },
    };
  }

  #posts(word: Word): void {
    if (this.isDead || this.isFrozen) return;
    for (const tab of this.browser.tabs) {
      if (tab === this || tab.version !== this.version) continue;
      setTimeout(() => tab.does(() => tab.hears(structuredClone(word))), 1);
    }
  }
}

export class Browser {
  readonly locks = new Locks();
  readonly tabs = new Set<Tab>();
  #opened = 0;

  constructor(readonly server: LogServer) {
    timersOfTabs();
  }

  /** Opens a tab with the user's client in it; `version`: of the code that shares. */
  opens(version = 1): Tab {
    const tab = new Tab(this, `tab-${this.#opened++}`, version);
    this.tabs.add(tab);
    tab.connects();
    return tab;
  }

  get leader(): Tab | undefined {
    return [...this.tabs].find(({ leads }) => leads);
  }
}

/** One connection to the server. */
class Socket implements WebSocketLike {
  readyState = 0;
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  readonly heard: ClientFrame[] = [];
  readonly watched = new Set<Topic>();
  isGreeted = false;
  /** What either side says is swallowed on the way. */
  isDead = false;

  constructor(
    readonly server: LogServer,
    readonly tab: Tab,
  ) {
    server.sockets.push(this);
    setTimeout(() => {
      if (this.readyState !== 0) return;
      if (server.isDown) return this.ends(1006);
      this.readyState = 1;
      tab.does(() => this.onopen?.({} as never));
    }, 2);
  }

  send(text: string): void {
    if (this.tab.isDead || this.tab.isFrozen || this.readyState !== 1) return;
    const frame: ClientFrame = JSON.parse(text);
    if (this.isDead) return;
    this.heard.push(frame);
    setTimeout(() => this.server.hears(this, frame), 2);
  }

  says(frame: ServerFrame): void {
    if (this.readyState !== 1 || this.isDead) return;
    const data = JSON.stringify(frame);
    setTimeout(() => this.tab.does(() => this.onmessage?.({ data } as never)), 2);
  }

  close(code = 1000): void {
    if (this.tab.isFrozen) return;
    if (this.readyState < 2) this.ends(code);
  }

  ends(code: number): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    setTimeout(() => this.tab.does(() => this.onclose?.({ code, reason: "" } as never)), 2);
  }

  vanishes(): void {
    this.readyState = 3;
  }
}

/** A server that keeps a log, and knows resume and watch. */
export class LogServer {
  readonly calls = new FakeServer();
  sockets: Socket[] = [];
  isDown = false;
  /** A token that has ended. */
  refuses: string | undefined;
  /** The user's own channels come by right, livestreams are watched. */
  readonly heads: Record<Topic, number> = { "user:alice": 3, "channel:messaging:general": 5 };

  get live(): Socket[] {
    return this.sockets.filter(({ readyState }) => readyState < 2);
  }

  happens(topic: Topic): void {
    this.heads[topic] = (this.heads[topic] ?? 0) + 1;
    for (const socket of this.live) {
      if (socket.isGreeted && listens(socket, topic)) this.#sends(socket, topic, this.heads[topic]);
    }
  }

  hears(socket: Socket, frame: ClientFrame): void {
    if (socket.readyState !== 1) return;
    if (frame.type === "hello") this.#greets(socket, frame);
    else if (!socket.isGreeted) throw new Error(`${frame.type} before hello`);
    else if (frame.type === "ping") socket.says({ type: "pong", id: frame.id });
    else if (frame.type === "unwatch") for (const topic of frame.topics) socket.watched.delete(topic);
    else if (frame.type === "watch") {
      for (const { topic, after } of frame.topics) {
        socket.watched.add(topic);
        if (after !== undefined) this.#replays(socket, topic, after);
      }
    }
  }

  #greets(socket: Socket, { resume, replaces, token }: ClientFrame & { type: "hello" }): void {
    if (token === this.refuses) return socket.ends(4202);
    const before = this.live.find((other) => other !== socket && nameOf(other, this) === replaces);
    before?.ends(4005);
    socket.isGreeted = true;
    const heads = Object.fromEntries(Object.entries(this.heads).filter(([topic]) => !isWatched(topic)));
    const ready: Ready = {
      ...this.calls.ready(),
      connection_id: nameOf(socket, this),
      as_of: resume?.as_of ?? at(),
      resumed: resume ? "resumed" : "fresh",
      heads,
    };
    socket.says({ type: "ready", ...ready });
    const pings = setInterval(() => {
      if (socket.readyState === 1) socket.says({ type: "ping", as_of: at() });
      else clearInterval(pings);
    }, 25_000);
    if (!resume) return;
    for (const topic of Object.keys(heads)) this.#replays(socket, topic, resume.cursors[topic] ?? 0);
  }

  #replays(socket: Socket, topic: Topic, after: number): void {
    for (let seq = after + 1; seq <= (this.heads[topic] ?? 0); seq++) this.#sends(socket, topic, seq);
  }

  #sends(socket: Socket, topic: Topic, seq: number): void {
    const event = { type: "channel.updated", cid: topic.slice("channel:".length), created_at: at() };
    socket.says({ type: "event", topic, seq, event: event as never });
  }
}

const nameOf = (socket: Socket, server: LogServer) => `c${server.sockets.indexOf(socket)}`;
const isWatched = (topic: Topic) => topic.includes("livestream");
const listens = (socket: Socket, topic: Topic) => !isWatched(topic) || socket.watched.has(topic);

export const soon = (ms = 100) => vi.advanceTimersByTimeAsync(ms);
