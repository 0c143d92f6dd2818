/** The first frame of a connection. */

import type { Hello } from "../wire.js";
import type { ConnectionConfig } from "./config.js";
import { equal } from "./equal.js";
import type { Told } from "./link.js";
import type { User } from "./login.js";

type HelloFrame = Hello & { type: "hello" };

/** Who connects, and what she has seen before. Her fields are told only where they changed. */
export function hello(
  config: ConnectionConfig,
  token: string,
  user: User,
  told: Told,
  heartbeat_ms?: number,
): HelloFrame {
  const { app_key, client, device } = config;
  const { log, places, predecessor } = user;
  return {
    type: "hello",
    app_key,
    token,
    client,
    presence: told.presence,
    app_state: told.app,
    ...(equal(user.told, told.user) ? {} : { user: told.user }),
    ...(device === null ? {} : { device }),
    ...(predecessor === undefined ? {} : { replaces: predecessor }),
    ...(heartbeat_ms && { heartbeat_ms }),
    ...(log && { resume: { ...log, cursors: places.forResume() } }),
  };
}
