/** What a connection is held to. */

import type { Backoff } from "../backoff.js";
import type { AppKey, ClientInfo, PresenceSubscription } from "../wire.js";

/** The server's `ready` may change `dead_link_ms`. */
export interface ConnectionConfig {
  readonly app_key: AppKey;
  readonly client: ClientInfo;
  readonly device: string | null;
  readonly presence: PresenceSubscription;
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
