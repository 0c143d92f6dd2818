// The fake server does what it says, and a client gets over it; the virtual clock is a clock.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Client } from "../src/client.js";
import type { ClientEvent } from "../src/events.js";
import { FakeServer, VirtualClock } from "../src/testing.js";

const GENERAL = "messaging:general";

let clock: VirtualClock;
let server: FakeServer;
beforeEach(() => {
  clock = new VirtualClock();
  server = new FakeServer();
});
afterEach(() => clock.restore());

const seconds = (seconds: number) => clock.advance(seconds * 1_000);

/** What a call comes to, while the time passes. */
async function outcome<T>(call: Promise<T>, ms = 20_000): Promise<T> {
  call.catch(() => {});
  await clock.advance(ms);
  return call;
}

/** A connected client, and what it was told. */
async function connected(user = "alice"): Promise<{ client: Client; told: ClientEvent[] }> {
  server.channel(GENERAL, ["alice", "bob"]);
  const client = server.client();
  const told: ClientEvent[] = [];
  client.on("all", (event) => void told.push(event));
  await outcome(client.connectUser(user, server.token(user)), 100);
  return { client, told };
}

const texts = (told: ClientEvent[]) => told.flatMap((event) => (event.type === "message.new" ? [event.message.text] : []));
const resumed = (told: ClientEvent[]) =>
  told.flatMap((event) => (event.type === "connection.recovered" ? [event.resumed] : []));
const state = (client: Client) => client.connection.get().state;
/** Dials, live connections, the most of them. */
const connections = () => [server.seen.dials, server.seen.live, server.seen.liveMax];

describe("the fake server", () => {
  it("carries what two clients say, and counts", async () => {
    const [alice, bob] = [server.client(), server.client()];
    await outcome(Promise.all([alice.connectUser("alice", "hers"), bob.connectUser("bob", "his")]), 100);
    const hers = alice.channel("messaging", "plans");
    await outcome(hers.getOrCreate({ members: ["bob"] }), 100);
    const message = await outcome(hers.send("Dinner?"), 100);
    expect([bob.unread.get().totalUnreadCount, alice.unread.get().totalUnreadCount]).toEqual([1, 0]);
    const his = bob.channel("messaging", "plans");
    const close = his.open();
    await seconds(1);
    expect(his.messages.get().messages.map(({ message }) => message.text)).toEqual(["Dinner?"]);
    await outcome(his.markRead(), 100);
    expect(bob.unread.get().totalUnreadCount).toBe(0);
    await outcome(his.markUnread(message.id), 100);
    expect(bob.unread.get().totalUnreadCount).toBe(1);
    const list = bob.channels();
    const unsubscribe = list.view.subscribe(() => {});
    await seconds(1);
    expect(list.view.get().channels.map(({ cid }) => cid)).toEqual(["messaging:plans"]);
    unsubscribe();
    close();
    const page = await outcome(bob.queryChannels({ filter: { members: { $in: ["bob"] } } }), 100);
    expect(page.channels).toHaveLength(1);
    await expect(outcome(bob.queryChannels({ filter: { name: "Plans" } }), 100)).rejects.toMatchObject({
      code: "unsupported_filter",
    });
  });

  it("says, types and reads in somebody's name", async () => {
    const { client, told } = await connected();
    const channel = client.channel("messaging", "general");
    const close = channel.open();
    await seconds(1);
    server.types(GENERAL, "bob");
    await seconds(1);
    expect(channel.typing.get().map(({ id }) => id)).toEqual(["bob"]);
    const said = server.says(GENERAL, "bob", "hello");
    await seconds(1);
    expect([texts(told), client.unread.get().totalUnreadCount]).toEqual([["hello"], 1]);
    expect(server.messages(GENERAL)).toEqual([said]);
    server.reads(GENERAL, "alice");
    await seconds(1);
    expect(client.unread.get().totalUnreadCount).toBe(0);
    close();
  });

  it("keeps an hour of silence alive by heartbeats", async () => {
    const { client } = await connected();
    await seconds(3_600);
    expect([state(client), connections()]).toEqual(["connected", [1, 1, 1]]);
  });

  it.each([undefined, 4200, 4100])("cuts with %s, and the resume brings what was missed", async (code) => {
    const { client, told } = await connected();
    server.cut(code);
    server.says(GENERAL, "bob", "missed");
    await seconds(30);
    expect([texts(told), resumed(told)]).toEqual([["missed"], ["resumed"]]);
    expect([client.unread.get().totalUnreadCount, connections()]).toEqual([1, [2, 1, 1]]);
  });

  it("cuts for good with a code that is final", async () => {
    const { client } = await connected();
    server.cut(4003);
    await seconds(600);
    expect([state(client), connections()]).toEqual(["failed", [1, 0, 1]]);
  });

  it("goes away, is dialled, and comes back with all it knew", async () => {
    const { client, told } = await connected();
    server.goAway();
    await seconds(60);
    expect([client.connection.get().uiStatus, server.seen.live]).toEqual(["reconnecting", 0]);
    expect(server.seen.dials).toBeGreaterThan(3);
    await expect(outcome(client.users(["bob"]))).rejects.toMatchObject({ code: "network" });
    server.says(GENERAL, "bob", "meanwhile");
    server.comeBack();
    await seconds(21);
    expect([state(client), texts(told)]).toEqual(["connected", ["meanwhile"]]);
  });

  it("goes silent, and the client finds out", async () => {
    const { client, told } = await connected();
    server.swallow();
    server.says(GENERAL, "bob", "into the void");
    await expect(outcome(client.ping())).rejects.toMatchObject({ code: "timeout" });
    expect([texts(told), connections()]).toEqual([[], [1, 1, 1]]);
    await seconds(40);
    expect([texts(told), resumed(told), connections()]).toEqual([["into the void"], ["resumed"], [2, 1, 1]]);
    expect(server.seen.closes).toEqual([4900]);
  });

  it("loses requests and answers, and each message arrives once", async () => {
    const { client } = await connected();
    const channel = client.channel("messaging", "general");
    server.loseNextRequest();
    await outcome(channel.send("one"));
    server.loseNextAnswer();
    const message = await outcome(channel.send("two"));
    expect(server.messages(GENERAL).map(({ text }) => text)).toEqual(["one", "two"]);
    expect(server.messages(GENERAL)[1]).toMatchObject({ id: message.id });
    expect(server.seen.calls.filter((call) => call.endsWith("/messages"))).toHaveLength(4);
  });

  it("refuses one call", async () => {
    const { client } = await connected();
    const channel = client.channel("messaging", "general");
    server.refuseNext("not_allowed");
    await expect(outcome(channel.send("no"))).rejects.toMatchObject({ code: "not_allowed" });
    await outcome(channel.send("yes"));
    expect(server.messages(GENERAL)).toHaveLength(1);
  });

  it("loses an event, which is asked for, and tells one twice, which is heard once", async () => {
    const { client, told } = await connected();
    server.loseNextEvent();
    server.says(GENERAL, "bob", "one");
    await seconds(1);
    expect(texts(told)).toEqual([]);
    server.says(GENERAL, "bob", "two");
    await seconds(1);
    server.duplicateNextEvent();
    server.says(GENERAL, "bob", "three");
    await seconds(1);
    expect(texts(told)).toEqual(["one", "two", "three"]);
    expect([client.unread.get().totalUnreadCount, connections()]).toEqual([3, [1, 1, 1]]);
  });

  it("delays answers and frames, and keeps their order", async () => {
    const { client, told } = await connected();
    server.delay(3_000);
    expect(await outcome(client.ping())).toBe(3_000);
    const begun = clock.now;
    const asked = client.users(["bob"]).then(() => clock.now - begun);
    await seconds(10);
    expect(await asked).toBe(3_000);
    server.says(GENERAL, "bob", "slow");
    server.delay(0);
    server.says(GENERAL, "bob", "quick");
    await seconds(2);
    expect(texts(told)).toEqual([]);
    await seconds(2);
    expect(texts(told)).toEqual(["slow", "quick"]);
  });

  it("forgets its history: a reset, once, and the counts are loaded anew", async () => {
    const { client, told } = await connected();
    server.cut();
    server.says(GENERAL, "bob", "before");
    server.forgetHistory();
    await seconds(30);
    expect([texts(told), resumed(told), client.unread.get().totalUnreadCount]).toEqual([[], ["caught_up"], 1]);
    expect(told).toContainEqual(expect.objectContaining({ type: "reset", topic: `channel:${GENERAL}`, reason: "trimmed" }));
    server.cut();
    server.says(GENERAL, "bob", "after");
    await seconds(30);
    expect(texts(told)).toEqual(["after"]);
  });

  it("expires tokens, and takes others on the connection, in calls and in dials", async () => {
    server.channel(GENERAL, ["alice", "bob"]);
    const client = server.client();
    const provider = vi.fn(async () => server.token("alice"));
    await outcome(client.connectUser("alice", provider), 100);
    server.expireTokens();
    await seconds(60);
    expect([provider.mock.calls.length, connections()]).toEqual([2, [1, 1, 1]]);
    await outcome(client.users(["bob"]));
    server.goAway();
    server.expireTokens();
    server.comeBack();
    await seconds(30);
    expect(state(client)).toBe("connected");
  });

  it("ends a connection whose token has no successor", async () => {
    const { client } = await connected();
    server.expireTokens();
    await expect(outcome(client.users(["bob"]))).rejects.toMatchObject({ code: "token_expired" });
    await seconds(120);
    expect([state(client), server.seen.live]).toEqual(["failed", 0]);
  });

  it("evicts, and the client stays away until the user acts", async () => {
    const { client } = await connected();
    server.evict();
    await seconds(3_600);
    expect([state(client), connections()]).toEqual(["failed", [1, 0, 1]]);
    expect(client.connection.get().code).toBe(4005);
    await outcome(client.connect());
    expect(connections()).toEqual([2, 1, 1]);
  });

  it("drains, and the client comes back in its turn", async () => {
    const { client, told } = await connected();
    server.drain(20_000);
    server.says(GENERAL, "bob", "while it restarted");
    await seconds(19);
    expect(connections()).toEqual([1, 0, 1]);
    await seconds(11);
    expect([state(client), connections(), texts(told)]).toEqual(["connected", [2, 1, 1], ["while it restarted"]]);
  });

  it("waits for what a test wants to see", async () => {
    const seen = server.until(({ live }) => live === 1);
    const order: string[] = [];
    void seen.then(() => order.push("seen"));
    await seconds(1);
    expect(order).toEqual([]);
    await connected();
    expect(order).toEqual(["seen"]);
  });
});

describe("the virtual clock", () => {
  it("runs timers in their order, at their time, with what follows from each before the next", async () => {
    const begun = clock.now;
    const order: string[] = [];
    const at = (what: string) => () => void order.push(`${what} at ${Date.now() - begun}`);
    setTimeout(at("b"), 20);
    setTimeout(() => void Promise.resolve().then(at("a, then")), 10);
    setTimeout(at("never"), 31);
    const every = setInterval(at("every"), 15);
    const gone = setTimeout(at("cleared"), 5);
    clearTimeout(gone);
    await clock.advance(30);
    expect(order).toEqual(["a, then at 10", "every at 15", "b at 20", "every at 30"]);
    expect([Date.now() - begun, new Date().getTime() - begun, new Date(0).getTime()]).toEqual([30, 30, 0]);
    expect([new Date() instanceof Date, clock.pending]).toEqual([true, 2]);
    clearInterval(every);
    expect(clock.pending).toBe(1);
  });

  it("moves performance.now as it moves the date", async () => {
    const [date, performed] = [Date.now(), performance.now()];
    await clock.advance(1_234);
    expect([Date.now() - date, performance.now() - performed]).toEqual([1_234, 1_234]);
  });

  it("gives the real clock back", async () => {
    const virtual = globalThis.setTimeout;
    clock.restore();
    expect(globalThis.setTimeout).not.toBe(virtual);
    const before = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 1));
    expect(performance.now()).toBeGreaterThan(before);
    expect(Object.hasOwn(performance, "now")).toBe(false);
  });

  it("says so when timers make one another without end", async () => {
    const again = () => void setTimeout(again);
    again();
    await expect(clock.advance(1)).rejects.toThrow("without end");
  });

  it("moves the fake timers of a test runner, where it is given those", async () => {
    clock.restore();
    clock = new VirtualClock(vi);
    const { client } = await connected();
    const begun = clock.now;
    server.goAway();
    await seconds(600);
    expect([client.connection.get().uiStatus, clock.now - begun]).toEqual(["reconnecting", 600_000]);
    server.comeBack();
    await seconds(21);
    expect(state(client)).toBe("connected");
    clock.restore();
    expect(vi.isFakeTimers()).toBe(false);
  });
});
