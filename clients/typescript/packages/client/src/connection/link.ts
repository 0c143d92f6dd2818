/** The private state of a connection: what is there of a transport, and what is waited for. */

import type { AppState, PresenceSubscription, Topic, UserInput } from "../wire.js";
import { LastWords } from "./last_words.js";
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
export interface Trying {
  type: "trying";
  story: "first" | "again";
  /** Since when there is no connection, though one is wanted. */
  since: number;
  /** What a banner shows before the downtime is worth a word. */
  shown: UiStatus;
  step: Step;
}

export type Step =
  /** When `until` comes, the provider is taken for failed. */
  | { type: "token"; fetch: number; until: number }
  /** When `until` comes, it is dialled. */
  | { type: "wait"; until: number }
  /** When `until` comes, the dial is given up. */
  | { type: "opening"; dial: number; until: number }
  /** The same, with `hello` sent. */
  | HelloStep;

export interface HelloStep {
  type: "hello";
  dial: number;
  until: number;
  told: Told;
  words: LastWords;
}

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
  proof: "none" | "round_trip";
  renewal: Renewal;
  words: LastWords;
  /** Topics reset when this connection turned out to be to another log: the server says it again. */
  resetAlready: Set<Topic>;
}

/** How far a fresh token is, for a connection that is up. */
export type Renewal =
  | { type: "none" }
  | { type: "asked"; fetch: number; failures: number }
  /** When `until` comes, the provider is asked again. */
  | { type: "wait"; until: number; failures: number };

/** The dial whose transport is open or opening. */
export function heldDial(link: Link): number | undefined {
  if (link.type === "up") return link.dial;
  return link.type === "trying" && "dial" in link.step ? link.step.dial : undefined;
}

/** Whether the transport of this dial is open or opening. */
export function holds(link: Link, dial: number): link is Trying | Live {
  return heldDial(link) === dial;
}

/** When to look at the link again. */
export function linkDeadline(link: Link): number | undefined {
  if (link.type === "trying") return link.step.until;
  if (link.type === "closing") return link.until;
  if (link.type !== "up") return undefined;
  return link.renewal.type === "wait" ? Math.min(link.renewal.until, deadAt(link)) : deadAt(link);
}

/** When silence will have been too long. */
export function deadAt(link: Live): number {
  return link.heardAt + link.deadLinkMs;
}

/** What the server said on this link. */
export function lastWords(link: Trying | Live): LastWords {
  if (link.type === "up") return link.words;
  return link.step.type === "hello" ? link.step.words : new LastWords();
}
