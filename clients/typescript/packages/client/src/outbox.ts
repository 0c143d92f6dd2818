// Messages on their way: kept until the server has acknowledged them, or refused them for good.
//
// Each has an id before it is first sent, so that sending it again after an unknown outcome is sending it
// once. Within a channel they go one after the other; a refused one makes room for the next. In memory; what
// outlives the page is kept by keeper.ts, where the client has a storage.

import { retryAfterMs } from "./answers.js";
import type { Ask } from "./calls.js";
import { sendMessage } from "./endpoints.js";
import { ParlourError, parlourError } from "./errors.js";
import type { ClientEventOf } from "./events.js";
import { kept, Source, until } from "./observable.js";
import type { ErrorBody, Message, MessageDraft, Ready } from "./wire.js";

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

type OutboxEvent = ClientEventOf<"outbox.changed">;

/** A message of the outbox. */
export interface OutboxEntry {
  readonly cid: string;
  readonly id: string;
  readonly draft: MessageDraft;
  /** When it was queued, in milliseconds since 1970. */
  readonly queuedAt: number;
  /** Why it was refused for good; absent while it waits or is being sent. */
  readonly error?: ParlourError | undefined;
  /** Answers whoever queued it; once. */
  readonly resolve: (message: Message) => void;
  readonly reject: (error: ParlourError) => void;
}

/** A message as it outlives the page. */
export type KeptMessage = Pick<OutboxEntry, "cid" | "id" | "draft" | "queuedAt"> & { error?: ErrorBody };

/** How the outbox reaches the server. */
export interface Sender {
  ask: Ask;
  /** What the server says when the connection comes up: each time another object. */
  ready: Source<Ready | undefined>;
  /** The server wants fewer messages, and none for so long. */
  throttled: (forMs: number) => void;
}

const outboxes = new Map<string, Outbox>();

/** A user's outbox, by whatever names her. */
export const outboxOf = (key: string): Outbox => kept(outboxes, key, () => new Outbox());

/** One user's outbox. It outlives the user's time in the client, and waits for its return. */
export class Outbox {
  /** What waits and what failed, in the order of queueing. */
  readonly entries = new Source<readonly OutboxEntry[]>([]);
  /** Told of every change of an entry; of a message that the server has stored, before it leaves `entries`. */
  changed: (event: OutboxEvent) => void = () => {};
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

  /** What is to outlive the page. */
  kept(): KeptMessage[] {
    return this.entries.get().map(({ cid, id, draft, queuedAt, error }) => {
      return { cid, id, draft, queuedAt, ...(error && { error: bodyOf(error) }) };
    });
  }

  /** Puts in what an earlier page has kept, or a tab that is gone has left, before what has come since. */
  restore(messages: readonly KeptMessage[]): void {
    const entries = this.entries.get();
    const known = new Set(entries.map(({ id }) => id));
    const fresh = messages.filter(({ id, queuedAt }) => !known.has(id) && Date.now() - queuedAt < EXPIRY_MS);
    // Whoever has queued them is gone.
    const nobody = { resolve: () => {}, reject: () => {} };
    const restored = fresh.map(({ error, ...message }) => {
      return { ...message, ...nobody, ...(error && { error: new ParlourError(error) }) };
    });
    if (!restored.length) return;
    this.entries.set([...restored, ...entries]);
    for (const { cid } of restored) void this.#run(cid);
  }

  /** Forgets everything; answers how many messages were not sent. */
  erase(): number {
    const entries = this.entries.get();
    for (const { id } of entries) this.discard(id);
    return entries.length;
  }

  /** Puts a message in; the promise is of its outcome. */
  queue(cid: string, draft: MessageDraft & { id: string }): Promise<Message> {
    const sent = new Promise<Message>((resolve, reject) => {
      const { length } = this.entries.get().filter((entry) => !entry.error);
      if (length >= OUTBOX_LEN_MAX) reject(parlourError("outbox_full", `${length} messages wait already`));
      else this.#put({ cid, id: draft.id, draft, queuedAt: Date.now(), resolve, reject });
    });
    // Whoever does not look at the promise sees the failed entry: that is no unhandled error.
    sent.catch(() => {});
    return sent;
  }

  /** Forgets a message; one that is just being sent may still arrive. `false`: there is none. */
  discard(id: string): boolean {
    const entry = this.#take(id);
    entry?.reject(parlourError("cancelled", "the message was discarded"));
    return entry !== undefined;
  }

  /** Puts a failed message at the end of the queue again. `false`: there is none. */
  retry(id: string): boolean {
    const entry = this.entries.get().find((entry) => entry.id === id);
    if (!entry?.error) return false;
    this.#take(id);
    this.#put({ ...entry, error: undefined, queuedAt: Date.now() });
    return true;
  }

  #put(entry: OutboxEntry): void {
    const { cid, id, error } = entry;
    this.entries.set([...this.entries.get(), entry]);
    const news = error ? ({ status: "failed", error } as const) : ({ status: "pending" } as const);
    this.changed({ type: "outbox.changed", cid, id, ...news });
    void this.#run(cid);
  }

  #take(id: string): OutboxEntry | undefined {
    const entries = this.entries.get();
    const entry = entries.find((entry) => entry.id === id);
    if (entry) this.entries.set(entries.filter((other) => other !== entry));
    return entry;
  }

  /** Sends what waits in one channel, in order, until nothing does. */
  async #run(cid: string): Promise<void> {
    if (this.#running.has(cid)) return;
    this.#running.add(cid);
    // What is queued by a listener of the first step is part of this run, not of another one.
    await Promise.resolve();
    for (let attempt = 0; ; ) {
      const sender = this.#sender;
      const entry = this.entries.get().find((entry) => entry.cid === cid && !entry.error);
      if (!sender || !entry) break;
      const { id, draft, queuedAt } = entry;
      try {
        const message = await sender.ask(sendMessage(cid, draft));
        attempt = 0;
        this.changed({ type: "outbox.changed", cid, id, status: "sent", message });
        this.#take(id)?.resolve(message);
      } catch (thrown) {
        const error = thrown as ParlourError;
        // The user left meanwhile: the message waits for its return.
        if (this.#sender !== sender) continue;
        if (error.status === 429 && error.retryAfter) sender.throttled(error.retryAfter * 1_000);
        if (mayChange(error) && Date.now() - queuedAt < EXPIRY_MS) {
          await pause(attempt++, error, sender.ready);
        } else {
          attempt = 0;
          this.#failed(entry, error);
        }
      }
    }
    this.#running.delete(cid);
  }

  #failed(entry: OutboxEntry, error: ParlourError): void {
    // It may have been discarded while it was under way.
    if (!this.#take(entry.id)) return;
    const [oldest, ...others] = this.entries.get().filter((entry) => entry.error);
    if (oldest && others.length >= FAILED_LEN_MAX - 1) this.#take(oldest.id);
    this.#put({ ...entry, error });
    entry.reject(error);
  }
}

function bodyOf({ name: _, message, requestId, retryAfter, ...rest }: ParlourError): ErrorBody {
  const request = requestId ? { request_id: requestId } : {};
  const retry = retryAfter === undefined ? {} : { retry_after: retryAfter };
  return { ...rest, message, ...request, ...retry };
}

/** Whether the same request, sent again, may fare otherwise. */
function mayChange({ status }: ParlourError): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/** Waits as the server asked, or with backoff; in the latter case no longer than until the connection is back. */
async function pause(attempt: number, error: ParlourError, ready: Sender["ready"]): Promise<void> {
  const wait = sleep(retryAfterMs(error, Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** attempt)));
  if (error.retryAfter) return wait;
  const ended = new AbortController();
  const before = ready.get();
  const back = until(ready, () => ready.get() !== before || undefined, ended.signal);
  await Promise.race([wait, back.then(() => sleep(Math.random() * NUDGE_SPREAD_MS))]);
  ended.abort();
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
