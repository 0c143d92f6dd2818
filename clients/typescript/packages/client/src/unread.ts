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

interface Entry {
  /**
   * Where the user stands, counted from the snapshot of `known.head`. Absent while it is asked for, and where the user
   * is no member.
   */
  known?: Unread | undefined;
  /** The user is no member: the channel is watched, and nothing is unread. */
  away?: boolean | undefined;
  window: Change[];
  /** All changes above this seq, up to `head`, are in the window. */
  windowFrom: number;
  /** The last event. */
  head: number;
}

/** Whether a message counts, if it is not read. `deleted`: it does not, and what it was before is not told. */
type Worth = boolean | "deleted";

interface Change {
  seq: number;
  /** The place of the message that is gone; undefined where `seq` brings a new one. */
  gone?: number;
  /** Of the new message, or of the gone one until now; undefined where that is older than the window. */
  worth: Worth | undefined;
}

/** The unread state of all channels of one user. */
export class Tally {
  #me: string | undefined;
  #epoch: string | undefined;
  #channels = new Map<string, Entry>();
  #wanted = new Set<string>();
  /** What is being loaded, and whether the answer will be too old. */
  #loading = new Map<string, boolean>();
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
    const unread = [...this.#channels.values()].map(({ known }) => known?.unread_messages ?? 0);
    return {
      totalUnreadCount: unread.reduce((total, count) => total + count, 0),
      unreadChannels: unread.filter(Boolean).length,
      settled: !this.#wanted.size && !this.#loading.size,
    };
  }

  channel(cid: string): Unread | undefined {
    const { known, head = 0 } = this.#channels.get(cid) ?? {};
    return known && { ...known, head: Math.max(head, known.head) };
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
      const kept = known && known.head >= head ? known : undefined;
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
    this.#loading.set(want, false);
    return want;
  }

  /** The answer: of the wanted channel its unread state, or none for one who is no member. */
  loaded(want: string, answer: readonly Unread[]): void {
    const isOld = this.#loading.get(want);
    this.#loading.delete(want);
    if (isOld) {
      this.#wanted.add(want);
    } else if (isOld === false && want === ALL) {
      // A channel that is being asked for by itself may be in doubt over something newer than this.
      for (const unread of answer) if (!this.#left.has(unread.cid)) this.seen(unread);
    } else if (this.#waits(want)) {
      if (answer[0]) this.#adopt(answer[0]);
      else this.#leave(want);
    }
  }

  /** Nothing came, for now. */
  loadFailed(want: string): void {
    const isOld = this.#loading.get(want);
    this.#loading.delete(want);
    // Else something newer than the answer has told meanwhile.
    if (isOld || want === ALL || this.#waits(want)) this.#wanted.add(want);
  }

  #waits(cid: string): boolean {
    const entry = this.#channels.get(cid);
    return entry !== undefined && !entry.known && !entry.away;
  }

  #forgetAll(): void {
    this.#channels.clear();
    this.#wanted.clear();
    for (const want of this.#loading.keys()) this.#loading.set(want, true);
  }

  #want(want: string): void {
    if (this.#loading.has(want)) this.#loading.set(want, true);
    else this.#wanted.add(want);
  }

  #entry(cid: string, head: number): Entry {
    return kept(this.#channels, cid, () => unknown(head));
  }

  #join(cid: string, seq: number): void {
    const { known, head } = this.#entry(cid, seq);
    if (known && known.head >= seq) return;
    this.#channels.set(cid, unknown(Math.max(head, seq)));
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
  #adopt({ cid, head, last_read_seq, unread_messages }: Unread): void {
    const entry = this.#entry(cid, head);
    if (!entry.known || head >= entry.known.head) {
      const later = entry.window.filter(({ seq }) => seq > head);
      // Else the window does not reach back far enough.
      const start = entry.windowFrom <= head ? { cid, head, last_read_seq, unread_messages } : undefined;
      entry.known = later.reduce<Unread | undefined>((known, change) => known && apply(known, change), start);
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
    if (gone === seq) return { seq, worth: "deleted" };
    return { seq, gone, worth: worthAt(this.#channels.get(cid)?.window ?? [], gone) };
  }

  #channelEvent(cid: string, seq: number, change: Change | undefined): void {
    if (!this.#channels.has(cid)) {
      // Nothing of it was unread at the last snapshot; only these two can matter.
      if (!change || (change.gone === undefined && change.worth !== true)) return;
      this.#want(cid);
    }
    const entry = this.#entry(cid, seq - 1);
    entry.head = Math.max(entry.head, seq);
    if (!change) return;
    const { known, window } = entry;
    window.push(change);
    if (window.length > WINDOW_LEN) entry.windowFrom = Math.max(entry.windowFrom, window.shift()!.seq);
    if (!known || seq <= known.head) return;
    entry.known = apply(known, change);
    if (!entry.known) this.#want(cid);
  }
}

const unknown = (head: number): Entry => ({ window: [], windowFrom: head, head });

/** The rule. */
function worth(message: Message, me: string | undefined): Worth {
  if (message.user.id === me || message.silent || message.type === "system") return false;
  return message.type === "deleted" || message.deleted_at ? "deleted" : true;
}

/** What the message at this seq is worth now; undefined if the window does not reach it. */
function worthAt(window: Change[], seq: number): Change["worth"] {
  const brought = window.find((change) => change.gone === undefined && change.seq === seq);
  return brought && (window.some((change) => change.gone === seq) ? false : brought.worth);
}

/** Where a channel stands after a change; undefined where too little is known. */
function apply(known: Unread, { seq, gone, worth }: Change): Unread | undefined {
  const { last_read_seq, unread_messages, head } = known;
  if (gone === undefined) {
    return { ...known, unread_messages: unread_messages + Number(worth === true && seq > last_read_seq) };
  }
  // 0 stands for a place that is no longer known.
  if ((gone !== 0 && gone <= last_read_seq) || unread_messages === 0) return known;
  const counted = worth !== "deleted" ? worth : gone <= head ? undefined : false;
  return counted === undefined
    ? undefined
    : { ...known, unread_messages: Math.max(0, unread_messages - Number(counted)) };
}
