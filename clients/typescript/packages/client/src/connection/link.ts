/** The private state of a connection: what is there of a transport, and what is waited for. */

import type { AppState, PresenceSubscription, Topic, UserInput } from "../wire.js";
import type { LastWords } from "./last_words.js";
import type { FailedWhy, State, UiStatus } from "./state.js";

export type Link =
  /** Nothing is there, and nothing is wanted. */
  | { type: "rest" }
  /** Nothing is there until the app acts. */
  | { type: "failed"; why: FailedWhy }
  | Trying
  | Live
  /** Told to close; `shown` is the public state until then. When `until` comes, it is taken for closed. */
  | { type: "closing"; dial: number; shown: State; until: number };

/** A connection is wanted and not there yet. */
export type Trying = Story & Step;

export interface Story {
  story: "first" | "again";
  /** Since when there is no connection, though one is wanted. */
  since: number;
  /** What a banner shows before the downtime is worth a word. */
  shown: UiStatus;
}

export type Step =
  /** When `until` comes, the provider is taken for failed. */
  | { type: "token"; fetch: number; until: number }
  /** When `until` comes, it is dialled. */
  | { type: "wait"; until: number }
  /** When `until` comes, the dial is given up. */
  | { type: "opening"; dial: number; until: number }
  /** The same, with `hello` sent. */
  | { type: "hello"; dial: number; until: number; told: Told; words: LastWords };

/** What `hello` said of things that may change while its answer is on the way. */
export interface Told {
  user: UserInput;
  app: AppState;
  presence: PresenceSubscription;
}

export interface Live {
  type: "up";
  dial: number;
  since: number;
  /** When no frame came for `deadLinkMs` after this, the link is dead. */
  heardAt: number;
  deadLinkMs: number;
  /** Whether the connection has carried a ping and its answer: only then it counts as a good one. */
  proven: boolean;
  /** The provider is asked for a fresh token. */
  fetch?: number | undefined;
  /** When this comes, the provider is asked again; so often it has failed. */
  renewAt: number;
  renewals: number;
  words: LastWords;
  /** Topics reset when this connection turned out to be to another log: the server says it again. */
  resetAlready: Set<Topic>;
}

/** Whether the transport of this dial is open or opening. */
export function holds(link: Link, dial: number): link is Extract<Link, { type: "opening" | "hello" | "up" }> {
  return link.type !== "closing" && "dial" in link && link.dial === dial;
}

/** When to look at the link again. */
export function deadlineOf(link: Link): number | undefined {
  if (link.type === "up") return Math.min(link.renewAt, deadAt(link));
  return "until" in link ? link.until : undefined;
}

/** When silence will have been too long. */
export function deadAt(link: Live): number {
  return link.heardAt + link.deadLinkMs;
}
