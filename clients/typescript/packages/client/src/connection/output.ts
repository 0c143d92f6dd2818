/** What a connection asks of whoever drives it, and tells the app. */

import type {
  ClientFrame,
  CloseCode,
  ErrorBody,
  EventFrame,
  Ready,
  ResetReason,
  Signal,
  Topic,
} from "../wire.js";
import type { Transition } from "./state.js";
import type { Transport } from "./ways.js";

/** What to do. */
export type Output =
  /** Open a transport under this dial number; answer `opened` or `closed`. */
  | { type: "open"; dial: number; transport: Transport }
  | { type: "transmit"; dial: number; frame: ClientFrame }
  /** Close this dial's transport (or give up opening it) with this code; answer `closed`. */
  | { type: "close"; dial: number; code: CloseCode }
  /**
   * Ask the token provider; answer `token_fetched` or `token_failed` with the same number. A new number makes
   * older answers void. `refused`: the token that the server did not take, if that is why.
   */
  | { type: "fetch_token"; fetch: number; refused: string | null }
  /** The server's answer to hello. */
  | { type: "ready"; ready: Ready }
  /**
   * The server's answer to a hello in the middle of a connection: it went over to another transport, or to the next
   * poll. It was never down.
   */
  | { type: "renewed"; ready: Ready }
  /** Nothing gets through by one transport: the next one is tried. */
  | { type: "fell_back"; from: Transport; to: Transport; because: string }
  /** A durable event for the app: the next of its topic, once. Its kind may be newer than this code. */
  | { type: "deliver"; event: EventFrame }
  /** Its kind may be newer than this code. */
  | { type: "signal"; topic: Topic | null; signal: Signal }
  /** Load the topic as at first start; events go on after `head`. */
  | { type: "reset"; topic: Topic; reason: ResetReason; head: number }
  /** Something that was sent was refused. */
  | { type: "refused"; error: ErrorBody; topic: Topic | null }
  /** The server answered our ping. */
  | { type: "pong"; id: number }
  /** A feature is paused for this many milliseconds. */
  | { type: "throttled"; feature: string; for_ms: number }
  /** The public state changed. */
  | { type: "changed"; transition: Transition };
