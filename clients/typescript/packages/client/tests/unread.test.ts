// The tally against a server that counts naively, over many random histories.

import { expect, test } from "vitest";
import { ALL, Tally } from "../src/unread.js";
import type { Channel, Event, Me, Message, Ready, Unread, UnreadTotals, UserBrief } from "../src/wire.js";

const ROOMS = 3;
const NOW = "2026-11-21T07:00:00.000Z";

const cid = (room: number) => `messaging:r${room}`;

interface Said {
  own: boolean;
  silent: boolean;
  system: boolean;
  fate: "there" | "deleted" | "gone";
}

const counts = ({ own, silent, system, fate }: Said) => !own && !silent && !system && fate === "there";

type Logged = "message" | "other" | { deletionOf: number };

class Room {
  log: Logged[] = [];
  said = new Map<number, Said>();
  lastRead = 0;
  member = true;
  /** What the client has been given. */
  delivered = 0;
  readonly cid: string;

  constructor(readonly number: number) {
    this.cid = cid(number);
  }

  get head(): number {
    return this.log.length;
  }

  get unread(): number {
    return [...this.said].filter(([seq, said]) => seq > this.lastRead && counts(said)).length;
  }

  message(seq: number): Message {
    const said = this.said.get(seq)!;
    const deleted = said.fate !== "there";
    const user: UserBrief = { id: said.own ? "me" : "you" };
    return {
      id: `m${this.number}-${seq}`,
      cid: this.cid,
      seq,
      type: deleted ? "deleted" : said.system ? "system" : "regular",
      text: "",
      user,
      created_at: NOW,
      updated_at: NOW,
      ...(deleted && { deleted_at: NOW }),
      ...(said.silent && { silent: true }),
    };
  }

  /** The event at a seq, rendered from the present state. */
  event(seq: number): Event {
    const entry = this.log[seq - 1]!;
    if (entry === "other") return { type: "placeholder", created_at: NOW };
    if (entry !== "message") return this.deleted(entry.deletionOf);
    if (this.said.get(seq)!.fate === "gone") return this.deleted(seq);
    return { type: "message.new", cid: this.cid, created_at: NOW, message: this.message(seq) };
  }

  deleted(of: number): Event {
    const { fate } = this.said.get(of)!;
    const event = { cid: this.cid, created_at: NOW, message_id: `m${this.number}-${of}`, message_seq: of };
    if (fate === "gone") return { type: "message.deleted", ...event, hard: true };
    return { type: "message.deleted", ...event, message: this.message(of) };
  }

  snapshot(): Unread {
    return { cid: this.cid, last_read_seq: this.lastRead, unread_messages: this.unread, head: this.head };
  }
}

type Answer = { totals: UnreadTotals } | { unread: Unread } | "no_member";

/** A call under way: asked, and perhaps answered by the server, the answer not yet there. */
interface Load {
  want: string;
  read?: Answer;
}

class World {
  readonly rooms = Array.from({ length: ROOMS }, (_, room) => new Room(room));
  userLog: Event[] = [];
  userDelivered = 0;
  loads: Load[] = [];
  loaded = 0;
  readonly tally = new Tally();
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
    this.tally.clear("me");
  }

  /** 0 to `sides` - 1, the same for the same seed (mulberry32). */
  roll(sides: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * sides);
  }

  anySeq(room: Room): number | undefined {
    const seqs = [...room.said.keys()];
    return seqs.length ? seqs[this.roll(seqs.length)] : undefined;
  }

  moved(room: Room): void {
    this.userLog.push({ type: "notification.mark_read", created_at: NOW, ...room.snapshot() });
  }

  /** Something happens at the server. */
  act(): void {
    const room = this.rooms[this.roll(ROOMS)]!;
    const what = this.roll(12);
    const seq = this.anySeq(room);
    const [own, silent, system] = [this.roll(4) === 0, this.roll(8) === 0, this.roll(12) === 0];
    if (what < 5) {
      room.log.push("message");
      room.said.set(room.head, { own, silent, system, fate: "there" });
    } else if (what === 5) {
      room.log.push("other");
    } else if (what < 8) {
      if (seq === undefined) return;
      const said = room.said.get(seq)!;
      const fate = own ? "gone" : "deleted";
      if (said.fate === "gone" || said.fate === fate) return;
      said.fate = fate;
      room.log.push({ deletionOf: seq });
    } else if (what < 10 && room.member) {
      const to = own ? room.head : (seq ?? 0);
      if (to <= room.lastRead) return;
      room.lastRead = to;
      this.moved(room);
    } else if (what === 10 && room.member) {
      if (seq === undefined) return;
      room.lastRead = seq - 1;
      this.moved(room);
    } else if (what === 11 && room.member && own) {
      room.log.push("other");
      room.member = false;
      this.userLog.push({ type: "notification.removed_from_channel", cid: room.cid, created_at: NOW });
    } else if (what === 11 && !room.member) {
      room.log.push("other");
      room.member = true;
      room.lastRead = room.head;
      const of = { cid: room.cid, created_at: NOW };
      const channel = { ...of, type: "messaging", id: `r${room.number}`, member_count: 1 } as Channel;
      this.userLog.push({ type: "notification.added_to_channel", ...of, channel, seq: room.head });
    }
  }

  /** One more event reaches the client, of one log or another. */
  deliver(): boolean {
    const ready = this.rooms.filter((room) => room.member && room.delivered < room.head);
    const choices = ready.length + Number(this.userDelivered < this.userLog.length);
    if (choices === 0) return false;
    const room = ready[this.roll(choices)];
    if (room) {
      const seq = ++room.delivered;
      this.tally.event({ topic: `channel:${room.cid}`, seq, event: room.event(seq) });
    } else {
      const event = this.userLog[this.userDelivered++]!;
      this.tally.event({ topic: "user:me", seq: this.userDelivered, event });
    }
    return true;
  }

  /** A call moves on by one step, if one is under way or wanted. */
  load(): boolean {
    const hadWants = this.tally.hasWants();
    const want = this.tally.wants();
    if (hadWants !== (want !== undefined)) expect.fail("it wants nothing of what it said it wanted");
    if (want !== undefined) {
      this.loads.push({ want });
      return true;
    }
    if (this.loads.length === 0) return false;
    const at = this.roll(this.loads.length);
    const load = this.loads[at]!;
    const fails = this.roll(10) === 0;
    if (!fails && load.read === undefined) {
      load.read = this.read(load.want);
      return true;
    }
    this.loads.splice(at, 1);
    if (fails) {
      this.tally.loadFailed(load.want);
      return true;
    }
    this.loaded++;
    const { want: wanted, read } = load;
    if (read === "no_member") this.tally.loaded(wanted, []);
    else this.tally.loaded(wanted, "totals" in read! ? read.totals.channels : [read!.unread]);
    return true;
  }

  read(want: string): Answer {
    if (want === ALL) return { totals: this.totals() };
    const room = this.rooms.find(({ cid }) => cid === want)!;
    return room.member ? { unread: room.snapshot() } : "no_member";
  }

  totals(): UnreadTotals {
    const members = this.rooms.filter((room) => room.member).map((room) => room.snapshot());
    const channels = members.filter(({ unread_messages }) => unread_messages > 0);
    const total = channels.reduce((sum, { unread_messages }) => sum + unread_messages, 0);
    return { total_unread_count: total, unread_channels: channels.length, channels };
  }

  /** The connection comes (back): `ready`, and perhaps topics that cannot be replayed. */
  connect(fresh: boolean): void {
    const { total_unread_count, unread_channels } = this.totals();
    // Two of three channels, as a `ready` names thirty of many.
    const named = this.rooms.slice(0, 2).filter((room) => room.member);
    const resets = this.rooms.filter(() => this.roll(4) === 0);
    const userReset = this.roll(6) === 0;
    const resumed = fresh ? "fresh" : resets.length === 0 && !userReset ? "resumed" : "caught_up";
    const me = { id: "me", total_unread_count, unread_channels } as Me;
    const channels = named.map((room) => room.snapshot());
    this.tally.ready({ epoch: "e", resumed, me, channels } as Ready);
    if (fresh) {
      for (const room of this.rooms) room.delivered = room.head;
      this.userDelivered = this.userLog.length;
      return;
    }
    for (const room of resets) {
      room.delivered = room.head;
      this.tally.reset(`channel:${room.cid}`, "too_far_behind", room.head);
    }
    if (userReset) {
      this.userDelivered = this.userLog.length;
      this.tally.reset("user:me", "trimmed", this.userDelivered);
    }
  }

  check(seed: number): void {
    for (let step = 0; this.deliver() || this.load(); step++) {
      if (step > 10_000) expect.fail(`seed ${seed} never comes to rest`);
    }
    const naive = this.totals();
    const ours = this.tally.counts();
    const { total_unread_count: totalUnreadCount, unread_channels: unreadChannels } = naive;
    expect(ours, `seed ${seed}`).toEqual({ totalUnreadCount, unreadChannels, settled: true });
    for (const { cid, unread_messages, last_read_seq } of naive.channels) {
      const channel = { cid, unread_messages, last_read_seq };
      expect(this.tally.channel(cid), `seed ${seed}`).toMatchObject(channel);
    }
  }

  /** Others say this many things in the first room, and the client hears of them. */
  hears(messages: number): void {
    const room = this.rooms[0]!;
    for (let said = 0; said < messages; said++) {
      room.log.push("message");
      room.said.set(room.head, { own: false, silent: false, system: false, fate: "there" });
    }
    while (this.deliver()) {}
  }
}

test("at every quiet point the counts are those of a server that counts naively", () => {
  let loaded = 0;
  for (let seed = 0; seed < 1_000; seed++) {
    const world = new World(seed);
    for (let act = 0; act < 20; act++) world.act();
    world.connect(true);
    for (let step = 0; step < 300; step++) {
      const what = world.roll(8);
      if (what < 3) world.act();
      else if (what < 6) world.deliver();
      else if (what === 6) world.load();
      else if (world.roll(10) === 0) world.connect(world.roll(8) === 0);
      if (step % 100 === 99) world.check(seed);
    }
    loaded += world.loaded;
  }
  // The server is asked when the events do not tell, and not for every event.
  expect(loaded).toBeGreaterThan(500);
  expect(loaded).toBeLessThan(33_000);
}, 60_000);

test("events of an ordinary day need no call", () => {
  const world = new World(1);
  world.connect(true);
  const room = world.rooms[0]!;
  for (let said = 1; said <= 50; said++) {
    world.hears(1);
    if (said % 10 === 0) {
      room.lastRead = room.head;
      world.moved(room);
    }
  }
  world.check(1);
  expect(world.loaded).toBe(0);
});

/** A tally of a user whose channel is known up to `head`, all of it read. */
function knowing(head: number): Tally {
  const tally = new Tally();
  tally.clear("me");
  tally.seen({ cid: cid(0), last_read_seq: head, unread_messages: 0, head });
  return tally;
}

const topic = `channel:${cid(0)}`;
const at = { cid: cid(0), created_at: NOW };
const marked = (last_read_seq: number, unread_messages: number, head: number): Event => ({
  type: "notification.mark_read",
  ...at,
  last_read_seq,
  unread_messages,
  head,
});

test("old news of leaving does not undo a reset that jumped past it", () => {
  const tally = new Tally();
  tally.clear("me");
  // The channel jumps to 61; only then the user's own log tells how she left, came back at 56 and read up to
  // 57, when the channel stood at 58.
  tally.reset(topic, "too_far_behind", 61);
  for (const event of [removed, added(56), marked(57, 0, 58)]) tally.event(own(event));
  // What came between 58 and 61 is not known, and has to be asked for.
  expect(tally.hasWants()).toBe(true);
  expect(tally.wants()).toBe(cid(0));
  tally.loaded(cid(0), [{ cid: cid(0), last_read_seq: 57, unread_messages: 2, head: 61 }]);
  expect(tally.counts()).toEqual({ totalUnreadCount: 2, unreadChannels: 1, settled: true });
});

const own = (event: Event) => ({ topic: "user:me", seq: 1, event });
const removed: Event = { type: "notification.removed_from_channel", ...at };
const added = (seq: number): Event => ({
  type: "notification.added_to_channel",
  ...at,
  channel: {} as Channel,
  seq,
});
const settledAt = (totalUnreadCount: number) => ({
  totalUnreadCount,
  unreadChannels: Number(totalUnreadCount > 0),
  settled: true,
});

test("news of joining that a snapshot has told already needs no call", () => {
  const tally = knowing(9);
  tally.event(own(added(9)));
  expect(tally.counts()).toEqual(settledAt(0));
});

test("one who joined after the last snapshot is asked for, and believed", () => {
  const tally = knowing(5);
  tally.event(own(added(9)));
  expect(tally.counts().settled).toBe(false);
  expect(tally.channel(cid(0))).toBeUndefined();
  tally.wants();
  tally.loaded(cid(0), [{ cid: cid(0), last_read_seq: 9, unread_messages: 2, head: 11 }]);
  expect(tally.counts()).toEqual(settledAt(2));
});

test("what is known after all is no longer asked for", () => {
  const tally = knowing(5);
  tally.reset(topic, "too_far_behind", 9);
  expect(tally.hasWants()).toBe(true);
  tally.event(own(marked(7, 2, 9)));
  expect(tally.hasWants()).toBe(false);
  expect(tally.counts()).toEqual(settledAt(2));
  tally.reset(topic, "too_far_behind", 12);
  expect(tally.hasWants()).toBe(true);
  tally.event(own(removed));
  expect(tally.hasWants()).toBe(false);
});

test("a reset to where the snapshot stands loses nothing", () => {
  const tally = knowing(9);
  tally.reset(topic, "too_far_behind", 9);
  expect(tally.counts()).toEqual(settledAt(0));
  expect(tally.channel(cid(0))).toMatchObject({ head: 9 });
  tally.reset(topic, "too_far_behind", 10);
  expect(tally.counts().settled).toBe(false);
});

test("an older snapshot than the one that is known changes nothing", () => {
  const tally = knowing(9);
  tally.event(own(marked(3, 2, 5)));
  expect(tally.counts()).toEqual(settledAt(0));
});

test("a snapshot from just before the first event that was heard is counted on from there", () => {
  const world = new World(1);
  world.tally.clear("me");
  world.rooms[0]!.log = Array(4).fill("other");
  world.rooms[0]!.delivered = 4;
  world.hears(1);
  expect(world.tally.counts().settled).toBe(false);
  world.tally.event(own(marked(4, 0, 4)));
  expect(world.tally.counts()).toEqual(settledAt(1));
});

test("a message that was deleted for good before it was heard of counts nothing and needs no call", () => {
  const world = new World(1);
  world.connect(true);
  world.hears(1);
  const [room, { tally }] = [world.rooms[0]!, world];
  room.log.push("message");
  room.said.set(2, { own: false, silent: false, system: false, fate: "gone" });
  world.deliver();
  expect(tally.counts()).toEqual(settledAt(1));
});

test("a message that was marked as read before it was heard of is read", () => {
  const world = new World(1);
  world.connect(true);
  world.tally.event(own(marked(2, 0, 0)));
  world.hears(3);
  expect(world.tally.counts()).toEqual(settledAt(1));
});

test("a deletion needs a call only where it is not known whether the message had counted", () => {
  const deletion = (message_seq: number, seq: number) => {
    const event: Event = { type: "message.deleted", ...at, message_id: "m", message_seq };
    return { topic, seq, event };
  };
  // Nothing is unread, so nothing can be taken from it.
  const tally = knowing(5);
  tally.event(own(marked(2, 0, 6)));
  tally.event(deletion(4, 7));
  expect(tally.counts()).toEqual(settledAt(0));
  // It is read.
  tally.event(own(marked(2, 3, 8)));
  tally.event(deletion(2, 9));
  expect(tally.counts()).toEqual(settledAt(3));
  // It is not told which place it had.
  tally.event(deletion(0, 10));
  expect(tally.wants()).toBe(cid(0));
});

test("a message that was deleted by the time it was heard of is not taken off twice", () => {
  const world = new World(1);
  world.connect(true);
  world.hears(1);
  const [room, { tally }] = [world.rooms[0]!, world];
  room.log.push("message", { deletionOf: 2 });
  room.said.set(2, { own: false, silent: false, system: false, fate: "deleted" });
  while (world.deliver()) expect(tally.counts()).toEqual(settledAt(1));
  expect(tally.channel(cid(0))).toMatchObject({ head: 3 });
});

test("a deletion that overtakes the answer about everything is not lost", () => {
  const tally = new Tally();
  tally.clear("me");
  tally.ready({ epoch: "e", resumed: "fresh", me: { total_unread_count: 2 } } as Ready);
  expect(tally.wants()).toBe(ALL);
  const deleted: Event = { type: "message.deleted", ...at, message_id: "m", message_seq: 5 };
  tally.event({ topic, seq: 6, event: deleted });
  tally.loaded(ALL, [{ cid: cid(0), last_read_seq: 3, unread_messages: 2, head: 5 }]);
  expect(tally.wants()).toBe(cid(0));
  tally.loaded(cid(0), [{ cid: cid(0), last_read_seq: 3, unread_messages: 1, head: 6 }]);
  expect(tally.counts()).toEqual(settledAt(1));
});

test("a channel that is deleted, and one that may no longer be read, have nothing unread", () => {
  for (const end of ["deleted", "no_access"]) {
    const world = new World(1);
    world.connect(true);
    world.hears(3);
    const { tally } = world;
    expect(tally.counts()).toMatchObject({ totalUnreadCount: 3, unreadChannels: 1 });
    if (end === "deleted") tally.event({ topic, seq: 4, event: { type: "channel.deleted", ...at } });
    else tally.reset(topic, "no_access", 4);
    expect(tally.counts()).toEqual({ totalUnreadCount: 0, unreadChannels: 0, settled: true });
    expect(tally.channel(cid(0))).toBeUndefined();
  }
});

test("a snapshot older than the window that is remembered is not built upon", () => {
  const world = new World(1);
  world.connect(true);
  const [room, { tally }] = [world.rooms[0]!, world];
  // Read up to 10, and told so late: by 128 events, which can be counted again, then by 129.
  room.lastRead = 10;
  world.hears(10 + 128);
  tally.event({ topic: "user:me", seq: 1, event: marked(10, 0, 10) });
  expect(tally.counts()).toEqual({ totalUnreadCount: 128, unreadChannels: 1, settled: true });
  world.hears(1);
  const again = new World(1);
  again.connect(true);
  again.hears(10 + 129);
  again.tally.event({ topic: "user:me", seq: 1, event: marked(10, 0, 10) });
  expect(again.tally.counts().settled).toBe(false);
  expect(again.tally.wants()).toBe(cid(0));
});

test("what is known is told by channel, as the wire tells it", () => {
  const world = new World(1);
  world.connect(true);
  world.hears(2);
  const { tally } = world;
  const unread = { cid: cid(0), last_read_seq: 0, unread_messages: 2, head: 2 };
  expect(tally.channel(cid(0))).toEqual(unread);
  tally.event({ topic, seq: 3, event: { type: "placeholder", created_at: NOW } });
  expect(tally.channel(cid(0))?.head).toBe(3);
  expect(tally.channel("messaging:elsewhere")).toBeUndefined();
});

test("what a call of the app brings counts only where nothing was known", () => {
  const tally = knowing(5);
  tally.seen({ cid: cid(0), last_read_seq: 0, unread_messages: 5, head: 5 });
  expect(tally.counts().totalUnreadCount).toBe(0);
  tally.seen({ cid: cid(1), last_read_seq: 0, unread_messages: 4, head: 4 });
  expect(tally.counts()).toEqual({ totalUnreadCount: 4, unreadChannels: 1, settled: true });
});

test("one who is no member has nothing unread, and is not asked for again", () => {
  const tally = new Tally();
  tally.clear("me");
  tally.reset(topic, "too_far_behind", 7);
  expect(tally.counts().settled).toBe(false);
  tally.wants();
  tally.loaded(cid(0), []);
  expect(tally.counts()).toEqual({ totalUnreadCount: 0, unreadChannels: 0, settled: true });
  expect(tally.hasWants()).toBe(false);
});

test("a load that failed is wanted again", () => {
  const tally = new Tally();
  tally.clear("me");
  tally.reset(topic, "too_far_behind", 7);
  const want = tally.wants()!;
  expect(tally.hasWants()).toBe(false);
  tally.loadFailed(want);
  expect(tally.wants()).toEqual(want);
  // What came meanwhile by itself is not.
  tally.event(own(marked(7, 2, 7)));
  tally.loadFailed(want);
  expect(tally.hasWants()).toBe(false);
});

test("another user begins with nothing, and so does another log", () => {
  const tally = knowing(5);
  tally.reset("user:me", "trimmed", 9);
  expect(tally.hasWants()).toBe(true);
  tally.clear("you");
  expect(tally.counts()).toEqual({ totalUnreadCount: 0, unreadChannels: 0, settled: true });
  const me = { total_unread_count: 2 } as Me;
  const channels = [{ cid: cid(0), last_read_seq: 0, unread_messages: 2, head: 2 }];
  tally.ready({ epoch: "e", resumed: "resumed", me, channels } as Ready);
  expect(tally.counts()).toEqual({ totalUnreadCount: 2, unreadChannels: 1, settled: true });
  tally.ready({ epoch: "f", resumed: "resumed", me: { total_unread_count: 1 } } as Ready);
  expect(tally.counts()).toEqual({ totalUnreadCount: 0, unreadChannels: 0, settled: false });
  expect(tally.wants()).toBe(ALL);
});

test("what happens in a kind of topic that is not known changes nothing", () => {
  const tally = knowing(5);
  tally.reset("thread:m-1", "trimmed", 9);
  tally.reset("app:dev", "trimmed", 9);
  tally.event({ topic: "app:dev", seq: 1, event: { type: "user.updated" } as Event });
  tally.event({ topic, seq: 6, event: { type: "poll.closed" } as unknown as Event });
  expect(tally.counts()).toEqual({ totalUnreadCount: 0, unreadChannels: 0, settled: true });
});
