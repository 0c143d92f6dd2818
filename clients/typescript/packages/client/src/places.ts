/**
 * Where the app stands in each topic, and how the server comes to know of it after a reconnect.
 *
 * Not here: the comparison of seqs (`cursor.ts`), and when something is said to the server (`connection.ts`).
 */

import { Cursor } from "./cursor.js";
import { kept } from "./observable.js";
import type { Topic, WatchTopic } from "./wire.js";

/** Cursors in one resume; further topics are served from its `as_of`. */
const CURSORS_MAX = 500;

interface Place {
  /** Absent while nothing of the topic is known: the first event that comes is taken for the next. */
  cursor?: Cursor;
  /**
   * How the topic is asked for after a reconnect: by right (the resume says from where), or by `watch`. Or
   * not any more: where it comes all the same (the user is a member, too), the cursor still tells what was
   * seen; the resume does not name it, because the server might take that for a wish.
   */
  askedFor: "in_resume" | "by_watch" | "not_at_all";
  /** The server was asked for what is missing; the hole is closed when the seq that this holds has come. */
  repair?: Cursor;
  /** Which delivery was the last of this topic: a resume names the latest. */
  delivered: number;
}

/** What to do with an event: asked `after` a seq, the server sends it again. */
export type Verdict = "deliver" | "drop" | { readonly after: number };

export class Places {
  readonly #places = new Map<Topic, Place>();
  #deliveries = 0;

  /** Offers an event to the topic's cursor. */
  offer(topic: Topic, seq: number): Verdict {
    const place = this.#at(topic);
    place.cursor ??= new Cursor(seq - 1);
    const offered = place.cursor.offer(seq);
    if (offered === "seen") return "drop";
    if (offered === "next") {
      place.delivered = ++this.#deliveries;
      if (place.repair && !place.cursor.isBehind(place.repair.last)) delete place.repair;
      return "deliver";
    }
    if (place.repair) {
      place.repair.raise(seq);
      return "drop";
    }
    place.repair = new Cursor(seq);
    return { after: place.cursor.last };
  }

  /** Takes the heads of a first connect for the places where topics without one begin. */
  beginAt(heads: ReadonlyMap<Topic, number>): void {
    for (const [topic, head] of heads) this.#at(topic).cursor ??= new Cursor(head);
  }

  /** The cursors of a resume: at most 500, of the topics with the latest deliveries. */
  forResume(): Record<Topic, number> {
    const cursors = this.#sorted()
      .sort(([, a], [, b]) => b.delivered - a.delivered)
      .flatMap(([topic, { cursor, askedFor }]) =>
        cursor && askedFor === "in_resume" ? [[topic, cursor.last] as const] : [],
      );
    return Object.fromEntries(cursors.slice(0, CURSORS_MAX));
  }

  /** The topics to be watched again after a reconnect. */
  watched(): WatchTopic[] {
    return this.#sorted()
      .filter(([, place]) => place.askedFor === "by_watch")
      .map(([topic, place]) => watchTopic(topic, place));
  }

  /** Watches a topic, and says how to tell the server. What the app has already is not asked for again. */
  watch(topic: Topic, after: number | null): WatchTopic {
    const place = this.#at(topic);
    place.askedFor = "by_watch";
    if (after !== null) (place.cursor ??= new Cursor(after)).raise(after);
    return watchTopic(topic, place);
  }

  unwatch(topic: Topic): void {
    const place = this.#places.get(topic);
    if (place) place.askedFor = "not_at_all";
  }

  /** Goes on after `head`. */
  reset(topic: Topic, head: number): void {
    const place = this.#at(topic);
    place.cursor = new Cursor(head);
    delete place.repair;
  }

  forget(topic: Topic): void {
    this.#places.delete(topic);
  }

  /**
   * The log is another one: no seq means anything any more. Answers which topics had one. Those that are
   * watched begin before its first event: were they watched from "now" on, a link that breaks before the
   * first event comes would lose the place.
   */
  forgetAll(): Topic[] {
    const had: Topic[] = [];
    for (const [topic, place] of this.#sorted()) {
      if (place.askedFor !== "by_watch") this.forget(topic);
      if (!place.cursor) continue;
      had.push(topic);
      place.cursor = new Cursor(0);
    }
    return had;
  }

  /** A new connection replays what is missing: what an old one was asked for will not come. */
  dropRepairs(): void {
    for (const place of this.#places.values()) delete place.repair;
  }

  #at(topic: Topic): Place {
    return kept(this.#places, topic, () => ({ askedFor: "in_resume", delivered: 0 }));
  }

  /** All places in the order of their topics, which is the same in every SDK. */
  #sorted(): [Topic, Place][] {
    return [...this.#places].sort(([a], [b]) => (sortKey(a) < sortKey(b) ? -1 : 1));
  }
}

function watchTopic(topic: Topic, { cursor }: Place): WatchTopic {
  return cursor ? { topic, after: cursor.last } : { topic };
}

const KINDS = ["channel:", "user:", "app:", ""];

/** A text that sorts as topics do: channels (by type, then by id), users, apps, others. */
function sortKey(topic: Topic): string {
  const kind = KINDS.findIndex((prefix) => topic.startsWith(prefix));
  // A space sorts before every character of a type or an id, so that `team:x` comes before `team2:x`.
  return kind + (kind === 0 ? topic.replaceAll(":", " ") : topic);
}
