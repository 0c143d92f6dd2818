/** Whose connection it is, and everything that is forgotten when the user leaves. */

import { Places } from "../places.js";
import type { ConnectionId, Epoch, Timestamp, UserInput } from "../wire.js";
import type { FailedWhy } from "./state.js";

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

export function newUser(user: UserInput): User {
  return { type: "user", user, token: { type: "unknown" }, places: new Places() };
}
