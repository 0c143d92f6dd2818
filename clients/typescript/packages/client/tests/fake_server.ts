// A server at the network's edge, in the place of `fetch` and `WebSocket`, on a clock that the story moves.
//
// It knows no more than a story tells it: `on` answers calls, `says` sends frames. Dials open and get `ready` by
// themselves unless `refusesDials` or `silent` is set.

import { vi } from "vitest";

import { Client, type ClientOptions, type WebSocketConstructor } from "../src/index.js";
// There already when a client loads it: no story's clock moves while a file is read.
import "../src/desk.js";
import "../src/keeper.js";
import "../src/live.js";
import "../src/transports/http.js";
import type { ChannelState, ClientFrame, Event, Message, Ready, ServerFrame } from "../src/wire.js";

const NOW = "2026-11-21T12:00:00.000Z";

/** One of the client's sockets. */
export class FakeSocket {
  readyState = 0;
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  /** What the client said, in order. */
  heard: ClientFrame[] = [];
  closedWith: number | undefined;

  constructor(private readonly server: FakeServer) {
    server.sockets.push(this);
    setTimeout(() => (server.refusesDials ? this.breaks() : this.#open()));
  }

  #open(): void {
    if (this.readyState !== 0) return;
    this.readyState = 1;
    this.onopen?.({} as never);
  }

  send(text: string): void {
    const frame: ClientFrame = JSON.parse(text);
    this.heard.push(frame);
    if (frame.type === "hello" && !this.server.silent) setTimeout(() => this.says({ type: "ready", ...this.server.ready() }));
    if (frame.type === "ping") this.says({ type: "pong", id: frame.id });
  }

  says(frame: ServerFrame): void {
    if (this.readyState === 1) this.onmessage?.({ data: JSON.stringify(frame) } as never);
  }

  close(code?: number): void {
    if (this.readyState >= 2) return;
    this.readyState = 2;
    this.closedWith = code;
    if (this.server.answersCloses) setTimeout(() => this.breaks(code));
  }

  /** The link ends, without a word or with a code. */
  breaks(code = 1006): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code, reason: "" } as never);
  }
}

type Handler = (body: never, path: string, token: string) => unknown;

let servers = 0;

export class FakeServer {
  /** Each has an address of its own: clients of one address and user share what they have. */
  readonly url = `http://chat-${servers++}.test`;
  sockets: FakeSocket[] = [];
  refusesDials = false;
  silent = false;
  answersCloses = true;
  epoch = "e1";
  /** Calls that came, in order. */
  asked: string[] = [];
  more: Partial<Ready> = {};
  #handlers: [pattern: RegExp, Handler][] = [];

  /** Answers calls whose `METHOD path` fits; what is thrown is an answer too. The latest that fits counts. */
  on(pattern: RegExp, handler: Handler): void {
    this.#handlers.unshift([pattern, handler]);
  }

  get socket(): FakeSocket {
    return this.sockets.at(-1)!;
  }

  /** Sockets that are open or opening. */
  get live(): number {
    return this.sockets.filter(({ readyState }) => readyState < 2).length;
  }

  ready(): Ready {
    return {
      connection_id: `c${this.sockets.length}`,
      me: { id: "alice", role: "user", created_at: NOW, updated_at: NOW, total_unread_count: 0, unread_channels: 0 },
      epoch: this.epoch,
      as_of: NOW,
      heartbeat_ms: 25_000,
      limits: {
        connections_per_user: 3,
        dead_link_ms: 35_000,
        frame_bytes: 65_536,
        frames_burst: 60,
        frames_per_second: 20,
        message_chars: 5_000,
      },
      resumed: this.sockets.length > 1 ? "resumed" : "fresh",
      ...this.more,
    };
  }

  happens(cid: string, seq: number, event: Partial<Event> & { type: Event["type"] }): void {
    const whole = { cid, created_at: NOW, ...event } as Event;
    this.socket.says({ type: "event", topic: `channel:${cid}`, seq, event: whole });
  }

  /** What leads a client here. */
  get options(): ClientOptions {
    const server = this;
    const webSocket = function () {
      return new FakeSocket(server);
    } as unknown as WebSocketConstructor;
    return { url: this.url, appKey: "dev", webSocket, transports: ["web_socket"], fetch: this.#fetch };
  }

  client(options: Partial<ClientOptions> = {}): Client {
    return new Client({ ...this.options, ...options });
  }

  async connected(options?: Partial<ClientOptions>): Promise<Client> {
    const client = this.client(options);
    const up = client.connectUser("alice", "token");
    await vi.advanceTimersByTimeAsync(10);
    await up;
    return client;
  }

  #fetch = (async (url: string, init: RequestInit) => {
    const call = `${init.method} ${url.replace(`${this.url}/v1/`, "")}`;
    this.asked.push(call);
    const found = this.#handlers.find(([pattern]) => pattern.test(call));
    try {
      if (!found) throw new Refusal(404, "not_found");
      const token = new Headers(init.headers).get("authorization")?.replace("Bearer ", "") ?? "";
      const answer = await found[1](JSON.parse((init.body as string | null) ?? "null") as never, call, token);
      return Response.json(answer ?? {});
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return error.response;
    }
  }) as unknown as typeof fetch;
}

/** What a handler throws to refuse. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly retryAfter?: number,
  ) {
    super(code);
  }

  get response(): Response {
    const { status, code, retryAfter: retry_after } = this;
    const error = { code, status, message: code, hint: "", retryable: status >= 429, docs: `/docs/errors/${code}` };
    return Response.json({ error: retry_after === undefined ? error : { ...error, retry_after } }, { status });
  }
}

export function message(cid: string, seq: number, fields: Partial<Message> = {}): Message {
  return {
    id: `m${seq}`,
    cid,
    seq,
    type: "regular",
    text: `text ${seq}`,
    user: { id: "bob" },
    created_at: NOW,
    updated_at: NOW,
    ...fields,
  };
}

/** A channel of alice and bob up to `head`, with the messages of these seqs. */
export function state(cid: string, head: number, seqs: number[], fields: Partial<ChannelState> = {}): ChannelState {
  const [type, id] = cid.split(":") as [string, string];
  const member = { user_id: "alice", user: { id: "alice" }, channel_role: "member", created_at: NOW };
  return {
    channel: { cid, type, id, member_count: 2, created_at: NOW, updated_at: NOW },
    head,
    members: [member],
    membership: member,
    messages: seqs.map((seq) => message(cid, seq)),
    reads: [],
    unread: { cid, last_read_seq: head, unread_messages: 0, head },
    ...fields,
  };
}

/** A promise that the story settles. */
export function held<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
