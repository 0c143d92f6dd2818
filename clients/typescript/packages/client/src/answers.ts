// What answers over HTTP are where they are no success, and what follows from them.
//
// Not here: what an error is (errors.ts).

import { type ClientErrorCode, ParlourError, parlourError } from "./errors.js";
import type { ErrorBody } from "./wire.js";

/** Whether what was asked for is not there, or not for this user. */
export const isGone = ({ status }: ParlourError): boolean => status === 403 || status === 404;

/** When to try again, in ms: after what the server asks for, and up to `spreadMs` more. */
export const retryAfterMs = ({ retryAfter = 0 }: ParlourError, spreadMs: number): number =>
  retryAfter * 1_000 + spreadMs * Math.random();

/** The error that an HTTP answer is. */
export function refusal(
  status: number,
  text: string,
  retryAfter: string | null,
  docsBase: string,
): ParlourError {
  const seconds = /^\s*\d+\s*$/.test(retryAfter ?? "") ? { retry_after: Number(retryAfter) } : {};
  const body = errorBody(text);
  if (body) return new ParlourError({ ...seconds, ...body }, docsBase);
  // Not Parlour's: a proxy's, most likely.
  const message =
    status < 400
      ? "the server answers with a redirect; use the address that it leads to"
      : `status ${status} with a body that is not Parlour's: ${excerpt(text)}`;
  return parlourError(foreign(status), message, docsBase, { status, ...seconds });
}

function foreign(status: number): ClientErrorCode {
  if (status === 404) return "not_found";
  if (status === 429) return "rate_limited";
  if (status >= 500) return "unavailable";
  return status >= 400 ? "invalid_input" : "internal";
}

/** The error in an answer, if it has what one of Parlour's has at least. */
function errorBody(text: string): ErrorBody | undefined {
  const error = parsed(text)?.error as ErrorBody | null | undefined;
  const { code, message, docs, status } = error ?? {};
  const texts = [code, message, docs].every((text) => typeof text === "string");
  return texts && typeof status === "number" ? error! : undefined;
}

/** What a text is as JSON; undefined where it is none. */
export function parsed(text: string): Record<string, unknown> | null | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** As much of a foreign text as an error tells. */
export const excerpt = (text: string): string => text.slice(0, 200);
