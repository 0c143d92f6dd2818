// A transport over HTTP, where no WebSocket gets through: frames come in the body of one answer that goes on
// (event_stream.ts) or in one answer after the other, and go by requests of their own (posts.ts).
//
// Loaded when it is needed. Not here: which transport to take, what a frame means.

import type { Endpoint } from "../address.js";
import { excerpt, parsed } from "../answers.js";
import type { Input } from "../connection.js";
import { textOf } from "../errors.js";
import type { AppState, ClientFrame } from "../wire.js";
import { connect, sleep } from "./ask.js";
import { listen } from "./event_stream.js";
import { Posts } from "./posts.js";

/** When a poll was answered, the next one comes after this, */
const PAUSE_MS = 250;
/** or after this while nobody looks. */
const PAUSE_UNSEEN_MS = 5_000;
/** When the transport is closed, what was said before goes out within this. */
const LAST_WORDS_MS = 500;

/** What concerns the transport itself in a frame. */
interface Frame {
  type: string;
  connection_id?: string;
  code?: unknown;
  reason?: unknown;
}

export class HttpTransport {
  readonly #kind: "event_stream" | "long_poll";
  readonly #dial: number;
  readonly #endpoint: Endpoint;
  readonly #tell: (input: Input) => void;
  readonly #control = new AbortController();
  readonly #posts: Posts;
  /** Nothing is told any more but that it is closed. */
  #over = false;
  #app: AppState | undefined;
  /** Ends a pause in which nobody looks. */
  #hurry = () => {};

  /** Opens at once, and asks for nothing before `hello`; what happens is told as the machine's inputs. */
  constructor(
    kind: "event_stream" | "long_poll",
    dial: number,
    endpoint: Endpoint,
    tell: (input: Input) => void,
  ) {
    this.#kind = kind;
    this.#dial = dial;
    this.#endpoint = endpoint;
    this.#tell = tell;
    this.#posts = new Posts(endpoint, this.#control.signal, (reason) => this.#broke(reason));
    // Not at once: whoever dials has not yet heard that the dial is there.
    void Promise.resolve().then(() => this.#opened());
  }

  transmit(frame: ClientFrame): void {
    if (this.#over) return;
    switch (frame.type) {
      case "hello": {
        this.#posts.token = frame.token;
        this.#app = frame.app_state;
        const hello = JSON.stringify(frame);
        const came = this.#kind === "long_poll" ? this.#poll(hello) : this.#listen(hello);
        came.catch((error) => this.#broke(textOf(error)));
        return;
      }
      case "token":
        this.#posts.token = frame.token;
        break;
      case "app_state":
        this.#app = frame.state;
    }
    this.#posts.push(frame);
    // Who pings waits for the answer, and not for long.
    if (frame.type === "ping" || !this.#isUnseen()) this.#hurry();
  }

  /** Says what is still to be said, within half a second; then `closed` follows. */
  close(code: number): void {
    if (this.#over) return;
    this.#over = true;
    const said = Promise.race([this.#posts.finish(), sleep(LAST_WORDS_MS, this.#control.signal)]);
    void said.then(() => this.#end(code, "closed by this client"));
  }

  #listen(hello: string): Promise<never> {
    return listen(this.#endpoint, hello, this.#control.signal, (text) => this.#take(parsed(text), text));
  }

  async #poll(hello: string): Promise<void> {
    const { signal } = this.#control;
    const response = await connect(this.#endpoint, "application/json", this.#posts.beside(hello), signal);
    const text = await response.text();
    const frames = parsed(text)?.frames;
    if (!Array.isArray(frames)) throw notFrames(text);
    this.#posts.hold();
    const hurried = new Promise<void>((resolve) => (this.#hurry = resolve));
    for (const frame of frames) this.#take(frame, text);
    await sleep(PAUSE_MS, signal);
    if (this.#isUnseen()) await Promise.race([hurried, sleep(PAUSE_UNSEEN_MS - PAUSE_MS, signal)]);
    // What goes beside the next hello is not to overtake it.
    await this.#posts.underWay;
    this.#opened();
  }

  #isUnseen(): boolean {
    return this.#app === "hidden" || this.#app === "background";
  }

  #take(received: unknown, text: string): void {
    const frame = received as Frame | null | undefined;
    if (typeof frame?.type !== "string") throw notFrames(text);
    if (this.#over) return;
    const { type, connection_id, code, reason = "" } = frame;
    if (type === "ready" && connection_id) this.#posts.ready(connection_id);
    this.#tell({ type: "received", dial: this.#dial, frame });
    if (type === "bye") this.#broke(String(reason), Number(code) || null);
  }

  #opened(): void {
    if (!this.#over) this.#tell({ type: "opened", dial: this.#dial });
  }

  #broke(reason: string, code: number | null = null): void {
    if (this.#over) return;
    this.#over = true;
    this.#end(code, reason);
  }

  #end(code: number | null, reason: string): void {
    this.#control.abort();
    this.#tell({ type: "closed", dial: this.#dial, code, reason });
  }
}

const notFrames = (text: string): Error => new Error(`the server sent what is no frame: ${excerpt(text)}`);
