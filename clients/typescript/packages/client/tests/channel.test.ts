import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Channel, Client } from "../src/index.js";
import { FakeServer, held, message, Refusal, state } from "./fake_server.js";
import type { ChannelState, MessagesResponse } from "../src/wire.js";

const CID = "messaging:general";
const CHANNEL = /^GET channels\/messaging\/general\?messages=30$/;
const PAGE = /^GET channels\/messaging\/general\/messages\?/;

let server: FakeServer;
let client: Client;
let channel: Channel;

beforeEach(async () => {
  vi.useFakeTimers();
  server = new FakeServer();
  client = await server.connected();
  channel = client.channelAt(CID);
});
afterEach(async () => {
  void client.disconnectUser();
  await vi.advanceTimersByTimeAsync(10_000);
  vi.useRealTimers();
});

const soon = () => vi.advanceTimersByTimeAsync(10);
const texts = () => channel.messages.get().messages.map(({ message }) => message.text);
const seqs = () => channel.messages.get().messages.map(({ message }) => message.seq);

/** Opens the channel with these messages, up to `head`. */
async function opened(head: number, of: number[]): Promise<void> {
  server.on(CHANNEL, () => state(CID, head, of));
  channel.open();
  await soon();
}

describe("while it is loaded", () => {
  it("holds back what happens, and takes what the answer does not have yet", async () => {
    const answer = held<ChannelState>();
    server.on(CHANNEL, () => answer.promise);
    channel.open();
    await soon();
    expect(channel.view.get().status).toBe("loading");
    expect(channel.messages.get().loading).toBe("first");
    server.happens(CID, 7, { type: "message.new", message: message(CID, 7) });
    server.happens(CID, 8, { type: "message.new", message: message(CID, 8) });
    expect(seqs()).toEqual([]);
    answer.resolve(state(CID, 7, [6, 7]));
    await soon();
    expect(seqs()).toEqual([6, 7, 8]);
    expect(channel.view.get()).toMatchObject({ status: "ready", lastMessage: { seq: 8 } });
    expect(channel.messages.get().loading).toBeUndefined();
  });

  it("keeps a message that was acknowledged meanwhile, though its event is still to come", async () => {
    await opened(5, [5]);
    const answer = held<ChannelState>();
    server.on(CHANNEL, () => answer.promise);
    server.on(/^POST channels\/messaging\/general\/messages$/, () => ({ message: message(CID, 6) }));
    server.socket.says({ type: "reset", topic: `channel:${CID}`, reason: "too_far_behind", head: 5 });
    await channel.send({ id: "m6", text: "text 6" });
    expect(seqs()).toEqual([5, 6]);
    answer.resolve(state(CID, 5, [5]));
    await soon();
    expect(seqs()).toEqual([5, 6]);
    server.happens(CID, 6, { type: "message.new", message: message(CID, 6) });
    expect(seqs()).toEqual([5, 6]);
  });

  it("shows nobody an answer that comes after the user has left", async () => {
    const answer = held<ChannelState>();
    server.on(CHANNEL, () => answer.promise);
    channel.open();
    await soon();
    void client.disconnectUser();
    answer.resolve(state(CID, 5, [5]));
    await soon();
    expect(channel.view.get()).toMatchObject({ status: "idle", members: [] });
    expect(seqs()).toEqual([]);
  });

  it("begins again where a reset came, because the answer may be from before it", async () => {
    const answers = [held<ChannelState>(), held<ChannelState>()];
    let asked = 0;
    server.on(CHANNEL, () => answers[asked++]!.promise);
    channel.open();
    await soon();
    server.socket.says({ type: "reset", topic: `channel:${CID}`, reason: "too_far_behind", head: 90 });
    answers[0]!.resolve(state(CID, 5, [5]));
    await soon();
    expect(seqs()).toEqual([]);
    server.happens(CID, 91, { type: "message.new", message: message(CID, 91) });
    answers[1]!.resolve(state(CID, 90, [90]));
    await soon();
    expect(asked).toBe(2);
    expect(seqs()).toEqual([90, 91]);
  });

  it("a failure is told and tried again, as late as the server asks", async () => {
    let refusals = 0;
    server.on(CHANNEL, () => {
      if (refusals++ === 0) throw new Refusal(503, "unavailable", 30);
      return state(CID, 5, [5]);
    });
    channel.open();
    await soon();
    expect(channel.view.get()).toMatchObject({ status: "idle", error: { code: "unavailable" } });
    expect(channel.messages.get()).toMatchObject({ loading: undefined, error: { code: "unavailable" } });
    await vi.advanceTimersByTimeAsync(29_000);
    expect(refusals).toBe(1);
    await vi.advanceTimersByTimeAsync(6_000);
    expect(channel.view.get()).toMatchObject({ status: "ready" });
    expect(channel.view.get().error).toBeUndefined();
  });

  it("a channel that may not be seen is gone, and not asked for again", async () => {
    server.on(CHANNEL, () => {
      throw new Refusal(404, "not_found");
    });
    channel.open();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(channel.view.get()).toMatchObject({ status: "gone", error: { code: "not_found" } });
    expect(server.asked.filter((call) => CHANNEL.test(call)).length).toBe(1);
  });
});

describe("what failed or ended", () => {
  it("a load that failed is tried again as soon as the connection is back", async () => {
    server.on(CHANNEL, () => {
      throw new Refusal(503, "unavailable", 3_600);
    });
    channel.open();
    await soon();
    expect(channel.view.get().error).toMatchObject({ code: "unavailable" });
    server.on(CHANNEL, () => state(CID, 5, [5]));
    server.socket.breaks();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(channel.view.get()).toMatchObject({ status: "ready" });
  });

  it("events that come after a failed load are not taken for the whole truth", async () => {
    await opened(5, [5]);
    server.on(CHANNEL, () => {
      throw new Refusal(503, "unavailable", 60);
    });
    server.happens(CID, 8, { type: "message.new", message: message(CID, 8) });
    await soon();
    server.happens(CID, 9, { type: "message.new", message: message(CID, 9) });
    expect(seqs()).toEqual([5]);
    server.on(CHANNEL, () => state(CID, 9, [7, 8, 9]));
    await vi.advanceTimersByTimeAsync(61_000);
    expect(seqs()).toEqual([7, 8, 9]);
  });

  it("a channel that is gone stays so, whatever still comes of it", async () => {
    await opened(5, [5]);
    server.socket.says({ type: "reset", topic: `channel:${CID}`, reason: "no_access", head: 9 });
    expect(channel.view.get().status).toBe("gone");
    server.happens(CID, 10, { type: "message.new", message: message(CID, 10) });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(channel.view.get()).toMatchObject({ status: "gone", members: [], unread: 0 });
    expect(seqs()).toEqual([]);
  });

  it("the news of a membership that the state knows of already changes nothing", async () => {
    channel.view.subscribe(() => {});
    await soon();
    server.on(/^POST channels\/messaging\/general$/, () => state(CID, 1, []));
    server.on(/^POST channels\/messaging\/general\/messages$/, () => ({ message: message(CID, 2) }));
    await channel.getOrCreate();
    const { channel: data } = state(CID, 1, []);
    const joined = { type: "notification.added_to_channel", cid: CID, created_at: "", channel: data, seq: 1 } as const;
    server.socket.says({ type: "event", topic: "user:alice", seq: 1, event: joined });
    await channel.send({ id: "m2", text: "text 2" });
    expect(seqs()).toEqual([2]);
  });

  it("a channel that nobody has open is forgotten when its member leaves", async () => {
    server.on(CHANNEL, () => state(CID, 5, [5]));
    await channel.load();
    const left = { type: "notification.removed_from_channel", cid: CID, created_at: "" } as const;
    server.socket.says({ type: "event", topic: "user:alice", seq: 1, event: left });
    expect(channel.view.get()).toMatchObject({ status: "idle", members: [] });
    expect(seqs()).toEqual([]);
    server.happens(CID, 6, { type: "message.new", message: message(CID, 6) });
    expect(seqs()).toEqual([]);
  });
});

describe("once it is there", () => {
  it("takes each event once and in order, and what it has already not again", async () => {
    await opened(5, [4, 5]);
    server.happens(CID, 5, { type: "message.new", message: message(CID, 5) });
    server.happens(CID, 6, { type: "message.new", message: message(CID, 6) });
    server.happens(CID, 7, { type: "message.updated", message: message(CID, 4, { text: "edited" }) });
    server.happens(CID, 8, { type: "placeholder" });
    server.happens(CID, 9, { type: "message.deleted", message_id: "m5", message_seq: 5, hard: true });
    expect(texts()).toEqual(["edited", "text 6"]);
    expect(channel.view.get().lastMessage).toMatchObject({ text: "text 6" });
    server.happens(CID, 10, { type: "message.updated", message: message(CID, 6, { text: "last" }) });
    expect(channel.view.get().lastMessage).toMatchObject({ text: "last" });
    const { channel: data } = state(CID, 11, []);
    server.happens(CID, 11, { type: "channel.updated", channel: { ...data, name: "Renamed" } });
    expect(channel.view.get().data).toMatchObject({ name: "Renamed" });
    expect(server.asked.filter((call) => CHANNEL.test(call)).length).toBe(1);
  });

  it("keeps entries that did not change the same, for lists that compare them", async () => {
    await opened(5, [4, 5]);
    const before = channel.messages.get().messages;
    server.happens(CID, 6, { type: "message.updated", message: message(CID, 5, { text: "edited" }) });
    const after = channel.messages.get().messages;
    expect(after[0]).toBe(before[0]);
    expect(after[1]).not.toBe(before[1]);
    server.happens(CID, 7, { type: "message.read", user: { id: "bob" }, last_read_seq: 5 });
    expect(channel.messages.get().messages).toBe(after);
    expect(channel.view.get().reads).toMatchObject([{ user_id: "bob", last_read_seq: 5 }]);
  });

  it("is loaded anew after a reset, and shows nothing of what stood there before (L5.5)", async () => {
    await opened(5, [4, 5]);
    server.on(CHANNEL, () => state(CID, 95, [94, 95]));
    server.socket.says({ type: "reset", topic: `channel:${CID}`, reason: "trimmed", head: 95 });
    await soon();
    expect(seqs()).toEqual([94, 95]);
    server.happens(CID, 96, { type: "message.new", message: message(CID, 96) });
    expect(seqs()).toEqual([94, 95, 96]);
  });

  it("is loaded anew when the log is another one, also where no event of it was heard (L5.5)", async () => {
    await opened(5, [4, 5]);
    server.on(CHANNEL, () => state(CID, 2, [2]));
    server.epoch = "e2";
    server.socket.breaks();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(seqs()).toEqual([2]);
    server.happens(CID, 3, { type: "message.new", message: message(CID, 3) });
    expect(seqs()).toEqual([2, 3]);
  });

  it("counts members as they come and go, and is gone when it is deleted", async () => {
    await opened(5, [5]);
    const member = { user_id: "carol", user: { id: "carol" }, channel_role: "member", created_at: "" };
    server.happens(CID, 6, { type: "member.added", member });
    expect(channel.view.get()).toMatchObject({ data: { member_count: 3 }, members: [{ user_id: "alice" }, member] });
    server.happens(CID, 7, { type: "member.removed", user: { id: "carol" } });
    expect(channel.view.get()).toMatchObject({ data: { member_count: 2 }, members: [{ user_id: "alice" }] });
    server.happens(CID, 8, { type: "channel.deleted" });
    expect(channel.view.get().status).toBe("gone");
    expect(seqs()).toEqual([]);
  });

  it("who types is shown until she stops, sends, or is not heard of for seven seconds (L5.23)", async () => {
    await opened(5, [5]);
    const types = (type: "typing.start" | "typing.stop", id: string) =>
      server.socket.says({ type: "signal", topic: `channel:${CID}`, signal: { type, cid: CID, user: { id } } });
    const typing = () => channel.typing.get().map(({ id }) => id);
    types("typing.start", "bob");
    types("typing.start", "carol");
    types("typing.start", "alice");
    expect(typing()).toEqual(["bob", "carol"]);
    types("typing.stop", "bob");
    expect(typing()).toEqual(["carol"]);
    server.happens(CID, 6, { type: "message.new", message: message(CID, 6, { user: { id: "carol" } }) });
    expect(typing()).toEqual([]);
    types("typing.start", "bob");
    await vi.advanceTimersByTimeAsync(6_900);
    // Heard of again, she types on.
    types("typing.start", "bob");
    await vi.advanceTimersByTimeAsync(6_900);
    expect(typing()).toEqual(["bob"]);
    await vi.advanceTimersByTimeAsync(200);
    expect(typing()).toEqual([]);
    types("typing.start", "bob");
    types("typing.stop", "bob");
    types("typing.start", "bob");
    void client.disconnectUser();
    expect(typing()).toEqual([]);
  });

  it("keystrokes are told every three seconds at most, and a stop only after a start (L6.23)", async () => {
    await opened(5, [5]);
    const told = () => server.socket.heard.flatMap((frame) => (frame.type === "signal" ? [frame.signal.type] : []));
    channel.stopTyping();
    channel.keystroke();
    await vi.advanceTimersByTimeAsync(2_900);
    channel.keystroke();
    expect(told()).toEqual(["typing.start"]);
    await vi.advanceTimersByTimeAsync(100);
    channel.keystroke();
    channel.stopTyping();
    channel.stopTyping();
    expect(told()).toEqual(["typing.start", "typing.start", "typing.stop"]);
  });

  it("somebody who is no member watches it from where it was loaded, until the last one closes it", async () => {
    const { membership: _, ...open } = state(CID, 5, [5]);
    server.on(CHANNEL, () => open);
    const close = [channel.open(), channel.open()];
    await soon();
    const told = () => server.socket.heard.filter(({ type }) => type === "watch" || type === "unwatch");
    const topic = `channel:${CID}`;
    expect(told()).toEqual([{ type: "watch", topics: [{ topic, after: 5 }] }]);
    close[0]!();
    close[0]!();
    expect(told().length).toBe(1);
    close[1]!();
    expect(told().at(-1)).toEqual({ type: "unwatch", topics: [topic] });
    // What happened since is not known: it is loaded and watched anew.
    server.on(CHANNEL, () => ({ ...open, head: 9 }));
    channel.open();
    await soon();
    expect(told().at(-1)).toEqual({ type: "watch", topics: [{ topic, after: 9 }] });
    expect(told().length).toBe(3);
  });

  it("is watched by its maker at once, if that is no member", async () => {
    channel.view.subscribe(() => {});
    await soon();
    const { membership: _, ...made } = state(CID, 1, []);
    server.on(/^POST channels\/messaging\/general$/, () => made);
    await channel.getOrCreate();
    channel.open();
    await soon();
    expect(server.socket.heard.at(-1)).toMatchObject({ type: "watch", topics: [{ after: 1 }] });
    expect(server.asked.filter((call) => CHANNEL.test(call))).toEqual([]);
  });

  it("an answer that an event has overtaken is asked for again, and the event shown", async () => {
    channel.view.subscribe(() => {});
    await soon();
    const answer = held<ChannelState>();
    server.on(/^POST channels\/messaging\/general$/, () => answer.promise);
    const made = channel.getOrCreate();
    await soon();
    server.happens(CID, 6, { type: "message.new", message: message(CID, 6) });
    server.on(CHANNEL, () => state(CID, 6, [5, 6]));
    answer.resolve(state(CID, 5, [5]));
    await made;
    await soon();
    expect(seqs()).toEqual([5, 6]);
    server.happens(CID, 7, { type: "message.new", message: message(CID, 7) });
    expect(seqs()).toEqual([5, 6, 7]);
    expect(server.asked.filter((call) => CHANNEL.test(call)).length).toBe(1);
  });

  it("an answer from before an event does not undo it", async () => {
    await opened(5, [5]);
    server.on(/^POST channels\/messaging\/general$/, () => state(CID, 5, [5], { reads: [] }));
    server.happens(CID, 6, { type: "message.new", message: message(CID, 6) });
    await channel.getOrCreate();
    expect(seqs()).toEqual([5, 6]);
  });

  it("loaded twice at once is one call", async () => {
    server.on(CHANNEL, () => state(CID, 5, [5]));
    const views = Promise.all([channel.load(), channel.load()]);
    await soon();
    expect(await views).toMatchObject([{ status: "ready" }, { status: "ready" }]);
    expect(await channel.load()).toBe(channel.view.get());
    expect(server.asked.filter((call) => CHANNEL.test(call)).length).toBe(1);
  });

  it("shows what is unread from the first moment, and as it changes", async () => {
    server.on(CHANNEL, () => state(CID, 5, [5], { unread: { cid: CID, last_read_seq: 3, unread_messages: 2, head: 5 } }));
    await channel.load();
    expect(channel.view.get()).toMatchObject({ unread: 2, lastReadSeq: 3 });
    server.happens(CID, 6, { type: "message.new", message: message(CID, 6) });
    expect(channel.view.get().unread).toBe(3);
    expect(client.unread.get()).toMatchObject({ totalUnreadCount: 3, unreadChannels: 1 });
    const read = { type: "notification.mark_read", cid: CID, created_at: "", last_read_seq: 6, head: 6, unread_messages: 0 } as const;
    server.socket.says({ type: "event", topic: "user:alice", seq: 1, event: read });
    expect(channel.view.get()).toMatchObject({ unread: 0, lastReadSeq: 6 });
  });
});

describe("pages", () => {
  const page = (of: number[], before: boolean, after: boolean): MessagesResponse => ({
    messages: of.map((seq) => message(CID, seq)),
    has_more_before: before,
    has_more_after: after,
  });
  const thirty = Array.from({ length: 30 }, (_, n) => n + 71);

  it("older ones come before the rest, once, however often they are asked for", async () => {
    await opened(100, thirty);
    server.on(PAGE, () => page([69, 70], false, true));
    await Promise.all([channel.loadOlder(2), channel.loadOlder(2)]);
    expect(server.asked.filter((call) => PAGE.test(call))).toEqual([expect.stringMatching(/limit=2&before=71$/)]);
    expect(seqs()).toEqual([69, 70, ...thirty]);
    expect(channel.messages.get()).toMatchObject({ hasOlder: false, hasNewer: false });
  });

  it("what changes while a page is under way is not undone by it", async () => {
    await opened(100, thirty);
    const answer = held<MessagesResponse>();
    server.on(PAGE, () => answer.promise);
    const older = channel.loadOlder();
    await soon();
    expect(channel.messages.get().loading).toBe("older");
    server.happens(CID, 101, { type: "message.updated", message: message(CID, 70, { text: "edited" }) });
    server.happens(CID, 102, { type: "message.deleted", message_id: "m69", message_seq: 69, hard: true });
    answer.resolve(page([69, 70], true, true));
    await older;
    expect(texts()[0]).toBe("edited");
    expect(seqs()[0]).toBe(70);
  });

  it("a list that stands in the past takes no new messages, and none is missing on the way back", async () => {
    await opened(100, thirty);
    server.on(PAGE, () => page([10, 11], true, true));
    await channel.loadAround("m10", 2);
    expect(server.asked.at(-1)).toContain("around_id=m10");
    server.happens(CID, 101, { type: "message.new", message: message(CID, 101) });
    expect(seqs()).toEqual([10, 11]);
    const answer = held<MessagesResponse>();
    server.on(PAGE, () => answer.promise);
    const newer = channel.loadNewer();
    await soon();
    // The answer was made before this, and arrives after.
    server.happens(CID, 102, { type: "message.new", message: message(CID, 102) });
    expect(server.asked.at(-1)).toContain("after=11");
    answer.resolve(page([12, 101], true, false));
    await newer;
    expect(seqs()).toEqual([10, 11, 12, 101, 102]);
    expect(channel.messages.get().hasNewer).toBe(false);
  });

  it("a page of a list that was loaded anew meanwhile is dropped", async () => {
    await opened(100, thirty);
    const answer = held<MessagesResponse>();
    server.on(PAGE, () => answer.promise);
    const older = channel.loadOlder();
    await soon();
    server.on(CHANNEL, () => state(CID, 500, [499, 500]));
    server.socket.says({ type: "reset", topic: `channel:${CID}`, reason: "too_far_behind", head: 500 });
    await soon();
    answer.resolve(page([69, 70], true, true));
    await older;
    expect(seqs()).toEqual([499, 500]);
  });

  it("a failed page is told, and can be asked for again", async () => {
    await opened(100, thirty);
    server.on(PAGE, () => {
      throw new Refusal(500, "internal");
    });
    await expect(channel.loadOlder()).rejects.toMatchObject({ code: "internal" });
    expect(channel.messages.get()).toMatchObject({ loading: undefined, error: { code: "internal" } });
    server.on(PAGE, () => page([70], false, true));
    await channel.loadOlder();
    expect(channel.messages.get().error).toBeUndefined();
    expect(seqs()[0]).toBe(70);
  });
});

describe("sending", () => {
  const SEND = /^POST channels\/messaging\/general\/messages$/;

  it("one's own message stands in its place, whichever comes first: the answer or the event", async () => {
    await opened(5, [5]);
    const answer = held<{ message: unknown }>();
    let sent: { message: { id: string } } | undefined;
    server.on(SEND, (body) => ((sent = body), answer.promise));
    const sending = channel.send("mine");
    await soon();
    const mine = message(CID, 7, { id: sent!.message.id, text: "mine", user: { id: "alice" } });
    expect(channel.messages.get().messages.map(({ status }) => status)).toEqual(["sent", "pending"]);
    answer.resolve({ message: mine });
    await sending;
    expect(channel.messages.get().messages.map(({ id, status }) => [id, status])).toEqual([
      ["m5", "sent"],
      [mine.id, "sent"],
    ]);
    // Bob's was before it, and its event comes after the answer.
    server.happens(CID, 6, { type: "message.new", message: message(CID, 6) });
    server.happens(CID, 7, { type: "message.new", message: mine });
    expect(texts()).toEqual(["text 5", "text 6", "mine"]);
    expect(channel.messages.get().messages.every(({ status }) => status === "sent")).toBe(true);
  });

  it("an event that comes before its answer shows the message once", async () => {
    await opened(5, [5]);
    const answer = held<{ message: unknown }>();
    let id = "";
    server.on(SEND, (body: { message: { id: string } }) => ((id = body.message.id), answer.promise));
    const sending = channel.send("mine");
    await soon();
    const mine = message(CID, 6, { id, text: "mine", user: { id: "alice" } });
    server.happens(CID, 6, { type: "message.new", message: mine });
    expect(channel.messages.get().messages.map(({ status }) => status)).toEqual(["sent", "sent"]);
    answer.resolve({ message: mine });
    await sending;
    expect(texts()).toEqual(["text 5", "mine"]);
  });
});
