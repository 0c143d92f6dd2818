/** How long to wait before dialling again. Not here: the dice; the random number is an argument. */

/**
 * Full jitter: uniform between nothing and min(cap, base · 2ⁿ), so that clients cut together do not come back
 * together. Both in milliseconds.
 */
export interface Backoff {
  readonly base_ms: number;
  readonly cap_ms: number;
}

/** The wait in ms after so many failures without one (0 for the first), for a random number from 0 to 1. */
export function backoffWait({ base_ms, cap_ms }: Backoff, failures: number, jitter: number): number {
  return share(jitter, Math.min(cap_ms, base_ms * 2 ** failures));
}

/** `jitter` (0 to 1; anything else counts as the nearer end) of `whole`, in whole milliseconds. */
export function share(jitter: number, whole: number): number {
  return Math.floor(Math.min(1, Math.max(0, jitter)) * whole);
}
