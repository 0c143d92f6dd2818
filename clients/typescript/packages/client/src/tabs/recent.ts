// The latest events that a tab heard: from these, tabs that were away get what they missed.

import { Cursor } from "../cursor.js";
import type { Epoch, EventFrame, Ready, Resume, Timestamp, Topic } from "../wire.js";

/** Events that are remembered. */
const LEN_MAX = 1_000;
/** Of topics that a resume does not name, what happened up to this long before its time is sent again. */
const EARLIER_MS = 10_000;

export class Recent {
  #epoch: Epoch | undefined;
  /** Since when all is heard that comes without being watched, if that is known. */
  #since: number | undefined;
  /** By topic, the last seq that was heard; those in `#events` lead up to it without a hole. */
  readonly #heads = new Map<Topic, Cursor>();
  #events: EventFrame[] = [];

  /** A connection begins, from nothing or over a hole. `isFirstHand`: the server itself says where. */
  begins({ epoch, as_of, heads }: Ready, isFirstHand: boolean): void {
    this.#epoch = epoch;
    this.#events = [];
    this.#heads.clear();
    for (const [topic, head] of Object.entries(heads ?? {})) this.#heads.set(topic, new Cursor(head));
    // What a tab says of the time is of the last ping, and it may have heard more since.
    this.#since = isFirstHand ? Date.parse(as_of) : undefined;
  }

  /** A connection goes on from here. `isOwn`: that is where this tab stands, or earlier. */
  goesOn({ epoch, cursors }: Resume, isOwn: boolean): void {
    if (!isOwn || this.#epoch !== epoch) this.#since = undefined;
    this.#epoch = epoch;
    for (const [topic, seq] of Object.entries(cursors)) {
      if (new Cursor(this.head(topic) ?? -1).isBehind(seq)) this.#forget(topic, seq);
    }
  }

  /** Something was missed that nobody sends again. */
  lose(): void {
    this.#since = undefined;
  }

  /** All is heard that happened until this time. */
  ping(asOf: Timestamp): void {
    this.#since ??= Date.parse(asOf);
  }

  heard(event: EventFrame): void {
    const { topic, seq } = event;
    const head = this.#heads.get(topic) ?? new Cursor(seq - 1);
    this.#heads.set(topic, head);
    const offered = head.offer(seq);
    if (offered === "seen") return;
    if (offered === "gap") this.#forget(topic, seq);
    this.#events.push(event);
    if (this.#events.length <= LEN_MAX) return;
    const oldest = timeOf(this.#events.shift()!);
    if (this.#since !== undefined) this.#since = Math.max(this.#since, oldest + 1);
  }

  /** The server has begun a topic anew; what came before, there and perhaps elsewhere, was missed. */
  reset(topic: Topic, head: number): void {
    this.#forget(topic, head);
    this.lose();
  }

  /** Up to where a topic was heard. */
  head(topic: Topic): number | undefined {
    return this.#heads.get(topic)?.last;
  }

  /** What a topic had after this seq; nothing where it cannot be told. */
  after(topic: Topic, seq: number): EventFrame[] | undefined {
    const later = this.#events.filter((event) => event.topic === topic && event.seq > seq);
    const isWhole = later[0] ? later[0].seq === seq + 1 : !new Cursor(seq).isBehind(this.head(topic) ?? seq);
    return isWhole ? later : undefined;
  }

  /**
   * What who comes with this resume has missed, nothing where it cannot be told. `isByRight`: topics that come without
   * being named.
   */
  missed({ cursors, as_of }: Resume, isByRight: (topic: Topic) => boolean): EventFrame[] | undefined {
    const from = Date.parse(as_of);
    if (this.#since === undefined || from < this.#since) return undefined;
    const unnamed = this.#events.filter(
      (event) => !Object.hasOwn(cursors, event.topic) && isByRight(event.topic) && timeOf(event) >= from - EARLIER_MS,
    );
    const named = Object.entries(cursors).map(([topic, seq]) => this.after(topic, seq));
    return named.includes(undefined) ? undefined : [...unnamed, ...named.flatMap((events) => events ?? [])];
  }

  #forget(topic: Topic, head: number): void {
    this.#events = this.#events.filter((event) => event.topic !== topic);
    this.#heads.set(topic, new Cursor(head));
  }
}

const timeOf = ({ event }: EventFrame) => Date.parse(event.created_at);

/** Where a connection has to begin so that nobody misses anything who would begin at one of these. */
export function earliest(resumes: readonly Resume[]): Resume | undefined {
  const [first, ...others] = resumes;
  return first && others.reduce(earlier, first);
}

function earlier(a: Resume, b: Resume): Resume {
  // What one of them does not name is served from its time.
  const cursors = Object.entries(a.cursors).flatMap(([topic, seq]) => {
    const other = b.cursors[topic];
    return other === undefined ? [] : [[topic, Math.min(seq, other)] as const];
  });
  const as_of = Date.parse(a.as_of) < Date.parse(b.as_of) ? a.as_of : b.as_of;
  return { epoch: a.epoch, as_of, cursors: Object.fromEntries(cursors) };
}

/** Whether who would begin at `resume` misses nothing of a connection that begins at `begin`. */
export function covers(begin: Resume, resume: Resume): boolean {
  const { as_of, cursors } = earlier(begin, resume);
  return as_of === begin.as_of && Object.entries(begin.cursors).every(([topic, seq]) => cursors[topic] === seq);
}
