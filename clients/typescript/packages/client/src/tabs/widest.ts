// What the server is told of several tabs as if they were one.

import type { AppLevel } from "../connection.js";
import type { AppState, PresenceSubscription } from "../wire.js";

const LEVELS = ["foreground", "hidden", "background"] as const satisfies AppLevel[];

/** Where the tab stands that is the most in front. */
export function foremost(states: readonly (AppState | undefined)[]): AppLevel {
  return LEVELS.find((level) => states.includes(level)) ?? "foreground";
}

/** The smallest subscription that holds all of these. */
export function widest(wishes: readonly (PresenceSubscription | undefined)[]): PresenceSubscription {
  const kinds = new Set(wishes.map((wish) => (typeof wish === "object" ? "roles" : (wish ?? "none"))));
  kinds.delete("none");
  if (kinds.has("all") || kinds.size > 1) return "all";
  if (kinds.has("friends")) return "friends";
  const roles = new Set(wishes.flatMap((wish) => (typeof wish === "object" ? wish.roles : [])));
  return roles.size ? { roles: [...roles] } : "none";
}
