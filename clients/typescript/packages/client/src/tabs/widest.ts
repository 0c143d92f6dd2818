// What the server is told of several tabs as if they were one.

import type { AppLevel } from "../connection.js";
import type { AppState, PresenceSubscription } from "../wire.js";

/** Users that the server lets a subscription list. */
const LISTED_MAX = 500;
const LEVELS = ["foreground", "hidden", "background"] as const satisfies AppLevel[];

/** Where the tab stands that is the most in front. */
export function foremost(states: readonly (AppState | undefined)[]): AppLevel {
  return LEVELS.find((level) => states.includes(level)) ?? "foreground";
}

/** The smallest subscription that holds all of these. */
export function widest(wishes: readonly (PresenceSubscription | undefined)[]): PresenceSubscription {
  const kinds = new Set(wishes.map(kind));
  kinds.delete("none");
  if (kinds.has("all") || kinds.size > 1) return "all";
  const objects = wishes.filter((wish) => typeof wish === "object");
  const listed = new Set(objects.flatMap((wish) => ("friends_and" in wish ? wish.friends_and : [])));
  if (listed.size > LISTED_MAX) return "all";
  if (kinds.has("friends")) return listed.size ? { friends_and: [...listed] } : "friends";
  const roles = new Set(objects.flatMap((wish) => ("roles" in wish ? wish.roles : [])));
  return roles.size ? { roles: [...roles] } : "none";
}

function kind(wish: PresenceSubscription | undefined): "none" | "friends" | "roles" | "all" {
  if (typeof wish !== "object") return wish ?? "none";
  return "roles" in wish ? "roles" : "friends";
}
