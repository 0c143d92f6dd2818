/** What a connection is told: wishes, levels, and what happened to its transport. */

import type { ClientFrame, CloseCode, PresenceSubscription, Topic, UserInput } from "../wire.js";
import type { Saved } from "./login.js";
import type { Why } from "./state.js";

/** What the platform says of the network. */
export type NetworkLevel = "unknown" | "up" | "down";

/**
 * Where the app stands, as its platform says. `hidden`: not visible, and running, as a browser tab behind another;
 * `frozen`: no code will run from now on until it is thawed.
 */
export type AppLevel = "foreground" | "hidden" | "background" | "frozen";

/** A frame as it came: of what else stands in it nothing is sure. */
export interface ReceivedFrame {
  readonly type: string;
}

/** What happened, or what is wished. The machine keeps what it is given: do not change it afterwards. */
export type Input =
  /** Be connected as this user. (Another user while one is there is refused by the caller, before.) */
  | { type: "connect_user"; user: UserInput }
  /**
   * This is the user, with what an earlier run of the app has kept. In auto mode it connects; in manual mode nothing
   * is opened until `connect`. For a user who is there already it changes nothing.
   */
  | { type: "login"; user: UserInput; saved: Saved | null }
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
  /** The transport of this dial is open, and wants a hello. A long-poll says it before each poll. */
  | { type: "opened"; dial: number }
  | { type: "received"; dial: number; frame: ReceivedFrame }
  /**
   * The transport of this dial is gone: it never opened, broke, or was closed by either side. `why`: what the app is told,
   * where the code is not what happened.
   */
  | { type: "closed"; dial: number; code: CloseCode | null; reason: string; why?: Why | undefined }
  | { type: "network"; level: NetworkLevel }
  /**
   * The way to the network is another one: Wi-Fi for mobile, another Wi-Fi. `network` is its name, where the platform
   * has one: what got through in it is remembered under that.
   */
  | { type: "path"; network: string | null }
  | { type: "app"; level: AppLevel }
  /** The device or the process slept: its clock jumped. */
  | { type: "woke" }
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
  /**
   * A signal or a ping: sent if connected, else dropped. A ping renews the background lease. Its id is not 0, which is
   * the machine's own.
   */
  | { type: "send"; frame: ClientFrame }
  /** A deadline may have passed. */
  | { type: "tick" };
