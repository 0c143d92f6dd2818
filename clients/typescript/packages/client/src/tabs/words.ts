// What tabs say to each other, and under which name.

import type { Transport, Why } from "../connection.js";
import type { KeptMessage } from "../outbox.js";
import type { FellBack } from "../status.js";
import type { ClientFrame, CloseCode, ServerFrame } from "../wire.js";

/** One dial of one tab, as the others know it: the tab's name, a slash, and the number of the dial. */
export type Seat = string;

export const tabOf = (seat: Seat) => seat.slice(0, seat.indexOf("/"));

/** How the connection of all travels. */
export interface Way {
  transport: Transport | undefined;
  /** Which transport got through, by the network's name. */
  worked_in: Record<string, Transport>;
}

export type Word =
  /** A tab would listen by the connection of all. */
  | { type: "knock"; from: Seat }
  /** It may. `host` is who has the connection. */
  | { type: "welcome"; to: Seat; host: string; way: Way }
  /** A frame for the server, from a tab that listens. */
  | { type: "say"; from: Seat; host: string; frame: ClientFrame }
  /** A dial listens no more. */
  | { type: "part"; from: Seat }
  /** A tab wants no connection. */
  | { type: "rest"; tab: string }
  /** A frame of the server, for these. */
  | { type: "hear"; to: readonly Seat[]; host: string; frame: ServerFrame }
  /** The connection is gone, for these. */
  | { type: "closed"; to: readonly Seat[]; host: string; code: CloseCode; reason: string; why?: Why }
  /** The connection is there, by this way: who waits to dial need not. */
  | { type: "up"; host: string; way: Way }
  /** By one transport nothing gets through. */
  | { type: "fell_back"; host: string; news: FellBack }
  /** Another tab has the connection from now on. */
  | { type: "leads"; host: string }
  /** Whoever looks at a tab wants it to be dialled now. */
  | { type: "retry" }
  /** Does the tab live that has it? */
  | { type: "ask" }
  | { type: "here"; host: string }
  /** A tab needs a token, and not this one. `of`: which tab is asked; else the one that has the connection. */
  | { type: "want_token"; refused: string | undefined; of?: string }
  /** The token in force, from the provider of one of the tabs. */
  | { type: "token"; token: string }
  /** It is of no use, and none is to go on with it. */
  | { type: "token_refused"; token: string }
  /** What a tab has not sent yet, and what failed: if it goes, another one looks after that. */
  | { type: "outbox"; tab: string; messages: readonly KeptMessage[] }
  /** The user has logged out, in the page of this name; of what is stored, `keeps` stays. */
  | { type: "logged_out"; page: string; keeps: "outbox" | "nothing" };

/**
 * The version of these words. It stands in the name of the lock and of the channel: after a deployment the tabs of
 * the old code and those of the new one do not understand each other, and have a connection each.
 */
const VERSION = 1;

export function nameOf(user: string): string {
  return `parlour tabs ${VERSION}\n${user}`;
}
