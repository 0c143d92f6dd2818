/** What a connection is told: wishes, levels, and what happened to its transport. */

import type { AppState, ClientFrame, CloseCode, PresenceSubscription, Topic, UserInput } from "../wire.js";

/** What the platform says of the network. */
export type NetworkLevel = "unknown" | "up" | "down";

/** A frame as it came: of what else stands in it nothing is sure. */
export interface ReceivedFrame {
  readonly type: string;
}

/** What happened, or what is wished. The machine keeps what it is given: do not change it afterwards. */
export type Input =
  /** Be connected as this user. (Another user while one is there is refused by the caller, before.) */
  | { type: "connect_user"; user: UserInput }
  /** Be connected again, after `disconnect`, a failure, or an eviction. */
  | { type: "connect" }
  /** Be disconnected; keep user and cursors. */
  | { type: "disconnect" }
  /** Be disconnected; forget user and cursors. */
  | { type: "disconnect_user" }
  /** The answer to the `fetch_token` of this number. */
  | { type: "token_fetched"; fetch: number; token: string }
  /** The provider failed. `permanent`: asking again will not help. */
  | { type: "token_failed"; fetch: number; permanent: boolean; message: string }
  /** The transport of this dial is open. */
  | { type: "opened"; dial: number }
  | { type: "received"; dial: number; frame: ReceivedFrame }
  /** The transport of this dial is gone: it never opened, broke, or was closed by either side. */
  | { type: "closed"; dial: number; code: CloseCode | null; reason: string }
  | { type: "network"; level: NetworkLevel }
  | { type: "app"; state: AppState }
  /** Dial now rather than at `retry_at`. */
  | { type: "retry_now" }
  /**
   * Listen to a channel's topic as a watcher, now and after every reconnect. Without `after`, from now on:
   * what happens between a break and the first event is then lost, so whoever loaded the channel says where
   * it stood.
   */
  | { type: "watch"; topic: Topic; after: number | null }
  | { type: "unwatch"; topic: Topic }
  /** Whose presence is told, now and after every reconnect. */
  | { type: "presence"; subscription: PresenceSubscription }
  /** A signal or a ping: sent if connected, else dropped. */
  | { type: "send"; frame: ClientFrame }
  /** A deadline may have passed. */
  | { type: "tick" };
