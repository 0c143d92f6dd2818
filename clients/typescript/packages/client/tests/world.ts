/**
 * One connection's world, moved by chance: its machine, its clock, and what a driver would hold for it. A
 * seed gives the same life every time.
 */

import { Connection, type ConnectionConfig, type Input, type Output, type Transport as Kind } from "../src/connection.js";
import type { ClientFrame } from "../src/wire.js";
import { defaults } from "./transcript.js";

export const ALL: readonly Kind[] = ["web_socket", "event_stream", "long_poll"];

/** Both modes, and one transport or all. */
export function config(chance: Chance): ConnectionConfig {
  return {
    ...defaults(),
    mode: chance.pick(["auto", "manual"]),
    background: chance.pick(["park", "park", "park", "keep"]),
    background_grace_ms: chance.pick([0, 5_000]),
    transports: chance.pick([["web_socket"], ["web_socket"], ["long_poll"], ALL, ALL, ALL]),
    climb_ms: 5_000,
  };
}

/** Dice that fall the same way for the same seed. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** From 0 to 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
}

const TOPICS = ["channel:messaging:general", "channel:livestream:show", "user:alice"];

const WISHES: readonly Input[] = [
  { type: "connect_user", user: { id: "alice" } },
  { type: "connect_user", user: { id: "alice", name: "Alice" } },
  { type: "connect_user", user: { id: "bob" } },
  { type: "connect" },
  { type: "connect" },
  { type: "disconnect" },
  { type: "disconnect_user" },
  { type: "retry_now" },
  { type: "network", level: "down" },
  { type: "network", level: "up" },
  { type: "network", level: "unknown" },
  { type: "app", level: "hidden" },
  { type: "app", level: "foreground" },
  { type: "app", level: "foreground" },
  { type: "app", level: "background" },
  { type: "app", level: "frozen" },
  { type: "login", user: { id: "alice" }, saved: null },
  { type: "path", network: "cafe" },
  { type: "woke" },
  { type: "watch", topic: TOPICS[1]!, after: 3 },
  { type: "watch", topic: TOPICS[1]!, after: null },
  { type: "unwatch", topic: TOPICS[1]! },
  { type: "presence", subscription: "friends" },
  { type: "send", frame: { type: "ping", id: 1 } },
  { type: "tick" },
];

type Frame = Record<string, unknown> & { type: string };

/** The codes that a close may carry: none, one of a library, and some of each range. */
const CODES = [null, 1000, 1006, 1012, 1013, 4005, 4008, 4009, 4042, 4100, 4200, 4202];

function ready(chance: Chance) {
  return {
    type: "ready",
    connection_id: "c1",
    me: { id: "alice" },
    epoch: chance.pick(["e1", "e1", "e1", "e2"]),
    as_of: "2026-11-21T00:01:40.000Z",
    limits: { dead_link_ms: chance.pick([0, 12_000, 35_000]) },
    resumed: chance.pick(["fresh", "resumed", "caught_up"]),
    heads: { [chance.pick(TOPICS)]: chance.below(10) },
  };
}

/** A frame of any kind that a server may say once it has said `ready`, and one that it may not. */
function frame(chance: Chance): Frame {
  const topic = chance.pick(TOPICS);
  const event = { type: "event", topic, seq: chance.below(12), event: { type: "placeholder" } };
  const reason = chance.pick(["trimmed", "no_access", "other_epoch"]);
  return chance.pick<Frame>([
    event,
    event,
    event,
    { type: "reset", topic, reason, head: chance.below(12) },
    { type: "ping", as_of: "2026-11-21T00:02:05.000Z" },
    { type: "pong", id: 1 },
    { type: "signal", topic, signal: { type: "typing.stop" } },
    { type: "token_expiring", grace_ms: 30_000 },
    { type: "throttle", feature: "typing", retry_after_ms: 100 },
    { type: "drain", retry_after_ms: 5_000 },
    { type: "bye", code: 4100, reason: "over_capacity", retry_after_ms: 7_000 },
    { type: "error", error: { code: "internal" } },
    { type: "confetti" },
    ready(chance),
  ]);
}

/** Anything at all: mostly of the last dial and question, and also frames that lack what their type needs. */
export function anyInput(chance: Chance, last: { dial: number; fetch: number }): Input {
  const dial = last.dial + chance.pick([0, 0, 0, 0, 0, 0, -1, 1]);
  const fetch = last.fetch + chance.pick([0, 0, 0, 0, 0, 0, -1, 1]);
  const broken = { type: chance.pick([frame(chance).type, "ready"]) };
  return chance.pick<Input>([
    chance.pick(WISHES),
    { type: "token_fetched", fetch, token: chance.pick(["t1", "t2"]) },
    { type: "token_fetched", fetch, token: "t3" },
    { type: "opened", dial },
    { type: "received", dial, frame: ready(chance) },
    { type: "received", dial, frame: frame(chance) },
    { type: "received", dial, frame: broken },
    chance.pick<Input>([
      { type: "token_failed", fetch, permanent: chance.below(4) === 0, message: "no" },
      { type: "closed", dial, code: chance.pick(CODES), reason: "" },
    ]),
  ]);
}

interface Transport {
  readonly dial: number;
  readonly kind: Kind;
  opened: boolean;
  greeted: boolean;
  /** The server has answered. */
  ready: boolean;
}

export class World {
  readonly chance: Chance;
  readonly config: ConnectionConfig;
  readonly machine: Connection;
  now = 0;
  /** What is open or opening, and was not told to close. */
  transports: Transport[] = [];
  /** Told to close, and not closed yet. */
  closing: number[] = [];
  /** Gone. */
  gone: number[] = [0];
  /** The question that the token provider has not answered yet. */
  fetch: number | undefined;
  /** What the wishes come to: no user, one who wants to be connected, or one who does not. */
  wish: "nobody" | "up" | "down" = "nobody";
  user = "";
  /** Everything that the machine has said. */
  readonly said: Output[] = [];

  constructor(seed: number) {
    this.chance = new Chance(seed);
    this.config = config(this.chance);
    this.machine = new Connection(this.config);
    this.takes({ type: "connect_user", user: { id: "alice" } });
  }

  /** Something happens that can happen now; half of the time, what is under way goes well. */
  step(): void {
    const { chance } = this;
    const token = chance.pick(["t1", "t2", "t3"]);
    if (chance.below(2) === 0) return this.goesWell(token);
    chance.pick([
      () => this.passes(chance.pick([0, 10, 300, 2_000, 40_000])),
      () => this.takes(chance.pick(WISHES)),
      () => this.takes(chance.pick(WISHES)),
      () => this.hears(frame(chance)),
      () => this.hears(frame(chance)),
      () => this.hears(frame(chance)),
      () => this.closes(chance.pick(CODES)),
      () => this.polls(),
      () => this.getsToken(token),
      () => this.lacksToken(chance.below(4) === 0),
    ])();
  }

  /** What is under way goes on: an end, a token, a transport, a hello, or the talk on the connection. */
  goesWell(token: string): void {
    if (this.closing.length > 0) this.closes(null);
    else if (this.fetch !== undefined) this.getsToken(token);
    else if (this.transports.some(({ opened }) => !opened)) this.opens();
    else if (this.transports.some(({ greeted, ready }) => greeted && !ready)) this.getsReady();
    else this.hears({ type: "ping", as_of: "2026-11-21T00:02:05.000Z" });
  }

  /** Lets the time pass, with a tick at each deadline. */
  passes(ms: number): void {
    const until = this.now + ms;
    let ticks = 0;
    for (let at = this.machine.deadline(); at !== undefined && at <= until; at = this.machine.deadline()) {
      ticks = at > this.now ? 0 : ticks + 1;
      // A wait of nothing takes a tick, and the dial after it another.
      if (ticks > 3) throw new Error(`stands still at ${at}`);
      this.now = Math.max(this.now, at);
      this.takes({ type: "tick" });
    }
    this.now = until;
  }

  opens(): void {
    const transport = this.transports.find(({ opened }) => !opened);
    if (!transport) return;
    transport.opened = true;
    this.takes({ type: "opened", dial: transport.dial });
  }

  /** A long-poll says hello again. */
  polls(): void {
    const transport = this.transports.find(({ greeted, kind }) => greeted && kind === "long_poll");
    if (transport) this.takes({ type: "opened", dial: transport.dial });
  }

  getsReady(): void {
    const transport = this.transports.find(({ greeted, ready }) => greeted && !ready);
    if (!transport) return;
    transport.ready = true;
    this.takes({ type: "received", dial: transport.dial, frame: ready(this.chance) });
  }

  hears(received: Frame): void {
    const greeted = this.transports.filter(({ greeted }) => greeted);
    if (!greeted.length) return;
    const transport = this.chance.pick(greeted);
    transport.ready ||= received.type === "ready";
    this.takes({ type: "received", dial: transport.dial, frame: received });
  }

  /** A transport is gone: one that was told to, else one that is there. */
  closes(code: number | null): void {
    const dial = this.closing.pop() ?? this.transports.splice(this.chance.below(this.transports.length), 1)[0]?.dial;
    if (dial === undefined) return;
    this.gone.push(dial);
    this.takes({ type: "closed", dial, code, reason: "" });
  }

  getsToken(token: string): void {
    if (this.fetch !== undefined) this.takes({ type: "token_fetched", fetch: this.answered(), token });
  }

  lacksToken(permanent: boolean): void {
    if (this.fetch === undefined) return;
    this.takes({ type: "token_failed", fetch: this.answered(), permanent, message: "no" });
  }

  takes(input: Input): void {
    if (input.type === "login" && (this.wish === "nobody" || this.user !== input.user.id)) {
      this.wish = this.config.mode === "auto" ? "up" : "down";
    }
    if (input.type === "connect_user") this.wish = "up";
    if (input.type === "connect_user" || input.type === "login") this.user = input.user.id;
    if (input.type === "disconnect_user") this.wish = "nobody";
    if (input.type === "connect" && this.wish === "down") this.wish = "up";
    if (input.type === "disconnect" && this.wish === "up") this.wish = "down";

    const outputs = this.machine.handle(this.now, this.chance.next(), input);
    this.said.push(...outputs);
    for (const output of outputs) this.does(output);
  }

  private does(output: Output): void {
    if (output.type === "open") {
      const { dial, transport: kind } = output;
      this.transports.push({ dial, kind, opened: false, greeted: false, ready: false });
    } else if (output.type === "close" && !this.gone.includes(output.dial)) {
      this.transports = this.transports.filter(({ dial }) => dial !== output.dial);
      if (!this.closing.includes(output.dial)) this.closing.push(output.dial);
    } else if (output.type === "transmit") {
      this.carries(output.dial, output.frame);
    } else if (output.type === "fetch_token") {
      this.fetch = output.fetch;
    }
  }

  private carries(on: number, { type }: ClientFrame): void {
    const transport = this.transports.find(({ dial }) => dial === on);
    if (!transport?.opened) throw new Error(`${type} into the air`);
    const isPoll = transport.kind === "long_poll" && (type === "hello" || type === "watch");
    if (!isPoll && transport.greeted === (type === "hello")) throw new Error(`${type} before or beside the hello`);
    transport.greeted ||= type === "hello";
  }

  private answered(): number {
    const fetch = this.fetch!;
    this.fetch = undefined;
    return fetch;
  }
}
