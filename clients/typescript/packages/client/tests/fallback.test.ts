// Where no WebSocket gets through, the client goes on over HTTP; what that is, is told by transports.test.ts.

import { afterEach, beforeEach, expect, it, vi } from "vitest";

import type { Input, ReceivedFrame } from "../src/connection.js";
import { Client, type ClientEvent, type Transport } from "../src/index.js";
import { loadHttp } from "../src/load_http.js";
import type { ClientFrame } from "../src/wire.js";
import { FakeServer, held } from "./fake_server.js";

vi.mock("../src/load_http.js");

const ALL: readonly Transport[] = ["web_socket", "event_stream", "long_poll"];

/** A transport over HTTP, that says `ready` to each hello. */
class FakeHttp {
  heard: ClientFrame[] = [];
  closedWith: number | undefined;

  constructor(
    readonly kind: Transport,
    readonly dial: number,
    readonly endpoint: { url: string },
    readonly tell: (input: Input) => void,
  ) {
    transports.push(this);
    setTimeout(() => tell({ type: "opened", dial }));
  }

  transmit(frame: ClientFrame): void {
    this.heard.push(frame);
    if (frame.type === "hello") setTimeout(() => this.says(readyOf(`h${++readies}`)));
  }

  says(frame: ReceivedFrame): void {
    this.tell({ type: "received", dial: this.dial, frame });
  }

  close(code: number): void {
    this.closedWith = code;
    setTimeout(() => this.tell({ type: "closed", dial: this.dial, code, reason: "" }));
  }
}

const readyOf = (connection_id: string): ReceivedFrame => ({ type: "ready", ...Object.assign(server.ready(), { connection_id }) });

let server: FakeServer;
let transports: FakeHttp[];
let readies: number;
let code: ReturnType<typeof held<void>>;
beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  transports = [];
  readies = 0;
  code = held();
  code.resolve();
  vi.mocked(loadHttp).mockImplementation(() => code.promise.then(() => ({ HttpTransport: FakeHttp }) as never));
});
afterEach(() => {
  vi.clearAllTimers();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const later = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const status = (client: Client) => client.connection.get();

/** Connects where WebSockets never open. */
async function fallenBack(): Promise<{ client: Client; heard: ClientEvent[] }> {
  server.refusesDials = true;
  const client = server.client({ transports: ALL });
  const up = client.connectUser("alice", "token");
  const heard: ClientEvent[] = [];
  client.on("all", (event) => heard.push(event));
  await later(3_000);
  await up;
  return { client, heard };
}

it("a WebSocket that gets through is all there is, and nothing else is loaded", async () => {
  const client = await server.connected({ transports: ALL });
  expect(status(client)).toMatchObject({ state: "connected", transport: "web_socket" });
  expect(status(client).fellBack).toBeUndefined();
  expect(loadHttp).not.toHaveBeenCalled();
});

it("after three that never opened it is an event stream, and the app is told why (L6.14, L1.21)", async () => {
  const { client, heard } = await fallenBack();
  const fellBack = { from: "web_socket", to: "event_stream", because: "the WebSocket did not open" };
  expect(status(client)).toMatchObject({ state: "connected", transport: "event_stream", connectionId: "h1", fellBack });
  expect(heard).toContainEqual({ type: "connection.fell_back", ...fellBack });
  expect([server.sockets.length, transports.map(({ kind }) => kind)]).toEqual([3, ["event_stream"]]);
  expect(transports[0]!.endpoint.url).toBe(server.url);
  void client.ping().catch(() => {});
  expect(transports[0]!.heard.at(-1)).toEqual({ type: "ping", id: 1 });
});

it("an upgrade that stands still takes 2.5 seconds (L6.14)", async () => {
  const webSocket = function () {
    return { readyState: 0, close() {} };
  } as never;
  const client = server.client({ transports: ALL, webSocket });
  void client.connectUser("alice", "token");
  await later(2_490);
  expect(transports).toEqual([]);
  await later(20);
  expect(status(client)).toMatchObject({ transport: "event_stream", fellBack: { because: "no answer" } });
});

it("the better one is tried again beside it, and taken over without a break (L6.16, L3.3)", async () => {
  const { client, heard } = await fallenBack();
  for (let minute = 0; minute < 10; minute++) {
    transports[0]!.says({ type: "ping", as_of: "2026-11-21T12:00:00.000Z" } as ReceivedFrame);
    await later(30_000);
    transports[0]!.says({ type: "ping", as_of: "2026-11-21T12:00:00.000Z" } as ReceivedFrame);
    await later(30_000);
    if (minute === 8) server.refusesDials = false;
  }
  await later(100);
  expect(status(client)).toMatchObject({ state: "connected", transport: "web_socket", connectionId: "c4" });
  expect(transports[0]!.closedWith).toBe(4900);
  expect(heard.filter(({ type }) => type === "connection.changed").length).toBeLessThanOrEqual(8);
  expect(heard.some(({ type }) => type === "connection.recovered")).toBe(false);
  // What was there is not down for a moment.
  const states = heard.flatMap((event) => (event.type === "connection.changed" ? [event.to.state] : []));
  expect(states.slice(states.indexOf("connected"))).toEqual(["connected"]);
});

it("a long-poll says hello again and again, and is one connection (L4.19)", async () => {
  const client = server.client({ transports: ["long_poll"] });
  void client.connectUser("alice", "token");
  const heard: ClientEvent[] = [];
  client.on("all", (event) => heard.push(event));
  await later(10);
  const [poll] = transports;
  for (let turn = 0; turn < 3; turn++) {
    poll!.tell({ type: "opened", dial: poll!.dial });
    await later(10);
  }
  expect(status(client)).toMatchObject({ state: "connected", transport: "long_poll", connectionId: "h4" });
  expect(poll!.heard.map(({ type }) => type)).toEqual(["hello", "hello", "hello", "hello"]);
  expect(heard.filter(({ type }) => type === "connection.recovered")).toEqual([]);
  expect(transports.length).toBe(1);
});

it("a dial that is given up before its code is there opens nothing", async () => {
  code = held();
  const client = server.client({ transports: ["event_stream"] });
  const up = client.connectUser("alice", "token");
  up.catch(() => {});
  await later(10);
  const down = client.disconnect();
  await later(10);
  await down;
  code.resolve();
  await later(10);
  expect([status(client).state, transports]).toEqual(["offline", []]);
});

it("code that does not come is a dial that failed, and the next one tries again", async () => {
  code = held();
  const client = server.client({ transports: ["event_stream"] });
  void client.connectUser("alice", "token");
  await later(10);
  code.reject(new Error("404: /assets/http.js"));
  await later(10);
  expect(status(client)).toMatchObject({ state: "reconnecting", cause: "transport_closed" });
  code = held();
  code.resolve();
  await later(2_000);
  expect(status(client)).toMatchObject({ state: "connected", transport: "event_stream" });
});

it("where the platform has no WebSocket, HTTP is what there is", async () => {
  vi.stubGlobal("WebSocket", undefined);
  const { webSocket: _, transports: __, ...options } = server.options;
  const client = new Client(options);
  void client.connectUser("alice", "token");
  await later(10);
  expect(status(client)).toMatchObject({ state: "connected", transport: "event_stream" });
});

it("transports that are not allowed are not used (L1.6)", async () => {
  server.refusesDials = true;
  const client = server.client({ transports: ["web_socket", "long_poll"] });
  void client.connectUser("alice", "token");
  await later(3_000);
  expect(status(client).transport).toBe("long_poll");
});
