// Where the connection stands, as the app sees it.

import type { Cause, State, Transport, UiStatus } from "./connection.js";
import type { ParlourError } from "./errors.js";

/** Nothing gets through by one transport, and the next is tried. */
export interface FellBack {
  readonly from: Transport;
  readonly to: Transport;
  /** As the network, or what stands between, said it. */
  readonly because: string;
}

/** A feature that is paused. */
export interface Throttled {
  /** As the server calls it, such as `typing`; `messages` where sends were too many: the outbox waits for it. */
  readonly feature: string;
  /** When it may be used again, in milliseconds since 1970; it is not listed any more then. */
  readonly until: number;
}

export interface ConnectionStatus {
  /**
   * `idle` no user · `offline` down by wish · `connecting` the first dial · `connected` · `reconnecting` waits or
   * dials again · `no_network` as the platform says · `parked` left for the background · `failed` over until
   * the app acts · `closed` logged out.
   */
  state: State["type"];
  /** As a banner would show it: a downtime of less than two seconds is not shown. */
  uiStatus: UiStatus;
  /** Losses and failed dials since the connection was last stable; 0 while it is up. */
  attempt: number;
  /** When the next dial comes, in milliseconds since 1970, while waiting for it. */
  retryAt?: number | undefined;
  /** The server's name for the connection, while it is up. */
  connectionId?: string | undefined;
  /** How frames travel, while it is up. */
  transport?: Transport | undefined;
  /** The last round trip that a `ping` has measured, in milliseconds. */
  rttMs?: number | undefined;
  /** The last time that nothing got through by a transport, and why. */
  fellBack?: FellBack | undefined;
  /** Features that the server wants left alone for a while; the connection and everything else go on. */
  throttled?: readonly Throttled[] | undefined;
  /** Why it failed. */
  error?: ParlourError | undefined;
  /** Why the state last changed. */
  cause?: Cause | undefined;
  /** The close code that came with the last change. */
  code?: number | undefined;
}

export const IDLE: ConnectionStatus = Object.freeze({ state: "idle", uiStatus: "signed_out", attempt: 0 });
