/** What a connection is held to. */

import type { Backoff } from "../backoff.js";
import type { AppKey, ClientInfo, PresenceSubscription } from "../wire.js";
import type { Transport } from "./ways.js";

/** The server's `ready` may change `dead_link_ms`. */
export interface ConnectionConfig {
  readonly app_key: AppKey;
  readonly client: ClientInfo;
  readonly device: string | null;
  readonly presence: PresenceSubscription;
  /**
   * Who opens connections. `auto`: the SDK; connected in the foreground, parked in the background. `manual`: the
   * app, by `connect`; in the background the connection has a lease, which each ping renews, and once it is over, or
   * the connection is lost there, nothing is opened until the next `connect`.
   */
  readonly mode: "auto" | "manual";
  /** Whether the background ends a connection (in auto mode after the grace, in manual mode with the lease). */
  readonly background: "park" | "keep";
  /** In auto mode: how long after it went to the background the app is still connected. */
  readonly background_grace_ms: number;
  /** In manual mode: how long a connection lives in the background without a ping. */
  readonly lease_ms: number;
  /** The transports that may be used, the best first; at least one. */
  readonly transports: readonly Transport[];
  /** When a transport that has others behind it stands still for this long while it opens, the next is tried. */
  readonly stall_ms: number;
  /** So long after it had to make do with a worse transport, a connection tries the better ones again. */
  readonly climb_ms: number;
  /** When a tick comes later than this after its time, the device slept. */
  readonly wake_jump_ms: number;
  /** After a sleep, the link has this long to answer. */
  readonly wake_probe_ms: number;
  /** When a dial (open, hello, ready) takes longer, it is given up. */
  readonly dial_timeout_ms: number;
  /** When no frame came for this long, the link is dead. */
  readonly dead_link_ms: number;
  /** When a connection has been up this long and one pong has passed, the next loss starts counting anew. */
  readonly stable_after_ms: number;
  readonly backoff: Backoff;
  /** When the platform says that the network is back, or the user asks, the dial comes after 0 to this. */
  readonly retry_now_spread_ms: number;
  /** When the server goes away for all (1001, 1012), clients come back within this. */
  readonly spread_ms: number;
  /** When a downtime is shorter, the UI status does not show it. */
  readonly ui_grace_ms: number;
}
