// What a test tells a fake server to do, and what it asks of it.

import { Client, type ClientOptions } from "../client.js";
import type { WebSocketConstructor } from "../dial.js";
import type { ClientFrame, Hello, Message } from "../wire.js";
import { answer } from "./answers.js";
import { Link } from "./link.js";
import { Refusal, splitCid, World } from "./world.js";

/** What a `FakeServer` has seen. */
export interface Seen {
  /** Attempts to connect, those that failed too. */
  dials: number;
  /** What clients opened their connections with, in order. */
  hellos: Hello[];
  /** Frames after `hello`, without pongs. */
  frames: ClientFrame[];
  /** The codes of the closes by clients. */
  closes: number[];
  /** Method and path of each call, in order: `POST /v1/channels/messaging/general/messages`. */
  calls: string[];
  /** Connections that are open now, silent ones too. */
  live: number;
  /** The most connections that were ever open at the same time. */
  liveMax: number;
}

let servers = 0;

/**
 * A server in memory: users, channels, messages, read positions, and a log of events for each topic, so that a resume,
 * a reset and an unread count are what they are with a real server. It knows no presence, and no permissions beyond
 * "members only".
 *
 * ```ts
 * const server = new FakeServer();
 * server.channel("messaging:general", ["alice", "bob"]);
 * const client = server.client();
 * await client.connectUser("alice", server.token("alice"));
 * server.says("messaging:general", "bob", "Anybody there?");
 * ```
 *
 * What it is told to do is done when the call returns; what comes of it reaches the clients when time passes, be it
 * none: by a `VirtualClock`, the test runner's fake timers, or the real ones.
 */
export class FakeServer {
  /** An address of its own: clients of one address, app and user share what they have. */
  readonly url = `http://parlour-${++servers}.test`;
  /** What it saw so far. */
  readonly seen: Seen = { dials: 0, hellos: [], frames: [], closes: [], calls: [], live: 0, liveMax: 0 };
  readonly #world = new World();
  #waiting: { what: (seen: Seen) => boolean; resolve: () => void }[] = [];

  constructor() {
    this.#world.changed = () => {
      const over = this.#waiting.filter(({ what }) => what(this.seen));
      this.#waiting = this.#waiting.filter((waiting) => !over.includes(waiting));
      for (const { resolve } of over) resolve();
    };
  }

  /** What leads a client here: `new Client(server.options)`. */
  get options(): ClientOptions {
    const { url, webSocket, fetch } = this;
    return { url, appKey: "dev", transports: ["web_socket"], webSocket, fetch };
  }

  /** A client that reaches this server. */
  client(options: Partial<ClientOptions> = {}): Client {
    return new Client({ ...this.options, ...options });
  }

  /** In the place of `WebSocket`. */
  get webSocket(): WebSocketConstructor {
    const [world, seen] = [this.#world, this.seen];
    return class extends Link {
      constructor() {
        super(world, seen);
      }
    };
  }

  /** In the place of `fetch`. */
  readonly fetch = (async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const { pathname, searchParams } = new URL(String(input));
    const { method = "GET", signal } = init;
    const world = this.#world;
    this.seen.calls.push(`${method} ${pathname}`);
    world.changed();
    const fault = world.faults.shift();
    const delayMs = world.delayMs;
    if (world.isDown || fault?.type === "request_lost") throw new TypeError("fetch failed");
    let [status, body] = [200, undefined as unknown];
    try {
      if (fault?.type === "refused") throw new Refusal(fault.code);
      const bearer = /^Bearer (.+)$/.exec(new Headers(init.headers).get("authorization") ?? "");
      if (!bearer) throw new Refusal("token_missing");
      const user = world.verify(bearer[1]!);
      const path = pathname.replace("/v1/", "").split("/").map(decodeURIComponent);
      const asked = JSON.parse((init.body as string | null | undefined) ?? "null") as unknown;
      ({ status, body } = answer(world, { user, method, path, query: searchParams, body: asked }));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      [status, body] = [error.body.status, { error: error.body }];
    }
    // Written now: what happens later does not change what was answered.
    const response = new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json" } });
    if (delayMs > 0) await passed(delayMs, signal);
    if (fault?.type === "answer_lost") throw new TypeError("fetch failed");
    return response;
  }) as typeof fetch;

  /**
   * A token for this user, each time another one. Any other text without spaces is a token as well, of the user who
   * first connects with it.
   */
  token(user: string): string {
    return this.#world.makeToken(user);
  }

  // What happens.

  /** Makes the channel if it is not there, and these users its members; the first of a new one owns it. */
  channel(cid: string, members: readonly string[]): void {
    this.#world.openChannel(cid, members);
  }

  /** A message in a channel, by a user who is made a member if she is none. */
  says(cid: string, user: string, text: string): Message {
    this.#world.openChannel(cid, [user]);
    return this.#world.say(cid, user, { text });
  }

  /** Somebody types in a channel: all others who listen are shown it. */
  types(cid: string, user: string): void {
    splitCid(cid);
    const world = this.#world;
    world.signal(`channel:${cid}`, user, { type: "typing.start", cid, user: world.brief(user) });
  }

  /** Somebody has read the whole channel, on another device than the client's. */
  reads(cid: string, user: string): void {
    splitCid(cid);
    this.#world.readUpTo(cid, user, this.#world.head(`channel:${cid}`));
  }

  // What goes wrong.

  /** Ends every connection: with this close code, or broken without one. */
  cut(code?: number): void {
    for (const link of [...this.#world.links]) link.end(code);
  }

  /** The server is down: connections break, dials and calls fail. */
  goAway(): void {
    this.#world.isDown = true;
    this.cut();
  }

  /** Ends `goAway`. Nothing is lost: users, channels and messages are as before. */
  comeBack(): void {
    this.#world.isDown = false;
  }

  /**
   * Makes every open connection half-open: nothing comes, nothing goes, and no end is told. Calls, and connections that
   * are opened from now on, are as usual.
   */
  swallow(): void {
    for (const link of this.#world.links) link.isSilent = true;
  }

  /** The next call never arrives. */
  loseNextRequest(): void {
    this.#world.faults.push({ type: "request_lost" });
  }

  /** The next call arrives and is done, but its answer does not come back. */
  loseNextAnswer(): void {
    this.#world.faults.push({ type: "answer_lost" });
  }

  /** The next call is refused with this code of a Parlour error. */
  refuseNext(code: string): void {
    this.#world.faults.push({ type: "refused", code });
  }

  /** The next event happens and is not told: a hole in what the clients hear. */
  loseNextEvent(): void {
    this.#world.copiesOfNextEvent = 0;
  }

  /** The next event is told twice. */
  duplicateNextEvent(): void {
    this.#world.copiesOfNextEvent = 2;
  }

  /** From now on every frame and every answer takes this long; 0 ends it. */
  delay(ms: number): void {
    this.#world.delayMs = ms;
  }

  /**
   * Events of the past are told no more: the next resume of each user comes with a `reset` for all it asks for.
   * Messages are kept.
   */
  forgetHistory(): void {
    this.#world.forgetHistory();
  }

  /**
   * The time of every token that was made or used so far is over. Connections are asked for another one and are closed
   * (4202) 30 seconds later if none came; calls and dials are refused with `token_expired`.
   */
  expireTokens(): void {
    this.#world.expireTokens();
    for (const link of this.#world.links) link.askForToken();
  }

  /** Another device of the same user takes every connection's place (4005). */
  evict(): void {
    const replaced_by = { device: "another device", platform: "test", sdk: "fake" };
    for (const link of this.#world.links) link.tell({ type: "bye", code: 4005, reason: "replaced", replaced_by });
    this.cut(4005);
  }

  /** The server restarts, and tells all to come back after this many milliseconds (1012). */
  drain(retryAfterMs: number): void {
    for (const link of this.#world.links) link.tell({ type: "drain", retry_after_ms: retryAfterMs });
    this.cut(1012);
  }

  // What it saw.

  /** The messages of a channel, in order; none where there is no such channel. */
  messages(cid: string): readonly Message[] {
    return this.#world.rooms.get(cid)?.messages ?? [];
  }

  /** Waits until it has seen what is asked for. */
  async until(what: (seen: Seen) => boolean): Promise<void> {
    if (!what(this.seen)) await new Promise<void>((resolve) => void this.#waiting.push({ what, resolve }));
  }
}

/** Resolves after a time; rejects as `fetch` does where it is called off before. */
function passed(ms: number, signal: AbortSignal | null | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    });
  });
}
