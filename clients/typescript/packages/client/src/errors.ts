// The one error of the SDK.
//
// Not here: what is repeated after which error.

import type { ErrorBody } from "./wire.js";

/**
 * What went wrong, in the shape that every door of Parlour uses: a stable code, a sentence, and what to do.
 *
 * Errors of the server come through as they are; those that arise in the client (`not_logged_in`, `timeout`,
 * `network`, `outbox_full`, …) look the same.
 */
export class ParlourError extends Error {
  override readonly name = "ParlourError";
  /** Stable, for programs: `not_found`, say. */
  declare readonly code: string;
  /** The HTTP status that goes with it, also where it did not come over HTTP. */
  declare readonly status: number;
  /** Whether the same call may succeed later, unchanged. */
  declare readonly retryable: boolean;
  /** What to do about it, for people. */
  declare readonly hint: string;
  /** The page that explains the code: a whole address where the server is known. */
  declare readonly docs: string;
  /** Which fields were wrong, and why. */
  declare readonly fields?: Readonly<Record<string, string>>;
  /** Names the request in the server's log. */
  declare readonly requestId?: string;
  /** Seconds to wait before trying again. */
  declare readonly retryAfter?: number;
  /** The number that clients of other chat products know for it. */
  declare readonly number?: number;

  /** `docsBase`: the server's address, without a slash at its end. */
  constructor(body: ErrorBody, docsBase = "", options?: ErrorOptions) {
    const { message, docs, request_id: requestId, retry_after: retryAfter, ...rest } = body;
    super(message, options);
    // What is absent stays absent, so that an error in a log is not half of nothing.
    const given = { ...(requestId && { requestId }), ...(retryAfter !== undefined && { retryAfter }) };
    Object.assign(this, rest, given, { docs: docs.startsWith("/") ? docsBase + docs : docs });
  }
}

type Row = readonly [status: number, retryable: boolean, number?: number];

/** The errors that the client itself makes. The server's table has them all; a test compares the two. */
export const CLIENT_ERRORS = {
  invalid_input: [400, false, 4],
  invalid_id: [400, false, 4],
  token_missing: [401, false, 5],
  not_found: [404, false, 16],
  already_connected_as: [409, false, 4],
  rate_limited: [429, true, 9],
  cancelled: [499, false],
  not_logged_in: [401, false, 5],
  not_connected: [409, true],
  timeout: [504, true],
  network: [503, true],
  outbox_full: [429, true, 9],
  unavailable: [503, true],
  internal: [500, true],
} satisfies Record<string, Row>;

/** The message says what is special; what to do about a code stands on its page, and need not be in every app. */
const HINT = "The page in `docs` says what to do.";

export type ClientErrorCode = keyof typeof CLIENT_ERRORS;

/** An error that the client makes; `more` changes single fields, and may name a `cause`. */
export function parlourError(
  code: ClientErrorCode,
  message: string,
  docsBase?: string,
  { cause, ...more }: Partial<ErrorBody> & ErrorOptions = {},
): ParlourError {
  const [status, retryable, number]: Row = CLIENT_ERRORS[code];
  const docs = `/docs/errors/${code}`;
  const body = { code, status, message, hint: HINT, retryable, docs, ...(number && { number }), ...more };
  return new ParlourError(body, docsBase, cause === undefined ? {} : { cause });
}

/** What a thrown value says, with its cause: Node's `fetch` hides the reason behind "fetch failed". */
export function textOf(thrown: unknown): string {
  const { message, code, cause } = Object(thrown) as { message?: unknown; code?: unknown; cause?: unknown };
  const text = String(message || code || thrown);
  return cause === undefined ? text : `${text}: ${textOf(cause)}`;
}
