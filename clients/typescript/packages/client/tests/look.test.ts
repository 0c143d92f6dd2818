// An app looks at a channel or a list for the first time: the code that shows them is loaded, while all else goes on.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Channel, ChannelList, Client } from "../src/index.js";
import * as live from "../src/live.js";
import { loadLive } from "../src/load_live.js";
import { FakeServer, held, message, state } from "./fake_server.js";

vi.mock("../src/load_live.js");

const CID = "messaging:general";
const CHANNEL = /^GET channels\/messaging\/general\?messages=30$/;
const MAKE = /^POST channels\/messaging\/general$/;
const SEND = /^POST channels\/messaging\/general\/messages$/;

let server: FakeServer;
let client: Client;
let channel: Channel;
let list: ChannelList;
/** The code on its way, and how often it was asked for. */
let code: ReturnType<typeof held<void>>;
let loads: number;

beforeEach(async () => {
  vi.useFakeTimers();
  code = held();
  loads = 0;
  vi.mocked(loadLive).mockImplementation(() => {
    loads++;
    return code.promise.then(() => live);
  });
  server = new FakeServer();
  server.on(/^POST channels$/, () => ({ channels: [state(CID, 5, [5])] }));
  server.on(CHANNEL, () => state(CID, 5, [5]));
  client = await server.connected();
  channel = client.channelAt(CID);
  list = client.channels();
});
afterEach(async () => {
  void client.disconnectUser();
  await vi.advanceTimersByTimeAsync(10_000);
  vi.useRealTimers();
});

const soon = () => vi.advanceTimersByTimeAsync(10);
const seqs = () => channel.messages.get().messages.map(({ message }) => message.seq);
const nothing = () => {};

/** The code does not come this time. */
async function fails(): Promise<void> {
  code.reject(new Error("404: /assets/live.js"));
  await soon();
  code = held();
}

async function arrives(): Promise<void> {
  code.resolve();
  await soon();
}

it("an app that makes, sends and listens never loads it", async () => {
  server.on(MAKE, () => state(CID, 5, [5]));
  server.on(SEND, () => ({ message: message(CID, 6, { user: { id: "alice" } }) }));
  server.on(/^PATCH/, () => ({ message: message(CID, 6, { text: "edited" }) }));
  const heard: number[] = [];
  client.on("message.new", ({ seq }) => heard.push(seq));
  client.unread.subscribe(nothing);
  await channel.getOrCreate();
  const { id } = await channel.send("hello");
  await channel.edit(id, "edited");
  channel.keystroke();
  server.happens(CID, 6, { type: "message.new", message: message(CID, 6) });
  server.socket.breaks();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([channel.view.get().status, list.view.get().loading]).toEqual(["idle", true]);
  expect(heard).toEqual([6]);
  expect(loads).toBe(0);
});

describe("every way to look loads it, once", () => {
  const ways: Record<string, () => unknown> = {
    "opening a channel": () => channel.open(),
    "loading a channel": () => channel.load(),
    "loading messages": () => channel.loadLatest(),
    "subscribing to what is known of it": () => channel.view.subscribe(nothing),
    "subscribing to its messages": () => channel.messages.subscribe(nothing),
    "subscribing to who types": () => channel.typing.subscribe(nothing),
    "subscribing to a list": () => list.view.subscribe(nothing),
    "loading a list": () => list.reload(),
  };
  beforeEach(() => server.on(/\/messages\?/, () => ({ messages: [], has_more_before: false, has_more_after: false })));

  it.each(Object.entries(ways))("%s", async (_, look) => {
    void look();
    await soon();
    expect(loads).toBe(1);
    for (const other of Object.values(ways)) void other();
    await arrives();
    for (const again of Object.values(ways)) void again();
    await soon();
    expect(loads).toBe(1);
    expect(channel.view.get().status).toBe("ready");
    expect(list.view.get().channels).toEqual([channel]);
  });

  it("also before there is a user to look as", async () => {
    void client.disconnectUser();
    await soon();
    channel.open();
    await soon();
    expect(loads).toBe(0);
    void client.connectUser("alice", "token");
    await soon();
    expect(loads).toBe(1);
    await arrives();
    expect(seqs()).toEqual([5]);
  });
});

describe("while it is on its way", () => {
  it("what happens is all shown once, in order, and counted", async () => {
    const log = [5];
    const happens = (seq: number) => {
      log.push(seq);
      server.happens(CID, seq, { type: "message.new", message: message(CID, seq) });
    };
    const answer = held<void>();
    server.on(/^GET channels/, () => {
      const unread = { cid: CID, last_read_seq: 5, unread_messages: log.length - 1, head: log.at(-1)! };
      const now = state(CID, unread.head, [...log], { unread });
      return answer.promise.then(() => now);
    });
    const heard: number[] = [];
    client.on("message.new", ({ seq }) => heard.push(seq));
    channel.open();
    await soon();
    happens(6);
    happens(7);
    await arrives();
    // Asked for, and not answered yet.
    happens(8);
    expect(seqs()).toEqual([]);
    answer.resolve();
    await soon();
    happens(9);
    expect(seqs()).toEqual([5, 6, 7, 8, 9]);
    expect(heard).toEqual([6, 7, 8, 9]);
    expect(channel.view.get()).toMatchObject({ status: "ready", unread: 4, lastMessage: { seq: 9 } });
  });

  it("what a call told of the channel before is not taken for what it is now", async () => {
    server.on(MAKE, () => state(CID, 5, [5]));
    channel.messages.subscribe(nothing);
    await channel.getOrCreate();
    server.happens(CID, 6, { type: "message.new", message: message(CID, 6) });
    server.on(CHANNEL, () => state(CID, 6, [5, 6]));
    await arrives();
    expect(seqs()).toEqual([5, 6]);
  });

  it("a call that outlasts it brings the channel all the same", async () => {
    const answer = held<unknown>();
    server.on(MAKE, () => answer.promise);
    channel.messages.subscribe(nothing);
    const made = channel.getOrCreate();
    await soon();
    server.happens(CID, 6, { type: "message.new", message: message(CID, 6) });
    server.on(CHANNEL, () => state(CID, 6, [5, 6]));
    await arrives();
    answer.resolve(state(CID, 5, [5]));
    await made;
    await soon();
    expect(seqs()).toEqual([5, 6]);
  });

  it("who is no member watches from where the channel stands when it is there", async () => {
    const { membership: _, ...visited } = state(CID, 7, [7]);
    server.on(CHANNEL, () => visited);
    channel.open();
    await soon();
    expect(server.socket.heard.some(({ type }) => type === "watch")).toBe(false);
    await arrives();
    expect(server.socket.heard.at(-1)).toEqual({ type: "watch", topics: [{ topic: `channel:${CID}`, after: 7 }] });
  });

  it("a channel that is closed again is not loaded", async () => {
    channel.open()();
    await arrives();
    expect(server.asked).toEqual([]);
  });

  it("a message is sent, and shown in its place afterwards", async () => {
    const answer = held<unknown>();
    server.on(SEND, () => answer.promise);
    channel.open();
    const sent = channel.send({ id: "m6", text: "mine" });
    await soon();
    expect(server.asked).toEqual([`POST channels/messaging/general/messages`]);
    await arrives();
    const shown = () => channel.messages.get().messages.map(({ id, status }) => `${id} ${status}`);
    expect(shown()).toEqual(["m5 sent", "m6 pending"]);
    answer.resolve({ message: message(CID, 6, { user: { id: "alice" } }) });
    await sent;
    expect(shown()).toEqual(["m5 sent", "m6 sent"]);
  });
});

describe("where it does not come", () => {
  it("all that is shown says why, and the next look tries again", async () => {
    channel.open();
    list.view.subscribe(nothing);
    const load = expect(channel.load()).rejects.toMatchObject({ code: "network", retryable: true });
    await soon();
    await fails();
    await load;
    const error = { code: "network", message: expect.stringContaining("404: /assets/live.js") };
    expect(channel.view.get()).toMatchObject({ status: "idle", error });
    expect(channel.messages.get()).toMatchObject({ loading: undefined, error });
    expect(list.view.get()).toMatchObject({ loading: false, error });
    // A failure alone is no reason.
    await vi.advanceTimersByTimeAsync(20_000);
    expect(loads).toBe(1);
    channel.open();
    await soon();
    expect(loads).toBe(2);
    expect(channel.view.get().error).toBeUndefined();
    expect(list.view.get()).toMatchObject({ loading: true, error: undefined });
    await arrives();
    expect(seqs()).toEqual([5]);
    expect(list.view.get().channels).toEqual([channel]);
    expect(server.asked.filter((call) => CHANNEL.test(call)).length).toBe(1);
  });

  it("it is tried again when the connection is back", async () => {
    channel.open();
    await soon();
    await fails();
    server.socket.breaks();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(loads).toBe(2);
    await arrives();
    expect(seqs()).toEqual([5]);
  });
});

describe("a user who leaves meanwhile", () => {
  it("is not told what comes too late, and nothing is asked in its name", async () => {
    channel.open();
    const load = expect(channel.load()).rejects.toMatchObject({ code: "not_logged_in" });
    const reload = expect(list.reload()).rejects.toMatchObject({ code: "not_logged_in" });
    await soon();
    void client.disconnectUser();
    await arrives();
    await Promise.all([load, reload]);
    expect(channel.view.get()).toEqual({ status: "idle", members: [], reads: [], unread: 0, lastReadSeq: 0 });
    expect(server.asked).toEqual([]);
  });

  it("takes the failure with it", async () => {
    channel.open();
    await soon();
    await fails();
    expect(channel.view.get().error).toBeDefined();
    void client.disconnectUser();
    expect(channel.view.get().error).toBeUndefined();
    expect(list.view.get().error).toBeUndefined();
  });

  it("leaves the next user to look for itself", async () => {
    channel.open();
    await soon();
    void client.disconnectUser();
    server.more = { me: { ...server.ready().me, id: "bob" } };
    void client.connectUser("bob", "token");
    await soon();
    await arrives();
    expect(seqs()).toEqual([5]);
    expect(server.asked.filter((call) => CHANNEL.test(call)).length).toBe(1);
  });
});
