// The transport of a tab: its frames go to the tab that has the connection, and come from there.
//
// It is open from the beginning, and its hello waits until a connection is there. Not here: which tab has it (tab.ts).

import type { Input, Why } from "../connection.js";
import type { Carrier } from "../dial.js";
import type { ClientFrame, CloseCode, Resume, ServerFrame } from "../wire.js";
import type { Seat, Word } from "./words.js";

/** Come back at once. */
export const COME_BACK = 4200;
/** What the app is told where the connection goes over to another tab. */
export const MOVED: Why = { cause: "transport_closed" };

export class Guest implements Carrier {
  readonly seat: Seat;
  readonly #dial: number;
  readonly #tell: (input: Input) => void;
  readonly #post: (word: Word) => void;
  readonly #seated: () => Promise<unknown>;
  readonly #over: (guest: Guest) => void;
  readonly #left: (isBye: boolean) => Promise<unknown>;
  /** Who has the connection, once it has said so. */
  #host: string | undefined;
  /** Said, and without an answer: it can still be said to somebody else. */
  #said: ClientFrame[] | undefined = [];
  #isOver = false;
  /** The tab wants no connection any more. */
  #isBye = false;

  /**
   * `over` is called when it needs nobody to have a connection any more, `left` when it was closed from this side: it
   * resolves when what was open is closed.
   */
  constructor(
    seat: Seat,
    dial: number,
    tell: (input: Input) => void,
    post: (word: Word) => void,
    seated: () => Promise<unknown>,
    over: (guest: Guest) => void,
    left: (isBye: boolean) => Promise<unknown>,
  ) {
    this.seat = seat;
    this.#dial = dial;
    this.#tell = tell;
    this.#post = post;
    this.#seated = seated;
    this.#over = over;
    this.#left = left;
    queueMicrotask(() => this.#isOver || tell({ type: "opened", dial }));
  }

  transmit(frame: ClientFrame): void {
    if (this.#isOver) return;
    if (frame.type === "bye") this.#isBye = true;
    this.#said?.push(frame);
    this.#say(frame);
    // Whoever has no answer to hello yet is not to try another transport meanwhile.
    if (frame.type === "hello") this.#tell({ type: "received", dial: this.#dial, frame: { type: "waiting" } });
  }

  close(code: number): void {
    if (this.#isOver) return;
    this.#post({ type: "part", from: this.seat });
    const closed = this.#end(code, "closed by this client");
    // Not at once, as any transport; and not before the socket is gone, where it was for this tab.
    void this.#left(this.#isBye).then(closed);
  }

  /** Looks for whoever has the connection, once the others would see that this tab is there. */
  knock(): void {
    void this.#seated().then(() => {
      if (!this.#isOver && this.#host === undefined) this.#post({ type: "knock", from: this.seat });
    });
  }

  welcome(host: string): void {
    if (this.#isOver || this.#host !== undefined) return;
    this.#host = host;
    for (const frame of this.#said ?? []) this.#say(frame);
  }

  /** A frame of the server. Answers where a resume began that it is the answer to; nothing where it is for somebody else. */
  hear(host: string, frame: ServerFrame): { begin: Resume | undefined } | undefined {
    if (this.#isOver || host !== this.#host) return undefined;
    const hello = this.#said?.find((said) => said.type === "hello");
    if (frame.type === "ready") this.#said = undefined;
    this.#tell({ type: "received", dial: this.#dial, frame });
    return { begin: hello?.resume };
  }

  /** Another tab has the connection, or may soon: who was connected comes back, who was not looks again. */
  leaves(host?: string): void {
    if (this.#isOver || (host !== undefined && host === this.#host)) return;
    if (!this.#said) return this.#closed(COME_BACK, "another tab has the connection", MOVED);
    this.#host = undefined;
    this.knock();
  }

  /** Whoever has the connection says that it is gone. */
  lost(host: string, code: CloseCode, reason: string, why?: Why): void {
    if (host === this.#host) this.#closed(code, reason, why);
  }

  #closed(code: CloseCode, reason: string, why?: Why): void {
    if (!this.#isOver) this.#end(code, reason, why)();
  }

  #end(code: CloseCode, reason: string, why?: Why): () => void {
    this.#isOver = true;
    this.#over(this);
    return () => this.#tell({ type: "closed", dial: this.#dial, code, reason, why });
  }

  #say(frame: ClientFrame): void {
    if (this.#host === undefined) return;
    // Whoever has the connection has a token of its own.
    const said = frame.type === "hello" || frame.type === "token" ? { ...frame, token: "" } : frame;
    this.#post({ type: "say", from: this.seat, host: this.#host, frame: said });
  }
}
