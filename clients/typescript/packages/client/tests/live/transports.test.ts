// One conversation by each transport, against the real server: whatever carries frames, they say the same.

import { randomUUID } from "node:crypto";

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";

import { connectUrl, endpointOf } from "../../src/address.js";
import type { Input, ReceivedFrame } from "../../src/connection.js";
import { Dial, type WebSocketConstructor } from "../../src/dial.js";
import { HttpTransport } from "../../src/transports/http.js";
import type { ClientFrame, ServerFrame } from "../../src/wire.js";
import { TestServer } from "./kit.js";

/** What has to come comes within this. */
const SOON_MS = 10_000;
const TRANSPORTS = ["web_socket", "event_stream", "long_poll"] as const;
type Kind = (typeof TRANSPORTS)[number];

let server: TestServer;

beforeAll(async () => void (server = await TestServer.start()));
afterAll(() => server.end());

/**
 * One connection, by hand: as much of the client's machine as a conversation needs. It says hello when it is
 * asked to, with how far it has come, and what it watches.
 */
class Talk {
  readonly frames: ServerFrame[] = [];
  closed: Extract<Input, { type: "closed" }> | undefined;
  readonly #transport: Dial | HttpTransport;
  /** How far it has come in each topic. */
  readonly #places = new Map<string, number>();
  readonly #watched = new Set<string>();
  #ready: Extract<ServerFrame, { type: "ready" }> | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(
    kind: Kind,
    readonly user: string,
    readonly token: string,
  ) {
    const tell = (input: Input) => this.#takes(input);
    const { url, appKey } = server;
    this.#transport =
      kind === "web_socket"
        ? new Dial(1, connectUrl(url), WebSocket as unknown as WebSocketConstructor, tell)
        : new HttpTransport(kind, 1, endpointOf({ url, appKey }), tell);
  }

  static async begins(kind: Kind, user: string): Promise<Talk> {
    const talk = new Talk(kind, user, await server.backend.createToken(user));
    await talk.hears("ready", ({ type }) => type === "ready");
    return talk;
  }

  says(frame: ClientFrame): void {
    this.#transport.transmit(frame);
  }

  watches(topic: string, after: number): void {
    this.#watched.add(topic);
    this.#places.set(topic, after);
    this.says({ type: "watch", topics: [{ topic, after }] });
  }

  async leaves(): Promise<void> {
    this.says({ type: "bye", intent: "leave" });
    await this.closes(1000);
  }

  async closes(code: number): Promise<void> {
    this.#transport.close(code);
    await this.until("closed", () => this.closed);
  }

  hears(what: string, test: (frame: ServerFrame) => boolean): Promise<ServerFrame> {
    return this.until(what, () => this.frames.find(test));
  }

  /** The events that came, in order. */
  get events() {
    return this.frames.filter((frame) => frame.type === "event");
  }

  until<T>(what: string, look: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`${what} did not come; there is ${JSON.stringify(this.frames)}`));
      const timer = setTimeout(late, SOON_MS);
      const again = () => {
        const found = look();
        if (found === undefined) return;
        clearTimeout(timer);
        this.#waiting.delete(again);
        resolve(found);
      };
      this.#waiting.add(again);
      again();
    });
  }

  #takes(input: Input): void {
    if (input.type === "opened") this.#saysHello();
    if (input.type === "closed") this.closed = input;
    if (input.type === "received") this.#hears(input.frame);
    for (const look of [...this.#waiting]) look();
  }

  #saysHello(): void {
    for (const topic of this.#watched) {
      this.says({ type: "watch", topics: [{ topic, after: this.#places.get(topic)! }] });
    }
    const { appKey: app_key } = server;
    const client = { instance: this.user, version: 1 };
    const hello = { type: "hello", app_key, token: this.token, client, presence: "all" } as const;
    const ready = this.#ready;
    if (!ready) return this.says(hello);
    const { epoch, as_of, connection_id: replaces } = ready;
    const cursors = Object.fromEntries([...this.#places].filter(([topic]) => !this.#watched.has(topic)));
    this.says({ ...hello, replaces, resume: { epoch, as_of, cursors } });
  }

  #hears(received: ReceivedFrame): void {
    const frame = received as ServerFrame;
    if (frame.type === "ready") {
      const heads = this.#ready ? {} : (frame.heads ?? {});
      for (const [topic, head] of Object.entries(heads)) this.#places.set(topic, head);
      this.#ready = frame;
    }
    if (frame.type === "event") {
      // Too early is harmless: what was seen is dropped.
      if (frame.seq <= (this.#places.get(frame.topic) ?? 0)) return;
      this.#places.set(frame.topic, frame.seq);
    }
    this.frames.push(frame);
  }
}

const isTyping = (by: string) => (frame: ServerFrame) =>
  frame.type === "signal" && frame.signal.type === "typing.start" && frame.signal.user.id === by;

const isNow = (user: string, there: boolean) => (frame: ServerFrame) =>
  frame.type === "signal" &&
  frame.signal.type === "user.presence.changed" &&
  frame.signal.users.some(({ user_id, online }) => user_id === user && online === there);

/** What two conversations have in common. */
function essence({ topic, seq, event }: Extract<ServerFrame, { type: "event" }>) {
  const { type } = event;
  return { topic, seq, type, ...("message" in event && { text: event.message.text }) };
}

/** Alice listens by `kind` while Bob writes, types back, and leaves. Gives what she heard. */
async function conversation(kind: Kind) {
  const name = randomUUID().slice(0, 8);
  const [alice, bob] = [`alice-${name}`, `bob-${name}`];
  await server.backend.upsertUsers([{ id: alice }, { id: bob }]);
  const bobs = server.backend.asUser(bob);
  const [room, show] = [bobs.channel("messaging", name), bobs.channel("livestream", name)];
  await room.getOrCreate({ members: [alice, bob] });
  const { head } = await show.getOrCreate();
  const watching = await Talk.begins("web_socket", bob);
  const listening = await Talk.begins(kind, alice);
  await watching.hears("that alice is there", isNow(alice, true));

  listening.watches(`channel:livestream:${name}`, head);
  await show.send({ text: "on air" });
  for (let n = 1; n <= 5; n++) await room.send({ text: `${n}` });
  await listening.until("six messages", () => listening.events.length >= 6 || undefined);

  listening.says({ type: "signal", topic: `channel:messaging:${name}`, signal: { type: "typing.start" } });
  await watching.hears("alice's typing", isTyping(alice));

  listening.says({ type: "ping", id: 7 });
  await listening.hears("pong", ({ type, ...more }) => type === "pong" && "id" in more && more.id === 7);

  const before = Date.now();
  await listening.leaves();
  await watching.hears("that alice is gone", isNow(alice, false));
  // One who is merely lost is online for 15 seconds more.
  expect(Date.now() - before).toBeLessThan(5_000);
  await watching.leaves();

  expect(listening.closed).toMatchObject({ type: "closed", dial: 1, code: 1000 });
  // Order is per topic.
  return listening.events
    .map(essence)
    .map((event) => ({ ...event, topic: event.topic.replace(name, "x") }))
    .sort((one, other) => one.topic.localeCompare(other.topic) || one.seq - other.seq);
}

describe("the same conversation", () => {
  it.each(TRANSPORTS)("by %s brings the same events, says what is said, and leaves at once", async (kind) => {
    const heard = await conversation(kind);
    const texts = heard.flatMap((event) => ("text" in event ? [`${event.topic} ${event.text}`] : []));
    const written = ["1", "2", "3", "4", "5"].map((text) => `channel:messaging:x ${text}`);
    expect(texts).toEqual(["channel:livestream:x on air", ...written]);
    expect(heard).toEqual(await conversation("web_socket"));
  }, 30_000);

  it.each(TRANSPORTS)("by %s is refused with the same error and code", async (kind) => {
    const talk = new Talk(kind, "alice", "no.jwt.token");
    const { code, reason } = await talk.until("the end", () => talk.closed);
    expect({ code, reason }).toEqual({ code: 4002, reason: "token_malformed" });
    expect(talk.frames.map(({ type }) => type)).toEqual(kind === "web_socket" ? ["error"] : ["error", "bye"]);
  });

  it.each(TRANSPORTS)("by %s breaks without a code when the server is killed", async (kind) => {
    const talk = await Talk.begins(kind, "alice");
    await server.kill();
    const { code } = await talk.until("the end", () => talk.closed);
    expect(code).toBe(kind === "web_socket" ? 1006 : null);
    await server.start();
  });
});
