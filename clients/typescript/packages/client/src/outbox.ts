// Messages on their way: kept until the server has acknowledged them, or refused them for good.
//
// Each has an id before it is first sent, so that sending it again after an unknown outcome is sending it
// once. Within a channel they go one after the other; a refused one makes room for the next. In memory: what
// is not sent when the page ends is lost.

import { ParlourError, parlourError } from "./errors.js";
import { Source, until } from "./observable.js";
import type { Message, MessageDraft } from "./wire.js";

/** Messages that wait to be sent, at most; beyond it `outbox_full`. */
export const OUTBOX_LEN_MAX = 500;
/** Failed messages that are kept to be shown; beyond it the oldest is forgotten. */
const FAILED_LEN_MAX = 100;
/** When a message could not be sent for this long, it fails. */
const EXPIRY_MS = 48 * 60 * 60 * 1_000;
/** The waits between two attempts: uniform up to min(20 s, 0.5 s · 2ⁿ), as for connections. */
const BACKOFF_BASE_MS = 500;
const BACKOFF_CAP_MS = 20_000;
/** When the connection comes back, waiting messages are sent after up to this. */
const NUDGE_SPREAD_MS = 300;

/** A message of the outbox. */
export interface OutboxEntry {
  readonly cid: string;
  readonly id: string;
  readonly draft: MessageDraft;
  /** When it was queued, in milliseconds since 1970. */
  readonly queuedAt: number;
  /** Why it was refused for good; absent while it waits or is being sent. */
  readonly error?: ParlourError;
}

interface Reply {
  resolve(message: Message): void;
  reject(error: ParlourError): void;
}

/** How the outbox reaches the server. */
export interface Sender {
  send(cid: string, draft: MessageDraft): Promise<Message>;
  /** Counts the times that the connection came up. */
  recoveries: Source<number>;
}

/** One user's outbox. It outlives the user's time in the client, and waits for its return. */
export class Outbox {
  /** What waits and what failed, in the order of queueing. */
  readonly entries = new Source<readonly OutboxEntry[]>([]);
  /** Told of a message that the server has stored, before it leaves `entries`. */
  onSent: (message: Message) => void = () => {};
  /** Told of every change of an entry. */
  onChanged: (entry: OutboxEntry) => void = () => {};
  #replies = new Map<string, Reply>();
  #running = new Set<string>();
  #sender: Sender | undefined;

  /** Begins to send what waits. */
  attach(sender: Sender): void {
    this.#sender = sender;
    for (const { cid } of this.entries.get()) void this.#run(cid);
  }

  detach(): void {
    this.#sender = undefined;
  }

  /** Puts a message in; the promise is of its outcome. */
  queue(cid: string, draft: MessageDraft & { id: string }): Promise<Message> {
    const waiting = this.entries.get().filter((entry) => !entry.error).length;
    if (waiting >= OUTBOX_LEN_MAX) {
      return Promise.reject(parlourError("outbox_full", `${OUTBOX_LEN_MAX} messages wait already`));
    }
    const sent = new Promise<Message>((resolve, reject) => this.#replies.set(draft.id, { resolve, reject }));
    // Whoever does not look at the promise sees the failed entry: that is no unhandled error.
    sent.catch(() => {});
    this.#put({ cid, id: draft.id, draft, queuedAt: Date.now() });
    return sent;
  }

  /** Forgets a message; one that is just being sent may still arrive. `false`: there is none. */
  discard(id: string): boolean {
    const found = this.#take(id) !== undefined;
    this.#reply(id)?.reject(parlourError("cancelled", "the message was discarded"));
    return found;
  }

  /** Puts a failed message at the end of the queue again. `false`: there is none. */
  retry(id: string): boolean {
    const entry = this.entries.get().find((entry) => entry.id === id && entry.error);
    if (!entry) return false;
    const { error: _, ...rest } = entry;
    this.#take(id);
    this.#put({ ...rest, queuedAt: Date.now() });
    return true;
  }

  #put(entry: OutboxEntry): void {
    this.entries.set([...this.entries.get(), entry]);
    this.onChanged(entry);
    void this.#run(entry.cid);
  }

  #take(id: string): OutboxEntry | undefined {
    const entries = this.entries.get();
    const entry = entries.find((entry) => entry.id === id);
    if (entry) this.entries.set(entries.filter((other) => other !== entry));
    return entry;
  }

  #reply(id: string): Reply | undefined {
    const reply = this.#replies.get(id);
    this.#replies.delete(id);
    return reply;
  }

  /** Sends what waits in one channel, in order, until nothing does. */
  async #run(cid: string): Promise<void> {
    if (this.#running.has(cid)) return;
    this.#running.add(cid);
    // What is queued by a listener of the first step is part of this run, not of another one.
    await Promise.resolve();
    for (let attempt = 0; this.#sender; ) {
      const sender = this.#sender;
      const entry = this.entries.get().find((entry) => entry.cid === cid && !entry.error);
      if (!entry) break;
      try {
        const message = await sender.send(cid, entry.draft);
        attempt = 0;
        this.#sent(message);
      } catch (thrown) {
        const error = thrown as ParlourError;
        // The user left meanwhile: the message waits for its return.
        if (this.#sender !== sender) break;
        const expired = Date.now() - entry.queuedAt >= EXPIRY_MS;
        if (expired || !mayChange(error)) {
          attempt = 0;
          this.#failed(entry, error);
        } else {
          await pause(attempt++, error, sender.recoveries);
        }
      }
    }
    this.#running.delete(cid);
    // Another user's time may have begun while this run was ending.
    if (this.#sender && this.entries.get().some((entry) => entry.cid === cid && !entry.error)) {
      void this.#run(cid);
    }
  }

  #sent(message: Message): void {
    this.onSent(message);
    this.#take(message.id);
    this.#reply(message.id)?.resolve(message);
  }

  #failed(entry: OutboxEntry, error: ParlourError): void {
    // It may have been discarded while it was under way.
    if (!this.#take(entry.id)) return;
    const failed = { ...entry, error };
    const entries = [...this.entries.get(), failed];
    const surplus = entries.filter((entry) => entry.error).length - FAILED_LEN_MAX;
    const oldest = surplus > 0 ? entries.find((entry) => entry.error) : undefined;
    this.entries.set(entries.filter((entry) => entry !== oldest));
    this.onChanged(failed);
    this.#reply(entry.id)?.reject(error);
  }
}

/** Whether the same request, sent again, may fare otherwise. */
function mayChange({ status }: ParlourError): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/** Waits as the server asked, or with backoff; in the latter case no longer than until the connection is back. */
async function pause(attempt: number, error: ParlourError, recoveries: Source<number>): Promise<void> {
  const backoff = Math.random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** attempt);
  if (error.retryAfter) return sleep(error.retryAfter * 1_000 + backoff);
  const ended = new AbortController();
  const now = recoveries.get();
  const back = until(recoveries, (count): count is number => count !== now, ended.signal);
  await Promise.race([sleep(backoff), back.then(() => sleep(Math.random() * NUDGE_SPREAD_MS), () => {})]);
  ended.abort();
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
