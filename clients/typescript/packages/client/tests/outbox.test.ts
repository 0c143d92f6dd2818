import { afterEach, beforeEach, expect, it, vi } from "vitest";

import type { Channel, Client, ClientEvent } from "../src/index.js";
import { FakeServer, held, message, Refusal } from "./fake_server.js";
import type { MessageDraft } from "../src/wire.js";

const SEND = /^POST .*\/messages$/;

let server: FakeServer;
let client: Client;
let general: Channel;
let random: Channel;
/** Texts in the order in which the server got them. */
let got: string[];

beforeEach(async () => {
  vi.useFakeTimers();
  server = new FakeServer();
  client = await server.connected();
  general = client.channel("messaging", "general");
  random = client.channel("messaging", "random");
  for (const { messages } of [general, random]) messages.subscribe(() => {});
  got = [];
  accepts();
});
afterEach(async () => {
  void client.disconnectUser();
  await vi.advanceTimersByTimeAsync(10_000);
  vi.useRealTimers();
});

function accepts(): void {
  server.on(SEND, ({ message: draft }: { message: MessageDraft & { id: string } }, path) => {
    got.push(draft.text!);
    const cid = path.split("/").slice(1, 3).join(":");
    return { message: message(cid, got.length, { ...draft, user: { id: "alice" } }) };
  });
}

const soon = () => vi.advanceTimersByTimeAsync(10);
const shown = (channel: Channel) =>
  channel.messages.get().messages.map(({ message, status }) => `${message.text} ${status}`);

it("within a channel one goes after the other, and channels do not wait for one another", async () => {
  const first = held<unknown>();
  server.on(/^POST channels\/messaging\/general\/messages$/, ({ message: { text } }: { message: MessageDraft }) => {
    got.push(text!);
    return first.promise;
  });
  void general.send("one");
  void general.send("two");
  void random.send("elsewhere");
  await soon();
  expect(got.sort()).toEqual(["elsewhere", "one"]);
});

it("a message without an answer is sent again with the same id until there is one", async () => {
  const ids: string[] = [];
  let failures = 4;
  server.on(SEND, ({ message: draft }: { message: MessageDraft & { id: string } }) => {
    ids.push(draft.id);
    if (failures-- > 0) throw new Refusal(503, "unavailable");
    return { message: message("messaging:general", 1, draft) };
  });
  const sent = general.send("patience");
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await sent).toMatchObject({ text: "patience" });
  expect(ids.length).toBe(5);
  expect(new Set(ids).size).toBe(1);
});

it("a refused message makes room for the next, and stays as failed (L5.17)", async () => {
  server.on(SEND, () => {
    throw new Refusal(403, "forbidden");
  });
  const refused = general.send("no");
  const failed = expect(refused).rejects.toMatchObject({ code: "forbidden" });
  await soon();
  await failed;
  accepts();
  await general.send("yes");
  expect(got).toEqual(["yes"]);
  expect(shown(general)).toEqual(["no failed"]);
  const { id } = general.messages.get().messages[0]!;
  const retried = general.retry(id);
  expect(shown(general)).toEqual(["no pending"]);
  expect(await retried).toBe(true);
  await soon();
  expect(got).toEqual(["yes", "no"]);
  expect(await general.retry(id)).toBe(false);
  expect(await general.discard(id)).toBe(false);
});

it("waits as long as the server asks (L5.18)", async () => {
  let asked = 0;
  server.on(SEND, ({ message: draft }: { message: MessageDraft & { id: string } }) => {
    if (asked++ === 0) throw new Refusal(429, "rate_limited", 20);
    return { message: message("messaging:general", 1, draft) };
  });
  const sent = general.send("slowly");
  await vi.advanceTimersByTimeAsync(19_900);
  expect(asked).toBe(1);
  await vi.advanceTimersByTimeAsync(1_000);
  await sent;
});

it("when the connection is back, what waits is sent within moments", async () => {
  let down = true;
  server.on(SEND, ({ message: draft }: { message: MessageDraft & { id: string } }) => {
    if (down) throw new Refusal(503, "unavailable");
    return { message: message("messaging:general", 1, draft) };
  });
  server.refusesDials = true;
  server.socket.breaks();
  const sent = general.send("tunnel");
  await vi.advanceTimersByTimeAsync(120_000);
  down = false;
  server.refusesDials = false;
  client.retryNow();
  await vi.advanceTimersByTimeAsync(700);
  expect(client.connection.get().state).toBe("connected");
  expect(await sent).toMatchObject({ text: "tunnel" });
});

it("a discarded message is cancelled, and its answer changes nothing any more", async () => {
  const answer = held<unknown>();
  server.on(SEND, () => answer.promise);
  const sent = general.send("regret");
  await soon();
  const { id } = general.messages.get().messages[0]!;
  const cancelled = expect(sent).rejects.toMatchObject({ code: "cancelled" });
  expect(await general.discard(id)).toBe(true);
  await cancelled;
  answer.resolve({ message: message("messaging:general", 1, { id }) });
  await soon();
  expect(shown(general)).toEqual([]);
});

it("five hundred may wait, and the next is told so (L5.14)", async () => {
  server.on(SEND, () => new Promise(() => {}));
  for (let n = 0; n < 500; n++) void general.send(`${n}`);
  await expect(random.send("one too many")).rejects.toMatchObject({ code: "outbox_full" });
  expect(shown(random)).toEqual([]);
});

it("a message that could not be sent for 48 hours fails (L5.15)", async () => {
  server.on(SEND, () => {
    throw new Refusal(503, "unavailable");
  });
  const sent = general.send("too late");
  const failed = expect(sent).rejects.toMatchObject({ code: "unavailable" });
  const queuedAt = Date.now();
  await soon();
  vi.setSystemTime(queuedAt + 47 * 3_600_000);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(shown(general)).toEqual(["too late pending"]);
  vi.setSystemTime(queuedAt + 48 * 3_600_000);
  await vi.advanceTimersByTimeAsync(60_000);
  await failed;
  expect(shown(general)).toEqual(["too late failed"]);
});

it("what is not sent when its user leaves waits for that user, and for nobody else (L1.17)", async () => {
  server.on(SEND, () => {
    throw new Refusal(503, "unavailable");
  });
  void general.send("mine");
  await soon();
  void client.disconnectUser();
  server.more = { me: { ...server.ready().me, id: "bob" } };
  const bob = client.connectUser("bob", "token");
  await soon();
  await bob;
  accepts();
  expect(shown(general)).toEqual([]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(got).toEqual([]);
  void client.disconnectUser();
  server.more = {};
  void client.connectUser("alice", "token");
  await vi.advanceTimersByTimeAsync(0);
  expect(shown(general)).toEqual(["mine pending"]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(got).toEqual(["mine"]);
});

it("every change is told as an event (L5.19)", async () => {
  const told: string[] = [];
  client.on("outbox.changed", (event: ClientEvent & { type: "outbox.changed" }) => told.push(event.status));
  await Promise.all([general.send("one"), soon()]);
  server.on(SEND, () => {
    throw new Refusal(400, "text_too_long");
  });
  void general.send("two");
  await soon();
  expect(told).toEqual(["pending", "sent", "pending", "failed"]);
});
