// Calls, messages on their way and unread counts come with code of their own, which is loaded beside the first dial.

import { afterEach, beforeEach, expect, it, vi } from "vitest";

import * as desk from "../src/desk.js";
import type { Client } from "../src/index.js";
import { loadDesk } from "../src/load_desk.js";
import { FakeServer, held, message, state } from "./fake_server.js";

vi.mock("../src/load_desk.js");

const CID = "messaging:general";

let server: FakeServer;
let client: Client;
/** The code on its way, and how often it was asked for. */
let code: ReturnType<typeof held<void>>;
let loads: number;

beforeEach(() => {
  vi.useFakeTimers();
  code = held();
  loads = 0;
  vi.mocked(loadDesk).mockImplementation(() => {
    loads++;
    return code.promise.then(() => desk);
  });
  server = new FakeServer();
  server.more = { channels: [{ cid: CID, last_read_seq: 5, unread_messages: 0, head: 5 }] };
});
afterEach(async () => {
  void client.disconnectUser();
  await vi.advanceTimersByTimeAsync(10_000);
  vi.useRealTimers();
});

const soon = () => vi.advanceTimersByTimeAsync(10);
const unread = () => client.unread.get();

async function arrives(): Promise<void> {
  code.resolve();
  await soon();
}

async function fails(): Promise<void> {
  code.reject(new Error("404: /assets/desk.js"));
  await soon();
  code = held();
}

it("the connection does not wait for it, and it is loaded once", async () => {
  client = server.client();
  expect(loads).toBe(0);
  const up = client.connectUser("alice", "token");
  expect(loads).toBe(1);
  await soon();
  await expect(up).resolves.toMatchObject({ id: "alice" });
  await arrives();
  server.socket.breaks();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(server.sockets.length).toBe(2);
  expect(loads).toBe(1);
});

it("until it is there the totals are the server's, and not settled; what happened meanwhile is counted then", async () => {
  server.more.me = { ...server.ready().me, total_unread_count: 0 };
  client = await server.connected();
  expect(unread()).toEqual({ totalUnreadCount: 0, unreadChannels: 0, settled: false });
  server.happens(CID, 6, { type: "message.new", message: message(CID, 6) });
  server.happens(CID, 7, { type: "message.new", message: message(CID, 7) });
  expect(client.me.get()).toMatchObject({ total_unread_count: 0 });
  await arrives();
  expect(unread()).toEqual({ totalUnreadCount: 2, unreadChannels: 1, settled: true });
  expect(client.me.get()).toMatchObject({ total_unread_count: 2, unread_channels: 1 });
  expect(server.asked).toEqual([]);
});

it("where too much happened meanwhile, it asks the server", async () => {
  client = await server.connected();
  for (let seq = 6; seq < 1_100; seq++) server.happens(CID, seq, { type: "message.new", message: message(CID, seq) });
  const unreadNow = { cid: CID, last_read_seq: 5, unread_messages: 1_094, head: 1_099 };
  server.on(/^GET unread$/, () => ({ channels: [unreadNow] }));
  server.on(/^GET channels/, () => state(CID, 1_099, [], { unread: unreadNow }));
  await arrives();
  expect(unread()).toEqual({ totalUnreadCount: 1_094, unreadChannels: 1, settled: true });
});

it("calls and messages wait for it, in order", async () => {
  server.on(/^POST channels\/messaging\/general\/messages$/, ({ message: { text } }: { message: { text: string } }) => ({
    message: message(CID, 6, { text }),
  }));
  server.on(/^PATCH channels\/messaging\/general$/, () => state(CID, 5, []));
  client = await server.connected();
  const channel = client.channelAt(CID);
  const sent = [channel.send("one"), channel.send("two")];
  const updated = channel.update({ set: { name: "General" } });
  await soon();
  expect(server.asked).toEqual([]);
  await arrives();
  expect((await Promise.all(sent)).map(({ text }) => text)).toEqual(["one", "two"]);
  await updated;
  expect(server.asked.length).toBe(3);
});

it("where it does not come, calls say why, and the next one tries again", async () => {
  client = await server.connected();
  const channel = client.channelAt(CID);
  const failed = expect(channel.members()).rejects.toMatchObject({
    code: "network",
    retryable: true,
    message: expect.stringContaining("404: /assets/desk.js"),
  });
  await fails();
  await failed;
  expect(loads).toBe(1);
  server.on(/members/, () => ({ members: [] }));
  const members = channel.members();
  expect(loads).toBe(2);
  await arrives();
  await expect(members).resolves.toEqual({ members: [] });
});

it("it is tried again when the connection is back", async () => {
  client = await server.connected();
  await fails();
  server.socket.breaks();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(loads).toBe(2);
  await arrives();
  expect(unread().settled).toBe(true);
});

it("a call's own time counts while it is loaded", async () => {
  client = await server.connected();
  const late = expect(client.channelAt(CID).members({}, { timeoutMs: 500 })).rejects.toMatchObject({ code: "timeout" });
  await vi.advanceTimersByTimeAsync(500);
  await late;
});

it("who leaves meanwhile asks nothing and counts nothing", async () => {
  client = await server.connected();
  const refused = expect(client.channelAt(CID).members()).rejects.toMatchObject({ code: "not_logged_in" });
  void client.disconnectUser();
  await arrives();
  await refused;
  expect(unread()).toEqual({ totalUnreadCount: 0, unreadChannels: 0, settled: true });
  expect(server.asked).toEqual([]);
});
