// One transport of the driver: a WebSocket, with its frames as JSON.

import type { Input } from "./connection.js";
import type { ClientFrame } from "./wire.js";

/** What a WebSocket has to be: the browser's, or another with the same interface. */
export interface WebSocketLike {
  readonly readyState: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
}
export type WebSocketConstructor = new (url: string) => WebSocketLike;

/** Closed so, a connection means to come back. */
export const MEANS_TO_RESUME = 4900;
const OPEN = 1;

export class Dial {
  #socket: WebSocketLike;

  /** Begins to open; what happens is told as the machine's inputs. */
  constructor(
    readonly number: number,
    url: string,
    implementation: WebSocketConstructor,
    tell: (input: Input) => void,
  ) {
    const dial = number;
    let socket: WebSocketLike;
    try {
      socket = this.#socket = new implementation(url);
    } catch (error) {
      // Not at once: whoever dials has not yet heard that the dial is there.
      this.#socket = CLOSED;
      setTimeout(() => tell({ type: "closed", dial, code: null, reason: String(error) }));
      return;
    }
    socket.onopen = () => tell({ type: "opened", dial });
    socket.onmessage = ({ data }: { data: unknown }) => {
      const frame = parse(data);
      if (frame) tell({ type: "received", dial, frame });
      else this.close(MEANS_TO_RESUME);
    };
    // What went wrong is not told to pages; the close that follows is what counts.
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }: { code?: number; reason?: string }) =>
      tell({ type: "closed", dial, code: code ?? null, reason: reason ?? "" });
  }

  transmit(frame: ClientFrame): void {
    if (this.#socket.readyState === OPEN) this.#socket.send(JSON.stringify(frame));
  }

  /** Closes, or gives up opening; `closed` follows. */
  close(code: number): void {
    this.#socket.close(code);
  }
}

const CLOSED: WebSocketLike = {
  readyState: 3,
  send: () => {},
  close: () => {},
  onopen: null,
  onmessage: null,
  onerror: null,
  onclose: null,
};

function parse(data: unknown): { type: string } | undefined {
  try {
    const frame: unknown = typeof data === "string" ? JSON.parse(data) : undefined;
    const known = typeof frame === "object" && frame !== null && "type" in frame && typeof frame.type === "string";
    return known ? (frame as { type: string }) : undefined;
  } catch {
    return undefined;
  }
}
