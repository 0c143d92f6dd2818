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

import { cidOf } from "./ids.js";
import { kept } from "./observable.js";
import type { Event, EventFrame, Message, Ready, ResetReason, Unread } from "./wire.js";

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

/** What to ask for: all channels, by `GET /v1/unread`. Else it is one channel's name. */
export const ALL = "";

/** Where a channel stands. */
interface Known {
  lastRead: number;
  unread: number;
  /** The head of the snapshot that this is counted from. */
  asOf: number;
}

interface Entry {
  /** Absent while it is asked for, and where the user is no member. */
  known?: Known | undefined;
  /** The user is no member: the channel is watched, and nothing is unread. */
  away?: boolean | undefined;
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
  #wanted = new Set<string>();
  #loading = new Set<string>();
  /** Loads under way whose answer will be too old. */
  #again = new Set<string>();
  /** Channels that the user left since everything was last asked for. */
  #left = new Set<string>();

  /** Forgets everything, and counts for this user from now on. */
  clear(me?: string): void {
    this.#me = me;
    this.#epoch = undefined;
    this.#loading.clear();
    this.#forgetAll();
  }

  counts(): UnreadCounts {
    const unread = [...this.#channels.values()].map(({ known }) => known?.unread ?? 0);
    return {
      totalUnreadCount: unread.reduce((total, count) => total + count, 0),
      unreadChannels: unread.filter(Boolean).length,
      settled: !this.#wanted.size && !this.#loading.size,
    };
  }

  channel(cid: string): Unread | undefined {
    const { known, head = 0 } = this.#channels.get(cid) ?? {};
    if (!known) return undefined;
    const { lastRead, unread, asOf } = known;
    return { cid, last_read_seq: lastRead, unread_messages: unread, head: Math.max(head, asOf) };
  }

  ready({ epoch, resumed, channels = [], me }: Ready): void {
    const beginsAnew = this.#epoch !== epoch || resumed === "fresh";
    if (beginsAnew) this.#forgetAll();
    this.#epoch = epoch;
    for (const unread of channels) this.#adopt(unread);
    // `ready` carries the thirty latest channels only.
    if (beginsAnew && this.counts().totalUnreadCount !== me.total_unread_count) this.#want(ALL);
  }

  event({ topic, seq, event }: EventFrame): void {
    const cid = cidOf(topic);
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
    const cid = cidOf(topic);
    if (cid !== undefined) {
      if (reason === "no_access") return this.#leave(cid);
      const { known, away } = this.#entry(cid, head);
      // Else `ready` told the present before it told of the reset.
      const kept = known && known.asOf >= head ? known : undefined;
      this.#channels.set(cid, { ...unknown(head), known: kept, away });
      if (!kept && !away) this.#want(cid);
    } else if (topic.startsWith("user:")) {
      // Read positions may have moved on any channel.
      this.#forgetAll();
      this.#want(ALL);
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
    return this.#wanted.size > 0;
  }

  /** What to load next; it counts as being loaded from then on. */
  wants(): string | undefined {
    const want = this.#wanted.has(ALL) ? ALL : [...this.#wanted][0];
    if (want === undefined) return undefined;
    if (want === ALL) this.#left.clear();
    this.#wanted.delete(want);
    this.#loading.add(want);
    return want;
  }

  /** The answer: of the wanted channel its unread state, or none for one who is no member. */
  loaded(want: string, answer: readonly Unread[]): void {
    const current = this.#loading.delete(want);
    if (this.#again.delete(want)) {
      this.#wanted.add(want);
    } else if (current && want === ALL) {
      // A channel that is being asked for by itself may be in doubt over something newer than this.
      for (const unread of answer) if (!this.#left.has(unread.cid)) this.seen(unread);
    } else if (this.#waits(want)) {
      if (answer[0]) this.#adopt(answer[0]);
      else this.#entry(want, 0).away = true;
    }
  }

  /** Nothing came; `gone` where asking again will bring nothing either. */
  loadFailed(want: string, gone: boolean): void {
    this.#loading.delete(want);
    const again = this.#again.delete(want);
    // Else something newer than the answer has told meanwhile.
    const waits = this.#waits(want);
    if (again || want === ALL || (waits && !gone)) this.#wanted.add(want);
    else if (waits) this.#leave(want);
  }

  #waits(cid: string): boolean {
    const entry = this.#channels.get(cid);
    return entry !== undefined && !entry.known && !entry.away;
  }

  #forgetAll(): void {
    this.#channels.clear();
    this.#wanted.clear();
    this.#again = new Set(this.#loading);
  }

  #want(want: string): void {
    (this.#loading.has(want) ? this.#again : this.#wanted).add(want);
  }

  #entry(cid: string, head: number): Entry {
    return kept(this.#channels, cid, () => unknown(head));
  }

  #join(cid: string, seq: number): void {
    const { known, away, head } = this.#entry(cid, seq);
    if (known && known.asOf >= seq) return;
    if (away) this.#channels.set(cid, unknown(Math.max(head, seq)));
    this.#entry(cid, seq).known = undefined;
    this.#want(cid);
  }

  #leave(cid: string): void {
    // How far the channel was heard of is kept: leaving may be old news, told after a reset that already
    // jumped past it, and a snapshot from before that jump must not be taken for the present.
    const entry = this.#channels.get(cid);
    if (entry) this.#channels.set(cid, { ...unknown(entry.head), away: true });
    this.#wanted.delete(cid);
    this.#left.add(cid);
  }

  /** Takes the server's word on a channel, unless what is known is newer; counts what came after it again. */
  #adopt({ cid, head: asOf, last_read_seq: lastRead, unread_messages: unread }: Unread): void {
    const entry = this.#entry(cid, asOf);
    if (!entry.known || asOf >= entry.known.asOf) {
      const later = entry.window.filter(({ seq }) => seq > asOf);
      // Else the window does not reach back far enough.
      const start = entry.windowFrom <= asOf ? { lastRead, unread, asOf } : undefined;
      entry.known = later.reduce<Known | undefined>((known, change) => known && apply(known, change), start);
      entry.away = false;
    }
    if (entry.known) this.#wanted.delete(cid);
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
      this.#want(cid);
    }
    const entry = this.#entry(cid, seq - 1);
    entry.head = Math.max(entry.head, seq);
    if (!change) return;
    const { known, window } = entry;
    window.push(change);
    if (window.length > WINDOW_LEN) entry.windowFrom = Math.max(entry.windowFrom, window.shift()!.seq);
    if (!known || seq <= known.asOf) return;
    entry.known = apply(known, change);
    if (!entry.known) this.#want(cid);
  }
}

const unknown = (head: number): Entry => ({ window: [], windowFrom: head, head });

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

/** Where a channel stands after a change; undefined where too little is known. */
function apply(known: Known, { seq, gone, worth }: Change): Known | undefined {
  const { lastRead, unread, asOf } = known;
  if (gone === undefined) return { ...known, unread: unread + Number(worth!.now && seq > lastRead) };
  // 0 stands for a place that is no longer known.
  if ((gone !== 0 && gone <= lastRead) || unread === 0) return known;
  const counted = gone <= asOf ? worth?.before : worth?.now;
  return counted === undefined ? undefined : { ...known, unread: Math.max(0, unread - Number(counted)) };
}
