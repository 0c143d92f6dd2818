// Unread counts, kept from events by the server's own rule.
//
// A message counts when its seq is above the last one read, it is not one's own, not silent, not a system
// message and not deleted. The server says where a channel stands at some seq (a snapshot: in `ready`, in
// `notification.mark_read`, over HTTP); events above that seq are counted here. A channel's events and the
// user's own events are two logs that do not wait for one another, so a snapshot may be older than what was
// counted: a window of the latest changes is counted again on top of it. Where the window does not reach back
// far enough, or knows too little, the channel is asked for over HTTP and is not settled until then.
//
// This counts; it does no I/O. `Tally.wants` says what to load. The twin of the Rust SDK's `unread.rs`.

import type { Event, EventFrame, Message, Ready, ResetReason, Unread, UnreadTotals } from "./wire.js";

/** Changes that are remembered per channel. Events of two logs are apart by moments, not by hundreds. */
const WINDOW_LEN = 128;

/** The totals of all channels. */
export interface UnreadCounts {
  /** Unread messages over all channels. */
  readonly totalUnreadCount: number;
  /** Channels with at least one unread message. */
  readonly unreadChannels: number;
  /** Whether nothing is being loaded that could change them: then they are exact up to the last event. */
  readonly settled: boolean;
}

/** What should be asked over HTTP: `GET /v1/unread`, or `GET /v1/channels/{type}/{id}`. */
export type Want = { type: "all" } | { type: "channel"; cid: string };

/** A channel's standing where it is known. */
interface Known {
  lastRead: number;
  unread: number;
  /** The head of the snapshot that this is counted from. */
  asOf: number;
}

interface Entry {
  /** `unknown`: being asked for. `not_member`: watched, and nothing is unread. */
  standing: Known | "unknown" | "not_member";
  window: Change[];
  /** All changes above this seq, up to `head`, are in the window. */
  windowFrom: number;
  /** The last event. */
  head: number;
}

/** What a message adds to the count, if it is not read. */
interface Worth {
  /** As its event told it, when that came. */
  now: boolean;
  /** In a snapshot from before it was deleted; undefined where its event came later and does not tell. */
  before: boolean | undefined;
}

interface Change {
  seq: number;
  /** The place of the message that is gone; undefined where `seq` brings a new one. */
  gone?: number;
  /** Of the new message, or of the gone one until now; undefined where that is older than the window. */
  worth: Worth | undefined;
}

const NOTHING: Worth = { now: false, before: false };

/** The unread state of all channels of one user. */
export class Tally {
  #me: string | undefined;
  #epoch: string | undefined;
  #channels = new Map<string, Entry>();
  #total = 0;
  #unreadChannels = 0;
  #loading = new Set<string>();
  /** Loads under way whose answer will be too old. */
  #again = new Set<string>();
  #wanted = new Set<string>();
  /**
   * Where the load of everything stands: not needed, wanted, running (with the channels that the user left
   * meanwhile), or running in vain, started before something that makes the answer void.
   */
  #all: "no" | "wanted" | Set<string> | "in_vain" = "no";

  /** Forgets everything, and counts for this user from now on. */
  clear(me?: string): void {
    this.#me = me;
    this.#epoch = undefined;
    this.#loading.clear();
    this.#forgetAll();
    this.#all = "no";
  }

  counts(): UnreadCounts {
    const settled = this.#all === "no" && !this.#wanted.size && !this.#loading.size;
    return { totalUnreadCount: this.#total, unreadChannels: this.#unreadChannels, settled };
  }

  /** The channels of which something is known. */
  channels(): Unread[] {
    return [...this.#channels.keys()].flatMap((cid) => this.channel(cid) ?? []);
  }

  channel(cid: string): Unread | undefined {
    const entry = this.#channels.get(cid);
    if (typeof entry?.standing !== "object") return undefined;
    const { lastRead, unread, asOf } = entry.standing;
    return { cid, last_read_seq: lastRead, unread_messages: unread, head: Math.max(entry.head, asOf) };
  }

  ready({ epoch, resumed, channels, me }: Ready): void {
    const beginsAnew = this.#epoch !== epoch || resumed === "fresh";
    if (beginsAnew) this.#forgetAll();
    this.#epoch = epoch;
    for (const unread of channels ?? []) this.#adopt(unread);
    // `ready` carries the thirty latest channels only.
    if (beginsAnew && this.#total !== me.total_unread_count) this.#wantAll();
  }

  event({ topic, seq, event }: EventFrame): void {
    const cid = channelOf(topic);
    if (cid === undefined) {
      if (event.type === "notification.mark_read") this.#adopt(event);
      if (event.type === "notification.added_to_channel") this.#join(event.cid, event.seq);
      if (event.type === "notification.removed_from_channel") this.#leave(event.cid);
    } else if (event.type === "channel.deleted") {
      this.#leave(cid);
    } else {
      this.#channelEvent(cid, seq, this.#change(cid, seq, event));
    }
  }

  reset(topic: string, reason: ResetReason, head: number): void {
    const cid = channelOf(topic);
    if (cid !== undefined) {
      if (reason === "no_access") return this.#leave(cid);
      this.#known(cid, head);
      if (!this.#update(cid, (entry) => jump(entry, head))) this.#want(cid);
    } else if (topic.startsWith("user:")) {
      // Read positions may have moved on any channel.
      this.#forgetAll();
      this.#wantAll();
    }
  }

  /**
   * A channel's state that came with a call of the app. It counts only where nothing is known: later events
   * may have overtaken the answer.
   */
  seen(unread: Unread): void {
    if (!this.#channels.has(unread.cid)) this.#adopt(unread);
  }

  /** Whether there is something to load. */
  hasWants(): boolean {
    return this.#all === "wanted" || this.#nextWanted() !== undefined;
  }

  /** What to load next; it counts as being loaded from then on. */
  wants(): Want | undefined {
    if (this.#all === "wanted") {
      this.#all = new Set();
      return { type: "all" };
    }
    const cid = this.#nextWanted();
    if (cid === undefined) return undefined;
    this.#wanted.delete(cid);
    this.#loading.add(cid);
    return { type: "channel", cid };
  }

  loadedAll({ channels }: UnreadTotals): void {
    const left = this.#all;
    if (left === "in_vain") this.#all = "wanted";
    if (!(left instanceof Set)) return;
    this.#all = "no";
    for (const unread of channels) {
      // A channel that is being asked for by itself may be in doubt over something newer than this.
      if (!left.has(unread.cid) && !this.#channels.has(unread.cid)) this.#adopt(unread);
    }
  }

  /** The answer for a channel: its unread state, or none for one who is no member. */
  loaded(cid: string, unread: Unread | undefined): void {
    this.#loading.delete(cid);
    if (this.#again.delete(cid)) this.#wanted.add(cid);
    else if (!this.#waits(cid)) return;
    else if (unread) this.#adopt(unread);
    else this.#update(cid, (entry) => (entry.standing = "not_member"));
  }

  /** Nothing came; `gone` where asking again will bring nothing either. */
  loadFailed(want: Want, gone: boolean): void {
    if (want.type === "all") {
      this.#all = "wanted";
      return;
    }
    const { cid } = want;
    this.#loading.delete(cid);
    const again = this.#again.delete(cid);
    // Else something newer than the answer has told meanwhile.
    const waits = this.#waits(cid);
    if (again || (waits && !gone)) this.#wanted.add(cid);
    else if (waits) this.#leave(cid);
  }

  #waits(cid: string): boolean {
    return this.#channels.get(cid)?.standing === "unknown";
  }

  #nextWanted(): string | undefined {
    // A channel that is being loaded in vain waits for the end of that.
    return [...this.#wanted].find((cid) => !this.#loading.has(cid));
  }

  #forgetAll(): void {
    this.#channels.clear();
    this.#total = this.#unreadChannels = 0;
    this.#wanted.clear();
    this.#again = new Set(this.#loading);
    if (this.#all instanceof Set) this.#all = "in_vain";
  }

  #wantAll(): void {
    this.#all = this.#all === "no" || this.#all === "wanted" ? "wanted" : "in_vain";
  }

  #want(cid: string): void {
    (this.#loading.has(cid) ? this.#again : this.#wanted).add(cid);
  }

  #join(cid: string, seq: number): void {
    const entry = this.#channels.get(cid);
    if (typeof entry?.standing === "object" && entry.standing.asOf >= seq) return;
    if (!entry || entry.standing === "not_member") {
      this.#channels.set(cid, unknown(Math.max(entry?.head ?? 0, seq)));
    }
    this.#update(cid, (entry) => (entry.standing = "unknown"));
    this.#want(cid);
  }

  #leave(cid: string): void {
    // How far the channel was heard of is kept: leaving may be old news, told after a reset that already
    // jumped past it, and a snapshot from before that jump must not be taken for the present.
    this.#update(cid, (entry) => Object.assign(entry, unknown(entry.head), { standing: "not_member" }));
    this.#wanted.delete(cid);
    if (this.#all instanceof Set) this.#all.add(cid);
  }

  /** Takes the server's word on a channel, unless what is known is newer. */
  #adopt(snapshot: Unread): void {
    const { cid, head } = snapshot;
    this.#known(cid, head);
    if (this.#update(cid, (entry) => adopt(entry, snapshot))) this.#wanted.delete(cid);
    else this.#want(cid);
  }

  /** What an event means for counting. */
  #change(cid: string, seq: number, event: Event): Change | undefined {
    if (event.type === "message.new") return { seq, worth: worth(event.message, this.#me) };
    if (event.type !== "message.deleted") return undefined;
    const gone = event.message_seq;
    // A message that was deleted for good stands like this in its own place.
    if (gone === seq) return { seq, worth: { now: false, before: undefined } };
    return { seq, gone, worth: worthAt(this.#channels.get(cid)?.window ?? [], gone) };
  }

  #channelEvent(cid: string, seq: number, change: Change | undefined): void {
    if (!this.#channels.has(cid)) {
      // Nothing of it was unread at the last snapshot; only these two can matter.
      if (!change || (change.gone === undefined && !change.worth?.now)) return;
      this.#known(cid, seq - 1);
      this.#want(cid);
    }
    if (!this.#update(cid, (entry) => count(entry, seq, change))) this.#want(cid);
  }

  #known(cid: string, head: number): void {
    if (!this.#channels.has(cid)) this.#channels.set(cid, unknown(head));
  }

  /** Changes an entry, and the totals with it. */
  #update<T>(cid: string, change: (entry: Entry) => T): T | undefined {
    const entry = this.#channels.get(cid);
    if (!entry) return undefined;
    const before = unreadIn(entry);
    const result = change(entry);
    const after = unreadIn(entry);
    this.#total += after - before;
    this.#unreadChannels += Number(after > 0) - Number(before > 0);
    return result;
  }
}

const channelOf = (topic: string): string | undefined =>
  topic.startsWith("channel:") ? topic.slice("channel:".length) : undefined;

const unknown = (head: number): Entry => ({ standing: "unknown", window: [], windowFrom: head, head });

const unreadIn = ({ standing }: Entry): number => (typeof standing === "object" ? standing.unread : 0);

/** The rule. */
function worth(message: Message, me: string | undefined): Worth {
  if (message.user.id === me || message.silent || message.type === "system") return NOTHING;
  const deleted = message.type === "deleted" || Boolean(message.deleted_at);
  // What a deleted message was, a system message perhaps, is no longer told.
  return { now: !deleted, before: deleted ? undefined : true };
}

/** What the message at this seq is worth now; undefined if the window does not reach it. */
function worthAt(window: Change[], seq: number): Worth | undefined {
  const brought = window.find((change) => change.gone === undefined && change.seq === seq);
  return brought && (window.some((change) => change.gone === seq) ? NOTHING : brought.worth);
}

/** Takes a snapshot, and counts what came after it again. `false`: the window cannot tell. */
function adopt(entry: Entry, { last_read_seq: lastRead, unread_messages, head: asOf }: Unread): boolean {
  if (typeof entry.standing === "object" && asOf < entry.standing.asOf) return true;
  let unread = entry.windowFrom <= asOf ? unread_messages : undefined;
  for (const change of entry.window) {
    if (change.seq > asOf && unread !== undefined) unread = apply(unread, lastRead, asOf, change);
  }
  entry.standing = unread === undefined ? "unknown" : { lastRead, unread, asOf };
  return unread !== undefined;
}

/** Something up to `head` was missed. `false`: what is known is from before that. */
function jump(entry: Entry, head: number): boolean {
  let { standing } = entry;
  // Else `ready` told the present before it told of the reset.
  if (typeof standing === "object" && standing.asOf < head) standing = "unknown";
  Object.assign(entry, unknown(head), { standing });
  return standing !== "unknown";
}

/** Counts an event. `false`: what is known does not suffice. */
function count(entry: Entry, seq: number, change: Change | undefined): boolean {
  entry.head = Math.max(entry.head, seq);
  if (!change) return true;
  entry.window.push(change);
  if (entry.window.length > WINDOW_LEN) {
    entry.windowFrom = Math.max(entry.windowFrom, entry.window.shift()!.seq);
  }
  const { standing } = entry;
  if (typeof standing !== "object" || seq <= standing.asOf) return true;
  const unread = apply(standing.unread, standing.lastRead, standing.asOf, change);
  entry.standing = unread === undefined ? "unknown" : { ...standing, unread };
  return unread !== undefined;
}

/** The count after a change, on top of a snapshot as of some head; undefined where too little is known. */
function apply(unread: number, lastRead: number, asOf: number, change: Change): number | undefined {
  const { seq, gone, worth } = change;
  if (gone === undefined) return unread + Number(worth!.now && seq > lastRead);
  // 0 stands for a place that is no longer known.
  if (gone !== 0 && gone <= lastRead) return unread;
  if (unread === 0) return 0;
  const counted = gone <= asOf ? worth?.before : worth?.now;
  return counted === undefined ? undefined : Math.max(0, unread - Number(counted));
}
