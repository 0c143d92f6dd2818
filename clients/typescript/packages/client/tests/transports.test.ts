// The transports over HTTP, against a server that answers when the story says so.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { endpointOf } from "../src/address.js";
import type { Input } from "../src/connection.js";
import { HttpTransport } from "../src/transports/http.js";
import type { ClientFrame } from "../src/wire.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(async () => {
  // Whatever the story did, nothing is left behind.
  world.transport.close(1000);
  await later(500);
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const BASE = "https://chat.example.com/parlour";
const DIAL = 7;
const CLIENT = { instance: "i", version: 1 };
const HELLO = { type: "hello", app_key: "dev", token: "t1", client: CLIENT } satisfies ClientFrame;
const PONG: ClientFrame = { type: "pong" };
const READY = { type: "ready", connection_id: "c1" };
const BYE = { type: "bye", code: 4005, reason: "replaced" };

const RULES = { method: "POST", cache: "no-store", credentials: "omit", redirect: "error" };

const later = (ms = 0) => vi.advanceTimersByTimeAsync(ms);
const watch = (topic: string): ClientFrame => ({ type: "watch", topics: [{ topic, after: 1 }] });
const event = (seq: number) => ({ type: "event", topic: "channel:a:b", seq, event: { type: "placeholder" } });
const received = (frame: object) => ({ type: "received", dial: DIAL, frame });
const closed = (code: number | null, reason: string) => ({ type: "closed", dial: DIAL, code, reason });
const opened = { type: "opened", dial: DIAL };
const events = (...frames: object[]) => frames.map((frame) => `data: ${JSON.stringify(frame)}\n\n`).join("");

/** A request, as the server sees it. */
class Asked {
  readonly body: string;
  readonly path: string;
  readonly accept: string | undefined;
  answer!: (response: Response) => void;
  fail!: (error: Error) => void;
  readonly answered: Promise<Response>;

  constructor(
    readonly url: string,
    readonly init: RequestInit,
  ) {
    this.body = init.body as string;
    this.path = url.replace(`${BASE}/v1/`, "");
    this.accept = this.headers.accept;
    this.answered = new Promise((resolve, reject) => {
      this.answer = resolve;
      this.fail = reject;
      init.signal!.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
    });
  }

  get headers(): Record<string, string> {
    return this.init.headers as Record<string, string>;
  }

  /** What is said in it. */
  get frames(): ClientFrame[] {
    return (JSON.parse(this.body) as { frames?: ClientFrame[] }).frames ?? [];
  }

  get isAborted(): boolean {
    return this.init.signal!.aborted;
  }

  async takes(): Promise<void> {
    this.answer(new Response(null, { status: 204 }));
    await later();
  }

  async refuses(status: number, code = "not_found", headers: Record<string, string> = {}): Promise<void> {
    const error = { code, status, message: "no", hint: "", retryable: false, docs: "/docs" };
    this.answer(Response.json({ error }, { status, headers }));
    await later();
  }

  async batch(...frames: unknown[]): Promise<void> {
    this.answer(Response.json({ frames }));
    await later();
  }

  /** Answers with a stream, which ends as a real one does when the request is aborted. */
  async streams(): Promise<Stream> {
    const stream = new Stream(this.init.signal!);
    this.answer(stream.response);
    await later();
    return stream;
  }
}

class Stream {
  #out!: ReadableStreamDefaultController<Uint8Array>;
  readonly response: Response;

  constructor(signal: AbortSignal) {
    const body = new ReadableStream<Uint8Array>({ start: (out) => void (this.#out = out) });
    this.response = new Response(body, { headers: { "content-type": "text/event-stream" } });
    signal.addEventListener("abort", () => this.#out.error(new DOMException("aborted", "AbortError")));
  }

  async says(...frames: object[]): Promise<void> {
    await this.sends(events(...frames));
  }

  async sends(piece: string | Uint8Array): Promise<void> {
    this.#out.enqueue(typeof piece === "string" ? new TextEncoder().encode(piece) : piece);
    await later();
  }

  async ends(): Promise<void> {
    this.#out.close();
    await later();
  }

  async breaks(): Promise<void> {
    this.#out.error(new TypeError("terminated"));
    await later();
  }
}

/** A transport, and what it asks and tells. */
class World {
  readonly asked: Asked[] = [];
  readonly told: Input[] = [];
  readonly transport: HttpTransport;
  /** What the machine does about an input. */
  reacts: (input: Input) => void = () => {};

  constructor(kind: "event_stream" | "long_poll") {
    const fetch = function (this: unknown, url: string, init: RequestInit): Promise<Response> {
      // As browsers do.
      if (this !== undefined) throw new TypeError("Illegal invocation");
      const asked = new Asked(url, init);
      world.asked.push(asked);
      return asked.answered;
    } as unknown as typeof globalThis.fetch;
    const endpoint = endpointOf({ url: BASE, appKey: "dev", fetch });
    this.transport = new HttpTransport(kind, DIAL, endpoint, (input) => {
      this.told.push(input);
      this.reacts(input);
    });
  }

  get last(): Asked {
    return this.asked.at(-1)!;
  }

  says(...frames: ClientFrame[]): void {
    for (const frame of frames) this.transport.transmit(frame);
  }

  /** What was told since the last look. */
  news(): Input[] {
    return this.told.splice(0);
  }
}

let world: World;

async function opens(kind: "event_stream" | "long_poll"): Promise<void> {
  world = new World(kind);
  await later();
  expect(world.news()).toEqual([opened]);
}

/** An event stream that is up. */
async function streaming(): Promise<Stream> {
  await opens("event_stream");
  world.says(HELLO);
  const stream = await world.last.streams();
  await stream.says(READY);
  expect(world.news()).toEqual([received(READY)]);
  return stream;
}

/** A long-poll whose first answer was told. */
async function polling(hello: ClientFrame = HELLO): Promise<void> {
  await opens("long_poll");
  world.says(hello);
  await world.last.batch(READY);
  expect(world.news()).toEqual([received(READY)]);
}

/** The next poll is under way. */
async function pollsAgain(): Promise<Asked> {
  await later(250);
  expect(world.news()).toEqual([opened]);
  world.says(HELLO);
  expect(world.last.path).toBe("connect");
  return world.last;
}

describe.each(["event_stream", "long_poll"] as const)("a transport by %s", (kind) => {
  it("is open at once but not before its maker has it, and asks for nothing before hello", async () => {
    world = new World(kind);
    expect(world.told).toEqual([]);
    await later();
    expect(world.told).toEqual([opened]);
    await later(60_000);
    expect(world.asked).toEqual([]);
  });

  it("says hello in a body, with no token in the URL, no cookie, no cache and no redirect (L4.5, L9.18)", async () => {
    await opens(kind);
    world.says(HELLO);
    expect(world.asked.length).toBe(1);
    const { url, init, body, accept } = world.last;
    expect(url).toBe(`${BASE}/v1/connect`);
    expect(JSON.parse(body)).toEqual(HELLO);
    expect(accept).toBe(kind === "long_poll" ? "application/json" : "text/event-stream");
    expect(init.headers).toEqual({ accept, "content-type": "application/json" });
    expect(init).toMatchObject(RULES);
  });

  it("that is refused is closed without a code, with the beginning of the answer", async () => {
    await opens(kind);
    world.says(HELLO);
    const headers = { "content-type": world.last.accept! };
    world.last.answer(new Response("no".repeat(1_000), { status: 403, headers }));
    await later();
    expect(world.news()).toEqual([closed(null, `the server answered 403: ${"no".repeat(150)}`)]);
  });

  it("that is answered with something else, as by a captive portal, is closed without a code", async () => {
    await opens(kind);
    world.says(HELLO);
    world.last.answer(new Response("<html>pay</html>", { headers: { "content-type": "text/html" } }));
    await later();
    expect(world.news()).toEqual([closed(null, "the server answered 200: <html>pay</html>")]);
  });

  it("that reaches nobody is closed without a code", async () => {
    await opens(kind);
    world.says(HELLO);
    world.last.fail(new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") }));
    await later();
    expect(world.news()).toEqual([closed(null, "fetch failed: connect ECONNREFUSED")]);
  });

  it("closed before hello is answered ends the request, and tells nothing but that", async () => {
    await opens(kind);
    world.says(HELLO, PONG);
    const request = world.last;
    world.transport.close(4900);
    await later();
    expect(request.isAborted).toBe(true);
    world.transport.close(1000);
    world.says(HELLO);
    await later(10_000);
    expect(world.news()).toEqual([closed(4900, "closed by this client")]);
    expect(world.asked.length).toBe(1);
  });

  it("closed before it was open was never open", async () => {
    world = new World(kind);
    world.transport.close(1000);
    await later();
    expect(world.news()).toEqual([closed(1000, "closed by this client")]);
  });
});

describe("an event stream", () => {
  it("tells each frame, and at its end that it is closed", async () => {
    const stream = await streaming();
    await stream.says(event(1), event(2));
    expect(world.news()).toEqual([received(event(1)), received(event(2))]);
    await stream.ends();
    expect(world.news()).toEqual([closed(null, "the event stream broke off")]);
  });

  it("that breaks says why", async () => {
    const stream = await streaming();
    await stream.breaks();
    expect(world.news()).toEqual([closed(null, "terminated")]);
  });

  it("is over with the server's bye, whose code is the close code", async () => {
    const stream = await streaming();
    await stream.says(BYE, event(1));
    expect(world.news()).toEqual([received(BYE), closed(4005, "replaced")]);
    expect(world.asked[0]!.isAborted).toBe(true);
  });

  it("that brings what is no frame is broken", async () => {
    for (const text of ["<html>", "null", '{"kind":"event"}', '"ready"']) {
      const stream = await streaming();
      await stream.sends(`data: ${text}\n\n`);
      expect(world.news()).toEqual([closed(null, `the server sent what is no frame: ${text}`)]);
      expect(world.asked[0]!.isAborted).toBe(true);
    }
  });

  it("on a platform without streams is closed, and says so", async () => {
    await opens("event_stream");
    world.says(HELLO);
    const native = { status: 200, headers: new Headers({ "content-type": "text/event-stream" }) };
    world.last.answer(native as Response);
    await later();
    expect(world.news()).toEqual([closed(null, "this platform's fetch gives no streams")]);
  });

  it("that is closed while a frame is told tells no other", async () => {
    const stream = await streaming();
    world.reacts = () => world.transport.close(4900);
    await stream.says(event(1), event(2));
    expect(world.news()).toEqual([received(event(1)), closed(4900, "closed by this client")]);
  });
});

describe("the text of an event stream", () => {
  const wide = { type: "event", topic: "channel:a:ü€😀", seq: 1, event: { type: "a\u2028b" } };
  const pretty = JSON.stringify(event(2), null, 1);
  const lines = (text: string, end: string) => text.split("\n").map((line) => `data:${line}${end}`).join("");
  // Every line end, comments, fields that mean nothing, data in many lines, and an event that has no end.
  const text = [
    `\ufeff:\n\n${events(READY)}`,
    `: a comment\r\ndata: ${JSON.stringify(wide)}\r\n\r\n`,
    `event: message\ndata:\t${JSON.stringify(event(1))}\nid: 7\nretry: 10\ndatabase: no\n\n`,
    `${lines(pretty, "\r\n")}\r\n`,
    `${lines(pretty, "\r")}\r\r:\r\r`,
    `: ${"x".repeat(20)}\n\n\n\n${events(event(3))}data: {"type":"cut"}\n`,
  ].join("");
  const frames = [READY, wide, event(1), event(2), event(2), event(3)].map(received);

  it("gives the same frames wherever it is cut", async () => {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at <= bytes.length; at++) {
      await opens("event_stream");
      world.says(HELLO);
      const stream = await world.last.streams();
      await stream.sends(bytes.slice(0, at));
      await stream.sends(bytes.slice(at));
      await stream.ends();
      expect(world.news(), `cut at ${at}`).toEqual([...frames, closed(null, "the event stream broke off")]);
    }
  });

  it("gives the same frames byte by byte, each as soon as it is whole", async () => {
    await opens("event_stream");
    world.says(HELLO);
    const stream = await world.last.streams();
    for (const byte of new TextEncoder().encode(text)) {
      await stream.sends(Uint8Array.of(byte));
      await stream.sends("");
    }
    expect(world.news()).toEqual(frames);
  });

  it("is as long as it likes, but an event is not", async () => {
    const stream = await streaming();
    const piece = `:${"x".repeat(1 << 20)}`;
    for (let mib = 0; mib < 20; mib++) await stream.sends(`${piece}\n`);
    expect(world.news()).toEqual([]);
    for (let mib = 0; mib < 15; mib++) await stream.sends(mib < 8 ? `data${piece}\n` : piece);
    expect(world.news()).toEqual([]);
    await stream.sends(piece + piece);
    expect(world.news()).toEqual([closed(null, "an event of more than 16 MiB came")]);
    expect(world.asked[0]!.isAborted).toBe(true);
  });
});

describe("what is said beside an event stream", () => {
  it("waits for ready, then goes to that connection in one body, with app key and token", async () => {
    await opens("event_stream");
    world.says(HELLO, watch("a"), PONG);
    const stream = await world.last.streams();
    await later(1_000);
    expect(world.asked.length).toBe(1);
    await stream.says({ type: "ready", connection_id: "c/1" });
    expect(world.asked.length).toBe(2);
    const { path, frames, init } = world.last;
    expect(path).toBe("connections/c%2F1/frames");
    expect(frames).toEqual([watch("a"), PONG]);
    expect(init.headers).toEqual({
      "content-type": "application/json",
      "x-parlour-app": "dev",
      authorization: "Bearer t1",
    });
    expect(init).toMatchObject({ ...RULES, keepalive: false });
  });

  it("goes in one body where it is said in one turn", async () => {
    const stream = await streaming();
    world.reacts = () => world.says(watch("a"), watch("b"));
    await stream.says(event(1));
    expect(world.last.frames).toEqual([watch("a"), watch("b")]);
  });

  it("is asked one request at a time; what comes meanwhile goes with the next", async () => {
    await streaming();
    world.says(watch("a"));
    await later();
    const first = world.last;
    world.says(watch("b"));
    await later(5_000);
    world.says(watch("c"));
    expect(world.last).toBe(first);
    await first.takes();
    expect(world.asked.length).toBe(3);
    expect(world.last.frames).toEqual([watch("b"), watch("c")]);
    await world.last.takes();
    world.says(PONG);
    await later();
    expect(world.last.frames).toEqual([PONG]);
  });

  it("is cut where a body is full, counted in bytes", async () => {
    await streaming();
    // Six frames of 13,000 bytes and something, in 6,500 characters.
    const said = Array.from({ length: 6 }, (_, n) => watch(`${n}${"ü".repeat(6_500)}`));
    world.says(...said, PONG);
    const bodies: ClientFrame[][] = [];
    for (let n = 1; n <= 2; n++) {
      await later();
      expect(world.asked.length).toBe(1 + n);
      expect(new TextEncoder().encode(world.last.body).length).toBeLessThanOrEqual(65_536);
      bodies.push(world.last.frames);
      await world.last.takes();
    }
    expect(bodies).toEqual([said.slice(0, 5), [said[5], PONG]]);
    expect(world.asked.length).toBe(3);
  });

  it("fills a body to the last byte, and a frame too large for any goes alone", async () => {
    await streaming();
    const length = (frames: ClientFrame[]) => JSON.stringify({ frames }).length;
    const room = 65_536 - length([PONG, watch("")]);
    const [fits, more, large] = [room, room + 1, 70_000].map((length) => watch("x".repeat(length)));
    world.says(PONG, fits!, PONG, more!, large!);
    const bodies: number[] = [];
    for (let n = 0; n < 4; n++) {
      await later();
      bodies.push(world.last.body.length);
      await world.last.takes();
    }
    expect(bodies).toEqual([65_536, length([PONG]), length([more!]), length([large!])]);
  });

  it("goes with a token as soon as that is said", async () => {
    await streaming();
    world.says({ type: "token", token: "t2" });
    await later();
    expect(world.last.headers.authorization).toBe("Bearer t2");
    expect(world.last.frames).toEqual([{ type: "token", token: "t2" }]);
  });

  it.each([
    [429, "rate_limited", { "retry-after": "3" }, 3_000],
    [503, "unavailable", { "retry-after": "2" }, 2_000],
    [503, "unavailable", {}, 1_000],
    [429, "rate_limited", { "retry-after": "0" }, 1_000],
    [429, "rate_limited", { "retry-after": "86400" }, 60_000],
    [401, "token_expired", {}, 1_000],
  ])("is said again after %s %s %o", async (status, code, headers, ms) => {
    const stream = await streaming();
    world.says(watch("a"));
    await later();
    await world.last.refuses(status, code, headers);
    world.says(PONG);
    await later(ms - 1);
    expect(world.asked.length).toBe(2);
    await later(1);
    expect(world.asked.length).toBe(3);
    expect(world.last.frames).toEqual([watch("a"), PONG]);
    await world.last.takes();
    await stream.says(event(1));
    expect(world.news()).toEqual([received(event(1))]);
  });

  it("and has expired goes with the token that came meanwhile", async () => {
    await streaming();
    world.says(PONG);
    await later();
    await world.last.refuses(401, "token_expired");
    world.says({ type: "token", token: "t2" });
    await later(1_000);
    expect(world.last.headers.authorization).toBe("Bearer t2");
    expect(world.last.frames).toEqual([PONG, { type: "token", token: "t2" }]);
  });

  it.each([
    [404, "not_found"],
    [401, "token_invalid"],
    [413, "too_large"],
    [500, "internal"],
  ])("and refused with %s %s breaks the transport", async (status, code) => {
    await streaming();
    world.says(PONG, watch("a"));
    await later();
    await world.last.refuses(status, code);
    world.says(watch("b"));
    await later(500);
    const reason = expect.stringMatching(`^the server answered ${status}: {"error":{"code":"${code}"`);
    expect(world.news()).toEqual([closed(null, reason as unknown as string)]);
    expect(world.asked.length).toBe(2);
    expect(world.asked[0]!.isAborted).toBe(true);
  });

  it("and answered by somebody else breaks the transport", async () => {
    await streaming();
    world.says(PONG);
    await later();
    world.last.answer(new Response("<html>"));
    await later(500);
    expect(world.news()).toEqual([closed(null, "the server answered 200: <html>")]);
  });

  it("and refused because the server has said bye lets that be heard", async () => {
    const stream = await streaming();
    world.says(PONG);
    await later();
    await world.last.refuses(404);
    await later(499);
    await stream.says(BYE);
    await later(1_000);
    expect(world.news()).toEqual([received(BYE), closed(4005, "replaced")]);
  });

  it("and reaches nobody breaks the transport", async () => {
    await streaming();
    world.says(PONG);
    await later();
    world.last.fail(new TypeError("fetch failed"));
    await later(500);
    expect(world.news()).toEqual([closed(null, "fetch failed")]);
  });

  it("and has no answer breaks the transport", async () => {
    await streaming();
    world.says(PONG);
    await later(10_000);
    const post = world.last;
    expect(post.isAborted).toBe(true);
    await later(500);
    expect(world.news()).toEqual([closed(null, "no answer from POST frames within 10000 ms")]);
  });
});

describe("closing an event stream", () => {
  const LEAVE: ClientFrame = { type: "bye", intent: "leave" };

  it("says what is left at once, so that it outlives the page, then ends everything", async () => {
    await streaming();
    world.says(watch("a"), LEAVE);
    world.transport.close(1000);
    // No turn later: the page may be gone by then.
    expect(world.asked.length).toBe(2);
    const [stream, post] = world.asked as [Asked, Asked];
    expect(post.frames).toEqual([watch("a"), LEAVE]);
    expect(post.init.keepalive).toBe(true);
    await later(400);
    expect([stream.isAborted, world.news()]).toEqual([false, []]);
    await post.takes();
    expect(stream.isAborted).toBe(true);
    expect(world.news()).toEqual([closed(1000, "closed by this client")]);
  });

  it("waits for that half a second", async () => {
    await streaming();
    world.says(LEAVE);
    world.transport.close(1000);
    await later(499);
    expect(world.news()).toEqual([]);
    await later(1);
    expect(world.asked.map(({ isAborted }) => isAborted)).toEqual([true, true]);
    expect(world.news()).toEqual([closed(1000, "closed by this client")]);
  });

  it("waits for no answer, and for no pause, before it says bye", async () => {
    await streaming();
    world.says(PONG);
    await later();
    world.says(LEAVE);
    world.transport.close(1000);
    expect(world.last.frames).toEqual([LEAVE]);
    const [, pong, bye] = world.asked as [Asked, Asked, Asked];
    await bye.takes();
    expect(world.news()).toEqual([]);
    await pong.takes();
    expect(world.news()).toEqual([closed(1000, "closed by this client")]);

    await streaming();
    world.says(PONG);
    await later();
    await world.last.refuses(429, "rate_limited", { "retry-after": "30" });
    world.says(LEAVE);
    world.transport.close(1000);
    expect(world.last.frames).toEqual([PONG, LEAVE]);
    await world.last.refuses(429, "rate_limited");
    expect(world.news()).toEqual([closed(1000, "closed by this client")]);
    await later(60_000);
    expect(world.asked.length).toBe(3);
  });

  it("says more than one body holds in as many", async () => {
    await streaming();
    const [a, b] = [watch("a".repeat(40_000)), watch("b".repeat(40_000))];
    world.says(a, b, LEAVE);
    world.transport.close(1000);
    await later();
    expect(world.asked.length).toBe(2);
    expect(world.last.frames).toEqual([a]);
    await world.last.takes();
    expect(world.last.frames).toEqual([b, LEAVE]);
    await world.last.takes();
    expect(world.news()).toEqual([closed(1000, "closed by this client")]);
  });

  it("is done also where nothing gets through", async () => {
    await streaming();
    world.says(LEAVE);
    world.transport.close(1000);
    world.last.fail(new TypeError("fetch failed"));
    await later();
    expect(world.news()).toEqual([closed(1000, "closed by this client")]);
  });

  it("is told once, whatever the server does meanwhile, and nothing else is", async () => {
    const stream = await streaming();
    world.says(LEAVE);
    world.transport.close(1000);
    await stream.says(event(1), { type: "bye", code: 1000, reason: "left" });
    await stream.ends();
    world.transport.close(4900);
    await world.last.takes();
    world.transport.close(4900);
    world.says(PONG);
    await later(60_000);
    expect(world.news()).toEqual([closed(1000, "closed by this client")]);
    expect(world.asked.length).toBe(2);
  });

  it("that is over already is nothing", async () => {
    const stream = await streaming();
    await stream.says(BYE);
    world.transport.close(1000);
    await later(1_000);
    expect(world.news()).toEqual([received(BYE), closed(4005, "replaced")]);
  });
});

describe("a long-poll", () => {
  it("tells an answer frame by frame, and a quarter of a second later that it is open again (L4.23)", async () => {
    await opens("long_poll");
    world.says(HELLO);
    await later(25_000);
    await world.last.batch(READY, event(1), event(2));
    expect(world.news()).toEqual([received(READY), received(event(1)), received(event(2))]);
    await later(249);
    expect(world.news()).toEqual([]);
    await later(1);
    expect(world.news()).toEqual([opened]);
    await later(60_000);
    expect(world.asked.length).toBe(1);
    world.says({ ...HELLO, token: "t2", replaces: "c1" });
    expect(JSON.parse(world.last.body)).toEqual({ ...HELLO, token: "t2", replaces: "c1" });
    await world.last.batch({ ...READY, connection_id: "c2" });
    expect(world.news()).toEqual([received({ ...READY, connection_id: "c2" })]);
  });

  it("says beside hello what was said in the pause and before it, in order, and nothing twice", async () => {
    await opens("long_poll");
    world.says(watch("a"), HELLO);
    expect(JSON.parse(world.last.body)).toEqual({ ...HELLO, frames: [watch("a")] });
    world.reacts = ({ type }) => type === "received" && world.says(watch("b"));
    await world.last.batch(READY);
    world.reacts = ({ type }) => type === "opened" && world.says(watch("c"), HELLO);
    world.says(PONG);
    await later(250);
    expect(world.asked.length).toBe(2);
    expect(JSON.parse(world.last.body)).toEqual({ ...HELLO, frames: [watch("b"), PONG, watch("c")] });
    await world.last.batch({ ...READY, connection_id: "c2" });
    await later(250);
    expect(world.last.frames).toEqual([watch("c")]);
  });

  it("says by a request of its own what comes up while a poll is under way", async () => {
    await polling();
    const poll = await pollsAgain();
    world.says(PONG);
    await later();
    expect(world.last.path).toBe("connections/c1/frames");
    expect(world.last.frames).toEqual([PONG]);
    await world.last.takes();
    await poll.batch({ ...READY, connection_id: "c2" });
    world.news();
    const next = await pollsAgain();
    expect(next.frames).toEqual([]);
    world.says(PONG);
    await later();
    expect(world.last.path).toBe("connections/c2/frames");
  });

  it("says beside it what the poll's own body has no room for", async () => {
    await polling();
    const said = [watch("a".repeat(40_000)), watch("b".repeat(40_000)), PONG];
    world.says(...said);
    const poll = await pollsAgain();
    expect(poll.frames).toEqual(said.slice(0, 1));
    expect(poll.body.length).toBeLessThan(65_536);
    await later();
    expect(world.last.path).toBe("connections/c1/frames");
    expect(world.last.frames).toEqual(said.slice(1));
  });

  it("fills the body of a poll to the last byte", async () => {
    for (const [more, count] of [
      [0, 1],
      [1, 0],
    ] as const) {
      await polling();
      const empty = JSON.stringify({ ...HELLO, frames: [watch("")] }).length;
      world.says(watch("x".repeat(65_536 - empty + more)));
      const poll = await pollsAgain();
      expect(poll.frames.length).toBe(count);
      if (count) expect(poll.body.length).toBe(65_536);
      world.transport.close(1000);
      await later(500);
    }
  });

  it("does not ask again before what was said is answered", async () => {
    await polling();
    const poll = await pollsAgain();
    world.says(PONG);
    await later();
    const post = world.last;
    await poll.batch({ ...READY, connection_id: "c2" });
    world.news();
    await later(1_000);
    expect(world.news()).toEqual([]);
    await post.takes();
    expect(world.news()).toEqual([opened]);
  });

  it("says with the next poll what was refused because the connection has another id now", async () => {
    await polling();
    const poll = await pollsAgain();
    world.says(PONG);
    await later();
    const post = world.last;
    await poll.batch({ ...READY, connection_id: "c2" });
    world.says(watch("a"));
    await post.refuses(404);
    world.news();
    expect((await pollsAgain()).frames).toEqual([PONG, watch("a")]);
    world.says(PONG);
    await later();
    expect(world.last.path).toBe("connections/c2/frames");
  });

  it("says with the next poll what the server could not take", async () => {
    await polling();
    const poll = await pollsAgain();
    world.says(PONG);
    await later();
    await world.last.refuses(429, "rate_limited", { "retry-after": "30" });
    await poll.batch({ ...READY, connection_id: "c2" });
    world.news();
    world.says(watch("a"));
    expect((await pollsAgain()).frames).toEqual([PONG, watch("a")]);
    await later(30_000);
    expect(world.last.path).toBe("connect");
  });

  it("is gentle while nobody looks (L4.23)", async () => {
    for (const app_state of ["hidden", "background"] as const) {
      await polling({ ...HELLO, app_state });
      await later(4_999);
      expect(world.news()).toEqual([]);
      await later(1);
      expect(world.news()).toEqual([opened]);
    }
    await polling({ ...HELLO, app_state: "foreground" });
    world.says({ type: "app_state", state: "hidden" });
    await later(4_999);
    expect(world.news()).toEqual([]);
    world.says({ type: "signal", topic: "channel:a:b", signal: { type: "typing.stop" } });
    await later(1);
    expect(world.news()).toEqual([opened]);
  });

  it.each<[string, ClientFrame]>([
    ["the user looks again", { type: "app_state", state: "foreground" }],
    ["somebody pings", { type: "ping", id: 0 }],
  ])("asks at once when %s", async (_, frame) => {
    const hidden: ClientFrame = { ...HELLO, app_state: "hidden" };
    for (const [after, opensAfter] of [
      [0, 250],
      [100, 150],
      [3_000, 0],
    ] as const) {
      await polling(hidden);
      await later(after);
      expect(world.news()).toEqual([]);
      world.says(frame);
      await later(Math.max(0, opensAfter - 1));
      if (opensAfter) expect(world.news()).toEqual([]);
      await later(1);
      expect(world.news()).toEqual([opened]);
      world.says(hidden);
      expect(world.last.frames).toEqual([frame]);
      world.transport.close(1000);
      await later(5_000);
    }
  });

  it("is over with a bye, after everything before it was told", async () => {
    await polling();
    await (await pollsAgain()).batch(READY, event(1), BYE, event(2));
    await later(10_000);
    expect(world.news()).toEqual([...[READY, event(1), BYE].map(received), closed(4005, "replaced")]);
    expect(world.asked.length).toBe(2);
  });

  it("that fails is closed without a code", async () => {
    await polling();
    const poll = await pollsAgain();
    poll.fail(new TypeError("fetch failed"));
    await later();
    expect(world.news()).toEqual([closed(null, "fetch failed")]);
  });

  it("whose answer is no batch of frames is closed without a code", async () => {
    for (const body of [{}, { frames: {} }, null, { frames: [READY, { seq: 1 }] }]) {
      await opens("long_poll");
      world.says(HELLO);
      world.last.answer(Response.json(body));
      await later();
      const reason = `the server sent what is no frame: ${JSON.stringify(body)}`;
      expect(world.news().at(-1)).toEqual(closed(null, reason));
      await later(10_000);
      expect(world.asked.length).toBe(1);
    }
  });

  it("closed while a frame is told tells no other, and is not open again", async () => {
    await opens("long_poll");
    world.says(HELLO);
    world.reacts = () => world.transport.close(4900);
    await world.last.batch(READY, event(1));
    await later(10_000);
    expect(world.news()).toEqual([received(READY), closed(4900, "closed by this client")]);
  });

  it.each(["in a pause", "while a poll is under way"])("closed %s says bye first", async (when) => {
    await polling();
    if (when !== "in a pause") await pollsAgain();
    world.says({ type: "bye", intent: "leave" });
    world.transport.close(1000);
    expect(world.last.path).toBe("connections/c1/frames");
    expect(world.last.frames).toEqual([{ type: "bye", intent: "leave" }]);
    expect(world.last.init.keepalive).toBe(true);
    await world.last.takes();
    await later(10_000);
    expect(world.news()).toEqual([closed(1000, "closed by this client")]);
    if (when !== "in a pause") expect(world.asked[1]!.isAborted).toBe(true);
  });
});
