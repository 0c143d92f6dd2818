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

/** What there is of a dial. What happens to it is told as the machine's inputs. */
export interface Carrier {
  transmit(frame: ClientFrame): void;
  /** Closes, or gives up opening; `closed` follows. */
  close(code: number): void;
}

/** Closed so, a connection means to come back. */
export const MEANS_TO_RESUME = 4900;
const OPEN = 1;

export class Dial implements Carrier {
  #socket: WebSocketLike | undefined;

  /** Begins to open; what happens is told as the machine's inputs. */
  constructor(dial: number, url: string, implementation: WebSocketConstructor, tell: (input: Input) => void) {
    let socket: WebSocketLike;
    try {
      socket = this.#socket = new implementation(url);
    } catch (error) {
      // Not at once: whoever dials has not yet heard that the dial is there.
      setTimeout(() => tell({ type: "closed", dial, code: null, reason: String(error) }));
      return;
    }
    let why = "the WebSocket did not open";
    socket.onopen = () => {
      why = "";
      tell({ type: "opened", dial });
    };
    socket.onmessage = ({ data }: { data: unknown }) => {
      const frame = parse(data);
      if (frame) tell({ type: "received", dial, frame });
      else this.close(MEANS_TO_RESUME);
    };
    // Pages are not told what went wrong, others are; the close that follows is what counts.
    socket.onerror = ({ message }: { message?: string }) => void (why = message ?? why);
    socket.onclose = ({ code = null, reason }: { code?: number | null; reason?: string }) =>
      tell({ type: "closed", dial, code, reason: reason || why });
  }

  transmit(frame: ClientFrame): void {
    if (this.#socket?.readyState === OPEN) this.#socket.send(JSON.stringify(frame));
  }

  close(code: number): void {
    this.#socket?.close(code);
  }
}

function parse(data: unknown): { type: string } | undefined {
  try {
    const frame = JSON.parse(data as string) as { type?: unknown } | null;
    return typeof frame?.type === "string" ? (frame as { type: string }) : undefined;
  } catch {
    return undefined;
  }
}
