/**
 * A consumer's place in a topic: the seq of the last event that it has. The only code that compares seqs.
 *
 * Not here: which topics there are, and what to ask for when something is missing (`places.ts`).
 */

/** What an offered event is to a consumer: the `next` to take, `seen` before, or one after a `gap`. */
export type Offer = "next" | "seen" | "gap";

/**
 * ```ts
 * const cursor = new Cursor(4);
 * cursor.offer(5); // "next", and the cursor stands at 5
 * cursor.offer(5); // "seen"
 * cursor.offer(7); // "gap": load what comes after `cursor.last`
 * ```
 */
export class Cursor {
  /** `last`: the seq of the last event that the consumer has. */
  constructor(public last: number) {}

  /** Offers the event with this seq, and moves on if it is the next one. */
  offer(seq: number): Offer {
    if (seq <= this.last) return "seen";
    if (seq > this.last + 1) return "gap";
    this.last = seq;
    return "next";
  }

  /** Whether the log, whose last seq is `head`, has more than the consumer. */
  isBehind(head: number): boolean {
    return this.last < head;
  }

  /** Moves on to this seq, never back. */
  raise(seq: number): void {
    this.last = Math.max(this.last, seq);
  }
}
