// Who is there, as far as the presence subscription tells: the picture that the signals give.
//
// Not here: what is done where it is not the whole (desk.ts).

import type { Presence, PresenceCounts, PresenceDigest } from "./wire.js";

/** Everybody who is told of by name, and whom the last minute saw leave. */
export interface Attendance extends ReadonlyMap<string, Presence> {
  /** How many are there beside those: where they are too many to be named. Who is not named may be there, then. */
  readonly others?: PresenceCounts | undefined;
}

/** The picture where these are there. */
export function attendance(users: Iterable<Presence>, others?: PresenceCounts): Attendance {
  const named = new Map([...users].map((user) => [user.user_id, user] as const));
  return others ? Object.assign(named, { others }) : named;
}

/** The picture after these have changed. */
export function changed(before: Attendance, users: readonly Presence[]): Attendance {
  return attendance([...before.values(), ...users], before.others);
}

/** Without those who left. */
export function present(before: Attendance): Attendance {
  return attendance([...before.values()].filter(({ online }) => online), before.others);
}

/** Whether the picture comes to this: else something of it was lost. */
export function comesTo(picture: Attendance, { online, away, sum }: PresenceDigest): boolean {
  const there = [...present(picture).values()];
  return (
    !picture.others &&
    there.length === online &&
    there.filter((user) => user.away).length === away &&
    there.reduce((total, user) => (total + hash(user)) >>> 0, 0) === sum
  );
}

/** FNV-1a of what is told of a user, by code points. */
function hash({ user_id, away, status }: Presence): number {
  const text = `${user_id} ${away ? "a" : "o"}${status === undefined ? "" : ` ${status}`}`;
  let hash = 0x811c9dc5;
  for (const point of text) hash = Math.imul(hash ^ point.codePointAt(0)!, 0x01000193);
  return hash;
}
