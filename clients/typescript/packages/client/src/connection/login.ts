/** Whose connection it is, and everything that is forgotten when the user leaves. */

import { Places } from "../places.js";
import type { ConnectionId, Epoch, Timestamp, Topic, UserInput } from "../wire.js";
import type { FailedWhy } from "./state.js";
import type { Transport } from "./ways.js";

export type Login =
  /** Nobody yet. */
  | { type: "none" }
  | { type: "logged_out" }
  | User;

export interface User {
  type: "user";
  user: UserInput;
  /** The user object that the server has had. */
  told?: UserInput;
  token: Token;
  /** The provider is asked before the next dial, though there is a token. */
  renew?: boolean;
  readonly places: Places;
  /** The log that the cursors point into, and up to when it was looked at. */
  log?: { epoch: Epoch; as_of: Timestamp };
  /** The connection that the next one takes over from. */
  predecessor?: ConnectionId;
}

export type Token =
  | { type: "unknown" }
  /** `last`: it replaces a refused one; refused too, there is no third. */
  | { type: "held"; token: string; trust: "full" | "last" }
  /** Refused, with the server's words; another one is asked for. */
  | { type: "refused"; token: string; why: FailedWhy };

/** What one run of an app keeps for the next, so that nothing is missed between them. It is JSON. */
export interface Saved {
  /** The user object that the server has had. */
  told: UserInput | null;
  /** The log that the cursors point into. */
  epoch: Epoch;
  /** Up to when it was looked at. */
  as_of: Timestamp;
  /** At most 500, of the topics with the latest events. */
  cursors: Record<Topic, number>;
  /** Which transport got through, by the network's name; `""` where it has none. */
  worked_in: Record<string, Transport>;
  /** The connection that the first one takes over from; never kept. */
  predecessor?: ConnectionId | undefined;
}

/** A user who comes new, or goes on where an earlier run of the app stood. */
export function newUser(user: UserInput, saved?: Saved | null): User {
  const places = new Places();
  const begun: User = { type: "user", user, token: { type: "unknown" }, places };
  if (!saved) return begun;
  const { told, epoch, as_of, cursors, predecessor } = saved;
  places.beginAt(new Map(Object.entries(cursors)));
  return { ...begun, ...(told && { told }), ...(predecessor && { predecessor }), log: { epoch, as_of } };
}
