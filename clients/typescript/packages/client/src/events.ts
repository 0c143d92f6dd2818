// What a client tells its app, as it happens: by listeners and by async iteration.
//
// Not here: what is done with an event. State that follows from events is kept elsewhere, and lost nothing
// where a reader was too slow.

import type { ParlourError } from "./errors.js";
import { call } from "./observable.js";
import type { ConnectionStatus, FellBack } from "./status.js";
import type { Event, Message, ResetReason, Resumed, Signal } from "./wire.js";

/** A durable event with its place: each of a topic exactly once, in order, without a hole. */
export type DurableEvent = Event & { topic: string; seq: number };

/** What happens in the client itself. */
export type LocalEvent =
  /** The connection's state changed; numbers that only count on (an attempt, a time) are told, too. */
  | { type: "connection.changed"; from: ConnectionStatus; to: ConnectionStatus }
  /** The connection is back after a loss. */
  | { type: "connection.recovered"; resumed: Resumed; downtimeMs: number }
  /** Nothing gets through by one transport: the next is tried. */
  | ({ type: "connection.fell_back" } & FellBack)
  /** The storage could not be read or written. The client goes on without what it has there. */
  | { type: "storage.failed"; message: string }
  /** What was missed of this topic cannot be replayed: load what you keep of it yourself. */
  | { type: "reset"; topic: string; reason: ResetReason; head: number }
  | { type: "outbox.changed"; cid: string; id: string; status: "pending" }
  | { type: "outbox.changed"; cid: string; id: string; status: "sent"; message: Message }
  | { type: "outbox.changed"; cid: string; id: string; status: "failed"; error: ParlourError }
  /** The server refused something that was sent over the connection. */
  | { type: "refused"; error: ParlourError; topic?: string | undefined }
  /** The server paused a feature for a while; the connection stays. */
  | { type: "throttled"; feature: string; retryAfterMs: number }
  /** This reader took its events too slowly, and this many were left out here. Load what you keep. */
  | { type: "lagged"; missed: number };

/** Everything that a client tells. */
export type ClientEvent = DurableEvent | Signal | LocalEvent;

/** The events of one type; `"all"` is every event. */
export type ClientEventOf<K> = K extends "all" ? ClientEvent : Extract<ClientEvent, { type: K }>;
export type ClientEventType = ClientEvent["type"] | "all";

/** Those who listen to a client. */
export class Listeners {
  #listeners = new Set<(event: ClientEvent) => void>();

  on<K extends ClientEventType>(type: K, listener: (event: ClientEventOf<K>) => void): () => void {
    const own = (event: ClientEvent) => {
      if (type === "all" || type === event.type) listener(event as ClientEventOf<K>);
    };
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  tell(event: ClientEvent): void {
    for (const listener of [...this.#listeners]) call(listener, event);
  }
}

/** Events that wait for one reader, at most. */
const QUEUE_LEN_MAX = 4_096;

/**
 * The events that `subscribe` brings from now on, for `for await`. Ends when `signal` aborts or the loop is left.
 *
 * A reader that stalls would hold up nothing but its own queue: when that is full, what does not fit is left
 * out and the reader finds `lagged` in that place.
 */
export function iterate(
  subscribe: (listener: (event: ClientEvent) => void) => () => void,
  signal?: AbortSignal,
): AsyncGenerator<ClientEvent, void, void> {
  const queue: ClientEvent[] = [];
  let wake = () => {};
  const off = subscribe((event) => {
    const last = queue.at(-1);
    // Once something is missing, nothing is added before the reader knows: order before completeness.
    if (last?.type === "lagged") last.missed++;
    else queue.push(queue.length < QUEUE_LEN_MAX ? event : { type: "lagged", missed: 1 });
    wake();
  });
  const aborted = () => {
    off();
    wake();
  };
  signal?.addEventListener("abort", aborted);
  if (signal?.aborted) aborted();
  return (async function* () {
    try {
      while (!signal?.aborted) {
        const event = queue.shift();
        if (event) yield event;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      signal?.removeEventListener("abort", aborted);
      off();
    }
  })();
}
