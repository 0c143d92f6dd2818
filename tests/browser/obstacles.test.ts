// Each proxy really does what it is there for: looked at with bare sockets, without a client of ours.

import { connect, type Socket } from "node:net";

import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";

import { eventually, pause, TestServer } from "./kit.js";
import { Line, TestProxy } from "./proxies.js";

/** Nothing that came within this comes at all. */
const SILENCE_MS = 1_500;

let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start();
  await server.backend.upsertUsers([{ id: "alice" }]);
});
afterAll(() => server?.end());

type Ending = Pick<TestContext, "onTestFinished">;

/** One that ends with the test. */
async function start({ onTestFinished }: Ending, ...how: Parameters<typeof TestProxy.start>): Promise<TestProxy> {
  const proxy = await TestProxy.start(...how);
  onTestFinished(() => proxy.end());
  return proxy;
}

describe.concurrent("HAProxy", () => {
  it("refuses the upgrade, and nothing else, until it no longer does", async (test) => {
    const proxy = await start(test, "haproxy", server.url, { obstacle: "refuses" });
    expect(await statusOf(proxy.url, PLAIN)).toBe(200);
    expect(await statusOf(proxy.url, UPGRADE)).toBe(403);
    proxy.becomes("passes");
    await upgrades(proxy.url);
  });

  it("strips the upgrade, so that the server sees a plain request", async (test) => {
    const proxy = await start(test, "haproxy", server.url, { obstacle: "strips" });
    expect(await statusOf(proxy.url, PLAIN)).toBe(200);
    expect(await statusOf(proxy.url, UPGRADE)).toBe(426);
    proxy.becomes("passes");
    await upgrades(proxy.url);
  });

  it("drops the upgrade without a word and without an end", async (test) => {
    const proxy = await start(test, "haproxy", server.url, { obstacle: "drops" });
    expect(await statusOf(proxy.url, PLAIN)).toBe(200);
    const dropped = Said.to(proxy.url, UPGRADE);
    await pause(SILENCE_MS);
    expect(dropped).toMatchObject({ text: "", over: false });
    proxy.becomes("passes");
    await upgrades(proxy.url);
  });

  it("cuts a WebSocket that has been idle for three seconds, and none that says something", async (test) => {
    const proxy = await start(test, "haproxy", server.url, { obstacle: "passes", idle: "3s" });
    const [idle, busy] = [Said.to(proxy.url, UPGRADE), Said.to(proxy.url, UPGRADE)];
    await eventually(() => idle.status === 101 && busy.status === 101, "the upgrades");
    const since = Date.now();
    const pings = setInterval(() => busy.say(PING), 1_000);
    await eventually(() => idle.over, "the cut");
    expect(Date.now() - since).toBeGreaterThan(2_500);
    await pause(SILENCE_MS);
    clearInterval(pings);
    expect(busy.over).toBe(false);
  });

  it("lets what is open live when it reads another configuration", async (test) => {
    const proxy = await start(test, "haproxy", server.url, { obstacle: "passes" });
    const open = Said.to(proxy.url, await streamRequest());
    await eventually(() => open.text.includes('"ready"'), "the stream");
    proxy.becomes("refuses");
    await eventually(async () => (await statusOf(proxy.url, UPGRADE)) === 403, "the new configuration");
    expect(open.over).toBe(false);
  });
});

describe.concurrent("nginx", () => {
  it("forwards no upgrade and keeps a stream back, until it is told of both", async (test) => {
    const proxy = await start(test, "nginx", server.url, { obstacle: "keeps" });
    expect(await statusOf(proxy.url, PLAIN)).toBe(200);
    expect(await statusOf(proxy.url, UPGRADE)).toBe(426);
    const kept = Said.to(proxy.url, await streamRequest());
    await pause(SILENCE_MS);
    expect(kept.text).not.toContain('"ready"');
    expect(kept.over).toBe(false);
    proxy.becomes("passes");
    await upgrades(proxy.url);
    // For a moment the workers of before still take what comes.
    const stream = await streamRequest();
    await eventually(async () => (await answer(proxy.url, stream)).includes('"ready"'), "the stream");
    expect(kept.over).toBe(false);
  });
});

describe.concurrent("squid", () => {
  it("denies a tunnel and passes HTTP, until it permits both", async (test) => {
    const proxy = await start(test, "squid", server.url, { obstacle: "denies" });
    const { host } = new URL(server.url);
    const tunnel = `CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
    const plain = PLAIN.replace("GET ", `GET ${server.url}`);
    expect(await statusOf(proxy.url, plain)).toBe(200);
    expect(await statusOf(proxy.url, tunnel)).toBe(403);
    const streamed = Said.to(proxy.url, (await streamRequest()).replace("POST ", `POST ${server.url}`));
    await eventually(() => streamed.text.includes('"ready"'), "the stream");
    proxy.becomes("passes");
    await eventually(async () => (await statusOf(proxy.url, tunnel)) === 200, "the permission");
    const tunnelled = Said.to(proxy.url, tunnel);
    await eventually(() => tunnelled.status === 200, "the tunnel");
    tunnelled.say(UPGRADE);
    await eventually(() => tunnelled.text.includes("101 Switching Protocols"), "the upgrade within it");
    expect(streamed.over).toBe(false);
  });
});

describe("a line", () => {
  it("swallows all that is open, both ways and without an end, and nothing that comes later", async (test) => {
    const line = await Line.start(server.url);
    test.onTestFinished(() => line.end());
    const count = async (expected: number) => (await server.connections()) === expected;
    await eventually(() => count(0), "the end of what was before");
    const whole = Said.to(line.url, await streamRequest());
    await eventually(() => whole.text.includes('"ready"'), "the stream");
    whole.hangUp();
    await eventually(() => count(0), "the news of its end");

    const swallowed = Said.to(line.url, await streamRequest());
    await eventually(() => swallowed.text.includes('"ready"'), "the stream");
    line.swallow();
    const before = swallowed.text;
    const [, id] = /"connection_id":"([^"]+)"/.exec(before)!;
    // The pong goes along the stream that is swallowed.
    const ping = await framesRequest(id!, { type: "ping", id: 7 });
    expect(await statusOf(line.url, ping)).toBe(204);
    await pause(SILENCE_MS);
    expect(swallowed).toMatchObject({ text: before, over: false });
    swallowed.hangUp();
    await pause(SILENCE_MS);
    expect(await server.connections()).toBe(1);
  });
});

const PLAIN = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
const UPGRADE = [
  "GET /v1/connect HTTP/1.1",
  "Host: x",
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version: 13",
  "\r\n",
].join("\r\n");
/** An empty ping, masked with zeros. */
const PING = Buffer.from([0x89, 0x80, 0, 0, 0, 0]);

async function streamRequest(): Promise<string> {
  const client = { instance: crypto.randomUUID(), page: "1", sdk: "none", version: 1, platform: "none" };
  const token = await server.backend.createToken("alice");
  const hello = JSON.stringify({ type: "hello", app_key: server.appKey, token, client });
  return post("/v1/connect", hello, "Accept: text/event-stream");
}

async function framesRequest(connection: string, ...frames: object[]): Promise<string> {
  const token = await server.backend.createToken("alice");
  const headers = [`Authorization: Bearer ${token}`, `X-Parlour-App: ${server.appKey}`];
  return post(`/v1/connections/${connection}/frames`, JSON.stringify({ frames }), ...headers);
}

function post(path: string, body: string, ...headers: string[]): string {
  const length = `Content-Length: ${Buffer.byteLength(body)}`;
  const all = ["Host: x", "Content-Type: application/json", length, ...headers];
  return [`POST ${path} HTTP/1.1`, ...all, "", body].join("\r\n");
}

async function upgrades(url: string): Promise<void> {
  await eventually(async () => (await statusOf(url, UPGRADE)) === 101, "the upgrade");
}

/** The status of the answer; 0 where none comes. */
async function statusOf(url: string, request: string): Promise<number> {
  return statusIn(await answer(url, request));
}

/** What comes back at once. */
async function answer(url: string, request: string): Promise<string> {
  const said = Said.to(url, request);
  const until = Date.now() + SILENCE_MS;
  while (!said.text && !said.over && Date.now() < until) await pause(25);
  // What was said in pieces comes in pieces.
  await pause(50);
  said.hangUp();
  return said.text;
}

function statusIn(text: string): number {
  return Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? 0);
}

/** What came back on a bare socket, up to now. */
class Said {
  text = "";
  over = false;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes) => (this.text += bytes));
    socket.on("close", () => (this.over = true)).on("error", () => {});
  }

  static to(url: string, request: string): Said {
    const { hostname, port } = new URL(url);
    const said = new Said(connect(Number(port), hostname));
    said.say(request);
    return said;
  }

  get status(): number {
    return statusIn(this.text);
  }

  say(bytes: string | Buffer): void {
    this.#socket.write(bytes);
  }

  hangUp(): void {
    this.#socket.destroy();
  }
}
