/** The edge where what was received becomes a `ServerFrame`, or is taken for one of an unknown kind. */

import type { ServerFrame } from "../wire.js";
import type { ReceivedFrame } from "./input.js";

/** What must stand in a frame for it to mean anything; with a question mark it may be absent. */
const FIELDS: Record<ServerFrame["type"], Record<string, string>> = {
  ready: {
    connection_id: "string",
    me: "object",
    epoch: "string",
    as_of: "string",
    limits: "object",
    resumed: "string",
    heads: "object?",
  },
  event: { topic: "string", seq: "number", event: "object" },
  signal: { signal: "object" },
  reset: { topic: "string", reason: "string", head: "number" },
  ping: { as_of: "string" },
  pong: { id: "number" },
  token_expiring: { grace_ms: "number" },
  throttle: { feature: "string", retry_after_ms: "number" },
  drain: { retry_after_ms: "number" },
  bye: { code: "number", reason: "string", retry_after_ms: "number?" },
  error: { error: "object" },
};

/** The frame, if it is of a known kind and has what that kind needs. Newer fields are forgiven. */
export function serverFrame(received: ReceivedFrame): ServerFrame | undefined {
  if (!Object.hasOwn(FIELDS, received.type)) return undefined;
  const frame = received as ServerFrame & Record<string, unknown>;
  const fits = ([name, kind]: [string, string]) => {
    const value = frame[name];
    return value == null ? kind.endsWith("?") : kind.startsWith(typeof value);
  };
  return Object.entries(FIELDS[frame.type]).every(fits) ? frame : undefined;
}
