/**
 * What a close code asks of the client. The behaviour is a property of the number's range, so that a client
 * of today does the right thing with a code of tomorrow.
 */

import type { CloseCode } from "../wire.js";

/** The client left on purpose. */
export const NORMAL = 1000;
/** The client drops its transport and means to come back. */
export const MEANS_TO_RESUME = 4900;
/** Come back with another token. */
export const TOKEN_EXPIRED = 4202;

/** The server ended what outlived its lease in the background. */
export const LEASE_EXPIRED = 4008;

/** The server has no use for the token: refused, expired, or one of a server. */
export const TOKEN_CODES: readonly CloseCode[] = [4002, TOKEN_EXPIRED, 4007];
/** Another device took the place, or there is none left. */
export const EVICTED_CODES: readonly CloseCode[] = [4005, 4009];
/** Never in a close frame: a library's word for "there was none". */
export const ABSENT_CODES: readonly CloseCode[] = [1005, 1006, 1015];

/** How soon to come back after a loss. */
export type ComeBack =
  | "at_once"
  | "backoff"
  /** After at least a second. */
  | "later"
  /** At a random moment: the server goes away for everybody. */
  | "spread";

/** What the client does after this code; `never`: the app has to act first. */
export function comeBack(code: CloseCode): ComeBack | "never" {
  if (code === 1001 || code === 1012) return "spread";
  if ([1002, 1007, 1008, 1009].includes(code)) return "never";
  if (code === 1013) return "later";
  return RANGES[Math.floor(code / 100)] ?? "backoff";
}

const RANGES: Record<number, ComeBack | "never"> = { 40: "never", 41: "later", 42: "at_once" };
