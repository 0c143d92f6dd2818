import { afterEach, beforeEach, expect, it, vi } from "vitest";

import type { ChannelList, Client } from "../src/index.js";
import { FakeServer, held, message, Refusal, state } from "./fake_server.js";
import type { ChannelsResponse, ChannelState, QueryChannels } from "../src/wire.js";

const QUERY = /^POST channels$/;
const AT = (minute: number) => `2026-11-21T12:${String(minute).padStart(2, "0")}:00.000Z`;

let server: FakeServer;
let client: Client;
let list: ChannelList;
/** What the query answers, the latest activity first. */
let cids: string[];
let queries: QueryChannels[];

beforeEach(async () => {
  vi.useFakeTimers();
  server = new FakeServer();
  client = await server.connected();
  cids = ["messaging:a", "messaging:b"];
  queries = [];
  server.on(QUERY, (query: QueryChannels) => {
    queries.push(query);
    return { channels: cids.map((cid, n) => dated(cid, 30 - n)) } satisfies ChannelsResponse;
  });
  list = client.channels();
});
afterEach(async () => {
  void client.disconnectUser();
  await vi.advanceTimersByTimeAsync(10_000);
  vi.useRealTimers();
});

function dated(cid: string, minute: number) {
  const known = state(cid, 5, [5]);
  return { ...known, channel: { ...known.channel, last_message_at: AT(minute) } };
}

const soon = () => vi.advanceTimersByTimeAsync(300);
const shown = () => list.view.get().channels.map(({ cid }) => cid);

async function subscribed(): Promise<void> {
  list.view.subscribe(() => {});
  await soon();
}

function speaks(cid: string, minute: number, seq = 6): void {
  server.happens(cid, seq, { type: "message.new", message: message(cid, seq, { created_at: AT(minute) }) });
}

it("nothing is asked before somebody looks, and once however many do", async () => {
  await soon();
  expect(queries).toEqual([]);
  expect(client.channels()).toBe(list);
  await subscribed();
  await subscribed();
  expect(queries).toMatchObject([{ filter: { members: { $in: ["alice"] } } }]);
  expect(shown()).toEqual(["messaging:a", "messaging:b"]);
  expect(list.view.get()).toBe(list.view.get());
});

it("a message brings its channel to the top, without a question", async () => {
  await subscribed();
  speaks("messaging:b", 40);
  expect(shown()).toEqual(["messaging:b", "messaging:a"]);
  await soon();
  expect(queries.length).toBe(1);
});

it("what happens in a channel while its list is asked for is not lost", async () => {
  const answer = held<ChannelsResponse>();
  server.on(QUERY, () => answer.promise);
  await subscribed();
  speaks("messaging:b", 40);
  server.on(/^GET channels\/messaging\/b\?/, () => state("messaging:b", 6, [5, 6]));
  answer.resolve({ channels: [dated("messaging:a", 30), dated("messaging:b", 29)] });
  await soon();
  expect(shown()).toEqual(["messaging:b", "messaging:a"]);
  expect(client.channelAt("messaging:b").view.get()).toMatchObject({ status: "ready", lastMessage: { seq: 6 } });
});

it("a channel whose own load is still under way keeps its place", async () => {
  const answer = held<ChannelState>();
  server.on(/^GET channels\/messaging\/a\?/, () => answer.promise);
  client.channelAt("messaging:a").open();
  await subscribed();
  expect(shown()).toEqual(["messaging:a", "messaging:b"]);
  speaks("messaging:b", 20);
  expect(shown()).toEqual(["messaging:a", "messaging:b"]);
});

it("what is heard of and not shown is asked about once, until something changes", async () => {
  await subscribed();
  for (let seq = 6; seq < 20; seq++) speaks("messaging:c", 40, seq);
  await soon();
  expect(queries.length).toBe(2);
  speaks("messaging:c", 41, 20);
  await soon();
  expect(queries.length).toBe(2);
  cids = ["messaging:c", ...cids];
  server.socket.says({
    type: "event",
    topic: "user:alice",
    seq: 1,
    event: {
      type: "notification.added_to_channel",
      cid: "messaging:c",
      created_at: AT(41),
      seq: 20,
      channel: dated("messaging:c", 41).channel,
    },
  });
  await soon();
  expect(shown()).toEqual(["messaging:c", "messaging:a", "messaging:b"]);
});

it("a flow of messages does not put the question off for ever", async () => {
  await subscribed();
  for (let n = 0; n < 20; n++) {
    speaks("messaging:c", 40, 6 + n);
    await vi.advanceTimersByTimeAsync(50);
  }
  expect(queries.length).toBe(2);
});

it("a channel that is left, deleted or no longer to be seen goes at once", async () => {
  cids = ["messaging:a", "messaging:b", "messaging:c", "messaging:d"];
  await subscribed();
  server.on(QUERY, () => ({ channels: [] }));
  const topic = "user:alice";
  const left = { type: "notification.removed_from_channel", cid: "messaging:a", created_at: AT(1) } as const;
  server.socket.says({ type: "event", topic, seq: 1, event: left });
  expect(shown()).toEqual(["messaging:b", "messaging:c", "messaging:d"]);
  server.happens("messaging:b", 6, { type: "channel.deleted" });
  expect(shown()).toEqual(["messaging:c", "messaging:d"]);
  server.socket.says({ type: "reset", topic: "channel:messaging:c", reason: "no_access", head: 9 });
  expect(shown()).toEqual(["messaging:d"]);
});

it("more are loaded behind, and a first page asked for again keeps them", async () => {
  const pages: Record<string, ChannelsResponse> = {
    first: { channels: [dated("messaging:a", 30)], next: "n1" },
    n1: { channels: [dated("messaging:b", 20)] },
  };
  server.on(QUERY, (query: QueryChannels) => pages[query.next ?? "first"]);
  await subscribed();
  expect(list.view.get().hasMore).toBe(true);
  await list.loadMore();
  await list.loadMore();
  expect(shown()).toEqual(["messaging:a", "messaging:b"]);
  expect(list.view.get().hasMore).toBe(false);
  await list.reload();
  expect(shown()).toEqual(["messaging:a", "messaging:b"]);
  expect(list.view.get().hasMore).toBe(false);
});

it("a failed question is told and asked again", async () => {
  server.on(QUERY, () => {
    throw new Refusal(503, "unavailable");
  });
  await subscribed();
  expect(list.view.get()).toMatchObject({ loading: false, error: { code: "unavailable" } });
  server.on(QUERY, () => ({ channels: [dated("messaging:a", 30)] }));
  await vi.advanceTimersByTimeAsync(6_000);
  expect(shown()).toEqual(["messaging:a"]);
  expect(list.view.get().error).toBeUndefined();
});

it("a channel that nobody has open is asked for again with its list, where its events have a hole", async () => {
  await subscribed();
  speaks("messaging:b", 40, 9);
  expect(queries.length).toBe(1);
  server.on(QUERY, (query: QueryChannels) => {
    queries.push(query);
    return { channels: [{ ...dated("messaging:b", 40), head: 9 }, dated("messaging:a", 30)] };
  });
  await soon();
  expect(queries.length).toBe(2);
  expect(server.asked.filter((call) => /messages=30/.test(call))).toEqual([]);
});

it("an order of the app's own is the server's alone", async () => {
  list = client.channels({ sort: [{ field: "created_at", direction: 1 }], limit: 5 });
  await subscribed();
  expect(queries).toMatchObject([{ sort: [{ field: "created_at", direction: 1 }], limit: 5 }]);
  speaks("messaging:b", 40);
  expect(shown()).toEqual(["messaging:a", "messaging:b"]);
});

it("an answer that comes after the user has left is shown to nobody", async () => {
  const answer = held<ChannelsResponse>();
  server.on(QUERY, () => answer.promise);
  await subscribed();
  void client.disconnectUser();
  answer.resolve({ channels: [dated("messaging:a", 1)] });
  await soon();
  expect(shown()).toEqual([]);
});
