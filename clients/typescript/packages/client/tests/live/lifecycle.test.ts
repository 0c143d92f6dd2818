import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { type Client, memoryStorage, type Observable, type WebSocketConstructor } from "../../src/index.js";
import { CountedSocket, eventually, TestServer } from "./kit.js";

let server: TestServer;
beforeAll(async () => void (server = await TestServer.start()));
afterAll(() => server.end());

const token = (user: string) => () => server.backend.createToken(user);

/** How many there are, looked at with each event of the client. */
const count = (heard: unknown[], client: Client): Observable<number> => ({
  get: () => heard.length,
  subscribe: (listener) => client.on("all", listener),
});

it("a login asks the server, makes nobody, and connects; a logout ends it (L1.9, L1.10, L1.18)", async () => {
  const client = server.client();
  expect(await client.login(token("lena"))).toEqual({ id: "lena" });
  await eventually(client.connection, ({ state }) => state === "connected");
  expect(await client.loggedInUser()).toMatchObject({ id: "lena", role: "user" });
  expect(await client.logout()).toBe(0);
  expect(client.connection.get().state).toBe("closed");
  // By now she is somebody.
  expect(await client.login(token("lena"))).toMatchObject({ id: "lena", role: "user" });
});

it("a login with a token of another secret is refused, and one of a backend is no user's", async () => {
  const client = server.client();
  await expect(client.login("eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiZXZlIn0.c2ln")).rejects.toMatchObject({ status: 401 });
  expect(client.userId).toBeUndefined();
});

it("whose tokens are taken back is told so at once, and comes back with a new one (F1.21, F1.25)", async () => {
  const client = server.client();
  await client.connectUser({ id: "rita" }, await server.backend.createToken("rita"));
  await server.backend.revokeTokens("rita");
  await eventually(client.connection, ({ state }) => state === "failed");
  expect(client.connection.get()).toMatchObject({ code: 4002 });
  await server.backend.revokeTokens("rita", null);
  await client.connect();
  expect(client.connection.get().state).toBe("connected");
});

it("in manual mode nothing is opened until connect, and the server knows of the lease (L2.2)", async () => {
  const client = server.client({ autoConnect: false });
  await client.login(token("mona"));
  expect(client.connection.get().state).toBe("offline");
  await expect(client.ping()).rejects.toMatchObject({ code: "not_connected" });
  await client.connect();
  expect(client.connection.get()).toMatchObject({ state: "connected", transport: "web_socket" });
  client.enterBackground();
  expect(await client.ping()).toBeGreaterThan(0);
  expect(client.connection.get().rttMs).toBeGreaterThan(0);
  await client.disconnect();
  expect(client.connection.get().state).toBe("offline");
});

it("in auto mode the background parks and the foreground brings what was missed (L2.4, L2.12)", async () => {
  const [alice, bob] = await Promise.all([server.connected("alice"), server.connected("bob")]);
  const channel = alice.channel("messaging", "parked");
  await channel.getOrCreate({ members: ["bob"] });
  const heard: unknown[] = [];
  bob.on("message.new", ({ message }) => heard.push(message.text));
  bob.enterBackground();
  await eventually(bob.connection, ({ state }) => state === "parked");
  await channel.send("while you were away");
  expect(heard).toEqual([]);
  bob.enterForeground();
  await eventually(count(heard, bob), (length) => length === 1);
  expect(heard).toEqual(["while you were away"]);
});

it("the next page goes on where this one stood (L1.2, L5.3)", async () => {
  const storage = memoryStorage();
  const alice = await server.connected("alice");
  const first = await server.connected("rosa", { storage });
  const channel = alice.channel("messaging", "reload");
  await channel.getOrCreate({ members: ["rosa"] });
  const told = new Promise((resolve) => first.on("message.new", resolve));
  await channel.send("one");
  await told;
  first.enterBackground();
  await eventually(first.connection, ({ state }) => state === "parked");
  await channel.send("two");
  vi.resetModules();
  const { Client } = await import("../../src/index.js");
  const heard: unknown[] = [];
  const { url, appKey } = server;
  const webSocket = CountedSocket as unknown as WebSocketConstructor;
  const next = new Client({ url, appKey, webSocket, storage, tokenProvider: token("rosa") });
  next.on("message.new", ({ message }) => heard.push(message.text));
  await eventually(next.connection, ({ state }) => state === "connected");
  await channel.send("three");
  await eventually(count(heard, next), (length) => length === 2);
  expect(heard).toEqual(["two", "three"]);
  await next.disconnectUser();
});

it.each(["event_stream", "long_poll"] as const)("a client goes by %s alone (L1.6, L4.1)", async (transport) => {
  const client = await server.connected("hugo", { transports: [transport] });
  expect(client.connection.get().transport).toBe(transport);
  const channel = client.channel("messaging", `by-${transport}`);
  await channel.getOrCreate();
  channel.open();
  await eventually(channel.view, ({ status }) => status === "ready");
  await channel.send("hello");
  await eventually(channel.messages, ({ messages }) => messages.some(({ status }) => status === "sent"));
  expect(await client.ping()).toBeGreaterThan(0);
  await client.disconnectUser();
});
