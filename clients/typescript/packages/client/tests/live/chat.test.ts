import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import type { Channel, Client, ListedMessage } from "../../src/index.js";
import { CountedSocket, eventually, TestServer } from "./kit.js";

let server: TestServer;
let alice: Client;
let bob: Client;
let names = 0;

beforeAll(async () => {
  server = await TestServer.start();
  [alice, bob] = await Promise.all([server.connected("alice"), server.connected("bob")]);
});
afterAll(() => server.end());

/** A channel of both, open at both. */
async function shared(): Promise<[Channel, Channel]> {
  const id = `c${names++}`;
  const [a, b] = [alice.channel("messaging", id), bob.channel("messaging", id)];
  await a.getOrCreate({ members: ["bob"], data: { name: id } });
  a.open();
  b.open();
  await Promise.all([a, b].map((channel) => eventually(channel.view, ({ status }) => status === "ready")));
  return [a, b];
}

const texts = ({ messages }: { messages: readonly ListedMessage[] }) => messages.map(({ message }) => message.text);

describe("a channel", () => {
  it("shows a message at once as pending, and as sent at both when the server has it (L5.19)", async () => {
    const [a, b] = await shared();
    const sent = a.send("hello");
    expect(a.messages.get().messages).toMatchObject([{ status: "pending", message: { text: "hello", seq: 0 } }]);
    const message = await sent;
    expect(a.messages.get().messages).toMatchObject([{ id: message.id, status: "sent", message }]);
    const { messages } = await eventually(b.messages, ({ messages }) => messages.length === 1);
    expect(messages).toMatchObject([{ id: message.id, status: "sent", message: { text: "hello" } }]);
  });

  it("keeps the order in which messages were sent, and shows each once", async () => {
    const [a, b] = await shared();
    const sent = Array.from({ length: 50 }, (_, n) => a.send(`${n}`));
    await Promise.all(sent);
    const all = Array.from({ length: 50 }, (_, n) => `${n}`);
    await eventually(b.messages, ({ messages }) => messages.length === 50);
    expect(texts(a.messages.get())).toEqual(all);
    expect(texts(b.messages.get())).toEqual(all);
  });

  it("shows edits, deletions, typing and read marks to the other side", async () => {
    const [a, b] = await shared();
    const first = await a.send("one");
    const second = await a.send("two");
    a.keystroke();
    expect(await eventually(b.typing, (users) => users.length === 1)).toMatchObject([{ id: "alice" }]);
    await a.edit(first.id, "uno");
    await a.delete(second.id);
    a.stopTyping();
    await eventually(b.typing, (users) => users.length === 0);
    const { messages } = await eventually(b.messages, ({ messages }) => messages[1]?.message.type === "deleted");
    expect(messages[0]!.message).toMatchObject({ text: "uno", edited_at: expect.any(String) });
    expect(b.view.get().unread).toBe(1);
    await b.markRead();
    await eventually(b.view, ({ unread }) => unread === 0);
    await eventually(a.view, ({ reads }) => reads.some((read) => read.user_id === "bob" && read.last_read_seq > 0));
  });

  it("keeps a refused message as failed, until it is discarded or sent again", async () => {
    const [a] = await shared();
    const refused = a.send("x".repeat(5_001));
    const next = a.send("short");
    await expect(refused).rejects.toMatchObject({ code: "text_too_long" });
    await next;
    const failed = a.messages.get().messages.find(({ status }) => status === "failed")!;
    expect(failed.error).toMatchObject({ code: "text_too_long", docs: expect.stringContaining(server.url) });
    expect(await a.retry(failed.id)).toBe(true);
    await eventually(a.messages, ({ messages }) => messages.at(-1)?.status === "failed");
    expect(await a.discard(failed.id)).toBe(true);
    expect(texts(a.messages.get())).toEqual(["short"]);
  });

  it("loads older messages page by page, without a hole, until there are none", async () => {
    const [a] = await shared();
    for (let n = 0; n < 75; n++) void a.send(`${n}`);
    await a.send("75");
    const late = await server.connected("bob");
    const c = late.channelAt(a.cid);
    // Another client of this user on the same page: the same channel, loaded once.
    await eventually(c.messages, ({ messages }) => messages.length === 76);
    const carol = await server.connected("carol");
    await a.updateMembers({ add: ["carol"] });
    const d = carol.channelAt(a.cid);
    d.open();
    await eventually(d.view, ({ status }) => status === "ready");
    expect(d.messages.get()).toMatchObject({ hasOlder: true, hasNewer: false });
    expect(d.messages.get().messages.length).toBe(30);
    while (d.messages.get().hasOlder) await d.loadOlder(20);
    expect(texts(d.messages.get())).toEqual(Array.from({ length: 76 }, (_, n) => `${n}`));
  });

  it("can stand around an old message, and find its way back to the present", async () => {
    const [a, b] = await shared();
    const ids: string[] = [];
    for (let n = 0; n < 60; n++) ids.push((await a.send(`${n}`)).id);
    await b.loadAround(ids[10]!, 10);
    expect(b.messages.get()).toMatchObject({ hasOlder: true, hasNewer: true });
    expect(texts(b.messages.get())).toContain("10");
    await a.send("60");
    expect(texts(b.messages.get())).not.toContain("60");
    while (b.messages.get().hasNewer) await b.loadNewer(25);
    await a.send("61");
    await eventually(b.messages, (view) => texts(view).at(-1) === "61");
    const all = texts(b.messages.get());
    expect(all).toEqual(Array.from({ length: all.length }, (_, n) => `${62 - all.length + n}`));
  });

  it("that may not be seen is gone, and says why", async () => {
    const [a] = await shared();
    const dave = await server.connected("dave");
    const theirs = dave.channelAt(a.cid);
    theirs.open();
    const view = await eventually(theirs.view, ({ status }) => status === "gone");
    expect(view.error?.status).toBe(404);
    await a.updateMembers({ add: ["dave"] });
    await eventually(theirs.view, ({ status }) => status === "ready");
  });

  it("is watched while it is open by somebody who is no member, and no longer", async () => {
    const id = `live${names++}`;
    const stage = alice.channel("livestream", id);
    await stage.getOrCreate();
    const seat = bob.channel("livestream", id);
    const leave = seat.open();
    await eventually(seat.view, ({ status }) => status === "ready");
    await stage.send("good evening");
    await eventually(seat.messages, ({ messages }) => messages.length === 1);
    leave();
    await stage.send("nobody hears it");
    await bob.ping();
    expect(texts(seat.messages.get())).toEqual(["good evening"]);
    seat.open();
    await eventually(seat.messages, ({ messages }) => messages.length === 2);
  });
});

describe("lists and counts", () => {
  it("a list shows the latest activity first, and channels that come and go", async () => {
    const erin = await server.connected("erin");
    const { view } = erin.channels();
    view.subscribe(() => {});
    await eventually(view, ({ loading }) => !loading);
    expect(view.get().channels).toEqual([]);
    const [one, two] = [alice.channel("messaging", `l${names++}`), alice.channel("messaging", `l${names++}`)];
    await one.getOrCreate({ members: ["erin"] });
    await two.getOrCreate({ members: ["erin"] });
    const cids = () => view.get().channels.map(({ cid }) => cid);
    await eventually(view, () => cids().join() === [two.cid, one.cid].join());
    await one.send("hello");
    await eventually(view, () => cids().join() === [one.cid, two.cid].join());
    expect(erin.channelAt(one.cid).view.get()).toMatchObject({ unread: 1, lastMessage: { text: "hello" } });
    expect(erin.unread.get()).toEqual({ totalUnreadCount: 1, unreadChannels: 1, settled: true });
    expect(erin.me.get()).toMatchObject({ total_unread_count: 1, unread_channels: 1 });
    await one.updateMembers({ remove: ["erin"] });
    await eventually(view, () => cids().join() === two.cid);
    await two.deleteChannel();
    await eventually(view, () => cids().join() === "");
    await eventually(erin.unread, ({ totalUnreadCount }) => totalUnreadCount === 0);
  });

  it("presence is told as it was asked for", async () => {
    const frank = await server.connected("frank", { presence: "all" });
    await eventually(frank.presence("bob"), (presence) => presence?.online === true);
    const grace = await server.connected("grace");
    await eventually(frank.presence("grace"), (presence) => presence?.online === true);
    await grace.disconnectUser();
    await eventually(frank.presence("grace"), (presence) => presence?.online !== true);
  });

  it("events are told by type and all together, and a loop ends with its signal", async () => {
    const [a, b] = await shared();
    const ended = new AbortController();
    const heard: string[] = [];
    const off = bob.on("message.new", ({ message, seq, topic }) => {
      expect(topic).toBe(`channel:${a.cid}`);
      expect(seq).toBe(message.seq);
      heard.push(message.text);
    });
    const events = bob.events({ signal: ended.signal });
    await a.send("once");
    await eventually(b.messages, ({ messages }) => messages.length === 1);
    off();
    await a.send("twice");
    await eventually(b.messages, ({ messages }) => messages.length === 2);
    expect(heard).toEqual(["once"]);
    const all: string[] = [];
    for await (const event of events) {
      if (event.type === "message.new") all.push(event.message.text);
      if (all.length === 2) ended.abort();
    }
    expect(all).toEqual(["once", "twice"]);
  });
});

describe("connections", () => {
  beforeEach(() => CountedSocket.reset());

  it("clients of one page with the same user share one (L1.32)", async () => {
    const before = CountedSocket.live;
    const clients = await Promise.all(Array.from({ length: 20 }, () => server.connected("henry")));
    expect(CountedSocket.most).toBe(before + 1);
    for (const client of clients) client.close();
    await eventually({ get: () => CountedSocket.live, subscribe: poll }, (live) => live === before);
  });

  it("a client that is closed and opened again at once keeps its socket", async () => {
    const before = CountedSocket.live;
    const client = await server.connected("ida");
    client.close();
    expect(client.connection.get().state).toBe("idle");
    await client.connectUser("ida", () => server.backend.createToken("ida"));
    expect(CountedSocket.most).toBe(before + 1);
    expect(client.connection.get().state).toBe("connected");
  });

  it("the next user may connect right after a disconnect that nobody awaited (L9.21)", async () => {
    const client = await server.connected("jane");
    const before = CountedSocket.live;
    CountedSocket.reset();
    void client.disconnectUser();
    expect(client.me.get()).toBeUndefined();
    const me = await client.connectUser("kim", () => server.backend.createToken("kim"));
    expect(me.id).toBe("kim");
    expect(CountedSocket.most).toBe(before);
    expect(CountedSocket.live).toBe(before);
  });

  it("another user is a typed error that names the one who is there (L1.25)", async () => {
    const client = await server.connected("lea");
    const second = client.connectUser("mia", () => server.backend.createToken("mia"));
    await expect(second).rejects.toMatchObject({ code: "already_connected_as", message: expect.stringContaining("lea") });
    expect((await client.connectUser("lea", "unused")).id).toBe("lea");
  });

  it("calls before connectUser is through wait for it, and without a user they fail", async () => {
    const client = server.client();
    await expect(client.users(["alice"])).rejects.toMatchObject({ code: "not_logged_in" });
    const connecting = client.connectUser("nora", () => server.backend.createToken("nora"));
    const users = client.users(["alice"]);
    expect((await users)[0]).toMatchObject({ id: "alice" });
    await connecting;
  });

  it("a token that the server refuses fails the connection, with the error's page", async () => {
    const client = server.client();
    await expect(client.connectUser("olga", "no.jwt.token")).rejects.toMatchObject({ status: 401 });
    expect(client.connection.get()).toMatchObject({ state: "failed", uiStatus: "needs_action" });
    expect(client.connection.get().error?.docs).toContain("/docs/errors/");
    await client.connectUser("olga", () => server.backend.createToken("olga"));
    expect(client.connection.get()).toMatchObject({ state: "connected", uiStatus: "online", attempt: 0 });
    expect(client.connection.get().error).toBeUndefined();
  });

  it("a disconnect keeps the user, and connect brings everything that was missed", async () => {
    const [a, b] = await shared();
    await bob.disconnect();
    expect(bob.connection.get()).toMatchObject({ state: "offline", uiStatus: "offline" });
    await a.send("meanwhile");
    await bob.connect();
    await eventually(b.messages, (view) => texts(view).join() === "meanwhile");
    expect(await bob.ping()).toBeGreaterThan(0);
  });
});

describe("when the server is killed", () => {
  it("what was sent meanwhile arrives once and in order when it is back (L9.8)", async () => {
    // Users of this story alone: a topic that is gone meanwhile would be reset.
    const [pat, quinn] = await Promise.all([server.connected("pat"), server.connected("quinn")]);
    const [a, b] = [pat.channel("messaging", "kill"), quinn.channel("messaging", "kill")];
    await a.getOrCreate({ members: ["quinn"] });
    for (const channel of [a, b]) channel.open();
    await Promise.all([a, b].map(({ view }) => eventually(view, ({ status }) => status === "ready")));
    await a.send("before");
    const states: string[] = [];
    pat.on("connection.changed", ({ to }) => states.push(to.state));
    const recovered = new Promise((resolve) => pat.on("connection.recovered", resolve));
    await server.kill();
    await eventually(pat.connection, ({ state }) => state === "reconnecting");
    const sends = [a.send("one"), a.send("two"), b.send("three")];
    expect(a.messages.get().messages.slice(1).map(({ status }) => status)).toEqual(["pending", "pending"]);
    await server.start();
    await Promise.all(sends);
    expect(await recovered).toMatchObject({ resumed: "resumed" });
    await Promise.all([a, b].map(({ messages }) => eventually(messages, ({ messages }) => messages.length === 4)));
    expect(texts(a.messages.get())).toEqual(texts(b.messages.get()));
    expect(texts(a.messages.get()).filter((text) => text !== "three")).toEqual(["before", "one", "two"]);
    expect(new Set(states)).toEqual(new Set(["reconnecting", "connected"]));
  });
});

/** For what tells nobody that it changed. */
function poll(look: () => void): () => void {
  const timer = setInterval(look, 20);
  return () => clearInterval(timer);
}
