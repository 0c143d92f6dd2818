// What is said over HTTP: frames by requests of their own, in their order, one request at a time.
//
// Not here: `hello`, which is asked with; when a poll is under way.

import { bounded, type Endpoint } from "../address.js";
import { refusal } from "../answers.js";
import { textOf } from "../errors.js";
import type { ClientFrame } from "../wire.js";
import { answered, post, sleep } from "./ask.js";

/** The largest body that the server takes. */
const BODY_BYTES_MAX = 64 * 1024;
/** When the server takes nothing now and does not say until when, it is asked again after this. */
const PAUSE_S = 1;
/** Whatever it says, it is asked again after this. */
const PAUSE_S_MAX = 60;
/** A refusal is told after this: where the server has ended the connection, its `bye` is on the way. */
const REFUSAL_WAIT_MS = 500;

/** Without `TextEncoder`, which not every phone has. */
const bytesOf = (text: string): number => encodeURIComponent(text).replace(/%../g, "_").length;

export class Posts {
  /** The latest one. */
  token = "";
  /** The request that is under way, or the last one. */
  underWay: Promise<unknown> | undefined;
  readonly #endpoint: Endpoint;
  readonly #signal: AbortSignal;
  readonly #broke: (reason: string) => void;
  /** The connection's latest id: until it is known, nothing can be said. */
  #connection: string | undefined;
  /** Whether what is said waits for the next poll. */
  #held = false;
  #waiting: string[] = [];
  #running = false;

  /** `broke` is told why nothing can be said any more. */
  constructor(endpoint: Endpoint, signal: AbortSignal, broke: (reason: string) => void) {
    this.#endpoint = endpoint;
    this.#signal = signal;
    this.#broke = broke;
  }

  push(frame: ClientFrame): void {
    this.#waiting.push(JSON.stringify(frame));
    void this.#run();
  }

  /** From now on it is said on this connection. */
  ready(connection: string): void {
    this.#connection = connection;
    void this.#run();
  }

  /** A poll was answered: what is said from now on goes beside the next hello. */
  hold(): void {
    this.#held = true;
  }

  /** A poll begins: its body, with what has waited for it. */
  beside(hello: string): string {
    const frames = this.#take(BODY_BYTES_MAX - bytesOf(hello) - ',"frames":[]'.length, 0);
    this.#held = false;
    void this.#run();
    return frames.length ? `${hello.slice(0, -1)},"frames":[${frames}]}` : hello;
  }

  /** Says what is left at once, whatever is under way. Resolves when all of it was answered. */
  async finish(): Promise<void> {
    this.#held = true;
    const { underWay } = this;
    try {
      while (this.#waiting.length && this.#connection && !(await this.#post(true)));
      await underWay;
    } catch {
      // Whatever does not get through is lost, as where a link breaks.
    }
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      // What is said in one turn goes in one body.
      await undefined;
      while (this.#waiting.length && this.#connection && !this.#held) {
        const request = this.#post();
        this.underWay = request;
        const pauseMs = await request;
        if (pauseMs) await sleep(pauseMs, this.#signal);
      }
      this.#running = false;
    } catch (error) {
      await sleep(REFUSAL_WAIT_MS, this.#signal);
      this.#broke(textOf(error));
    }
  }

  /** The first ones that fit into this many bytes, and at least so many. */
  #take(bytes: number, least: number): string[] {
    // Each but the first has a comma before it.
    let used = -1;
    const count = this.#waiting.findIndex((text, at) => (used += 1 + bytesOf(text)) > bytes && at >= least);
    return this.#waiting.splice(0, count < 0 ? Infinity : count);
  }

  /** Says as much as one body holds. Resolves with how long to wait before the next one, in milliseconds. */
  #post(keepalive = false): Promise<number> {
    const { appKey, url } = this.#endpoint;
    const connection = this.#connection!;
    // One that is too large for any body is refused, and does not wait for ever.
    const frames = this.#take(BODY_BYTES_MAX - '{"frames":[]}'.length, 1);
    const headers = { "x-parlour-app": appKey, authorization: `Bearer ${this.token}` };
    return bounded(this.#endpoint, "POST frames", { signal: this.#signal }, async (signal) => {
      const path = `connections/${encodeURIComponent(connection)}/frames`;
      const body = `{"frames":[${frames}]}`;
      const response = await post(this.#endpoint, path, body, headers, { signal, keepalive });
      const { status } = response;
      if (status === 204) return 0;
      const text = await response.text();
      const { code, retryAfter } = refusal(status, text, response.headers.get("retry-after"), url);
      // A poll's answer has given the connection another id meanwhile.
      const isRenamed = status === 404 && connection !== this.#connection;
      // Another token is on the way: the server waits for it too.
      const waits = status === 429 || status === 503 || code === "token_expired";
      if (!isRenamed && !waits) throw answered(status, text);
      this.#waiting.unshift(...frames);
      return waits ? Math.min(retryAfter || PAUSE_S, PAUSE_S_MAX) * 1_000 : 0;
    });
  }
}
