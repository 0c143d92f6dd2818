/** What the app is told of where the connection stands. */

import type { CloseCode, ErrorBody, ReplacedBy } from "../wire.js";

/** Where the connection stands, as the app sees it. */
export type State =
  /** No user. */
  | { type: "idle" }
  /** Down by wish. */
  | { type: "offline" }
  /** The first dial since it was wished; once it has failed, the state is `reconnecting`. */
  | { type: "connecting"; attempt: number }
  | { type: "connected" }
  /**
   * Waits (until `retry_at`, in ms of the clock that the machine is told) or dials again. `attempt` counts
   * the losses and failed dials since the connection was last stable.
   */
  | { type: "reconnecting"; attempt: number; retry_at: number | null }
  /** The platform says that there is no network. */
  | { type: "no_network" }
  /** Left on purpose for the background. */
  | { type: "parked" }
  /** Over until the app acts. */
  | { type: "failed"; why: FailedWhy }
  /** Logged out. */
  | { type: "closed" };

/** Why a connection is over until the app acts. */
export type FailedWhy =
  /** The server closed with a terminal code. */
  | {
      type: "refused";
      code: CloseCode;
      reason: string;
      error: ErrorBody | null;
      replaced_by: ReplacedBy | null;
    }
  /** The token provider failed for good. */
  | { type: "token"; message: string };

/** Why a state changed. */
export type Cause =
  /** The app asked. */
  | "wish"
  /** `ready` came. */
  | "ready"
  /** The dial took too long. */
  | "dial_timeout"
  /** No frame came for too long. */
  | "dead_link"
  /** The transport closed, or never opened. */
  | "transport_closed"
  /** The server closed, with a code. */
  | "server_closed"
  /** A wait was over. */
  | "timer"
  /** The token provider failed, or the server did not take its token. */
  | "token"
  /** The platform's word on the network. */
  | "network"
  /** The app went to the background or came back. */
  | "app_state"
  /** The time that a connection has in the background was over. */
  | "lease"
  /** The server spoke against the protocol. */
  | "protocol";

/**
 * One change of the public state.
 *
 * It is told whenever the public state's value changes. Where `from` and `to` are of one type, only `attempt`
 * or `retry_at` changed: news for a countdown, not for an observer of states, who sees of a blip connected →
 * reconnecting → connected, each once.
 */
export interface Transition {
  from: State;
  to: State;
  cause: Cause;
  code?: CloseCode;
}

/** Why the public state changes, if it does. */
export type Why = Pick<Transition, "cause" | "code">;

/** The state as a banner would show it. */
export type UiStatus = "online" | "reconnecting" | "offline" | "signed_out" | "needs_action";
