/** The private state of a connection: what is there of a transport, and what is waited for. */

import type { AppState, PresenceSubscription, Topic, UserInput } from "../wire.js";
import type { LastWords } from "./last_words.js";
import type { Cause, FailedWhy, State, UiStatus } from "./state.js";

export type Link =
  /** Nothing is there, and nothing is wanted. */
  | { type: "rest" }
  /** Nothing is there until the app acts. */
  | { type: "failed"; why: FailedWhy }
  | Trying
  | Live
  /**
   * Told to close, for this cause; `shown` is the public state until then, and `ui` what a banner shows. When
   * `until` comes, it is taken for closed.
   */
  | { type: "closing"; dial: number; shown: State; ui: UiStatus; cause: Cause; until: number };

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
  | Waiting
  | Opening
  | Greeted;

/** When `until` comes, it is dialled. */
interface Waiting {
  type: "wait";
  until: number;
}

/**
 * A transport on its way: which of the allowed ones, and when it is given up. `readyUntil` is that once it is open:
 * where it may stand still for less long than the whole may take.
 */
export interface Opening {
  type: "opening";
  dial: number;
  at: number;
  until: number;
  readyUntil: number;
}

/** The same, with `hello` sent. */
export interface Greeted {
  type: "hello";
  dial: number;
  at: number;
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
  /** Which of the allowed transports. */
  at: number;
  since: number;
  /** When no frame came for `deadLinkMs` after this, the link is dead. */
  heardAt: number;
  deadLinkMs: number;
  /** After a wake: when nothing was heard until then, the link is dead. */
  probeUntil?: number | undefined;
  /** Whether the connection has carried a ping and its answer: only then it counts as a good one. */
  proven: boolean;
  /** The provider is asked for a fresh token. */
  fetch?: number | undefined;
  /** When this comes, the provider is asked again; so often it has failed. */
  renewAt: number;
  renewals: number;
  /** What the hello of the poll that is under way said. */
  asked?: Told | undefined;
  /** The way back to a better transport: waited for, or tried beside the connection that is up. */
  climb?: Waiting | Opening | Greeted | undefined;
  /** The transport is gone, because the server took the next one's hello for its end: its `ready` is on the way. */
  over: boolean;
  words: LastWords;
  /** Topics reset when this connection turned out to be to another log: the server says it again. */
  resetAlready: Set<Topic>;
}

/** Whether the transport of this dial is open or opening. */
export function holds(link: Link, dial: number): link is (Trying & (Opening | Greeted)) | Live {
  return link.type !== "closing" && "dial" in link && link.dial === dial;
}

/** The transport that is to take the place of the one that is up. */
export function climbing(link: Link): Opening | Greeted | undefined {
  return link.type === "up" && link.climb && link.climb.type !== "wait" ? link.climb : undefined;
}

/** When to look at the link again. */
export function deadlineOf(link: Link): number {
  if (link.type !== "up") return "until" in link ? link.until : Infinity;
  const climb = link.climb?.until ?? Infinity;
  return link.over ? climb : Math.min(link.renewAt, climb, deadAt(link));
}

/** When silence will have been too long. */
export function deadAt(link: Live): number {
  return link.probeUntil ?? link.heardAt + link.deadLinkMs;
}
