// Where the server is, and how long an answer is waited for.
//
// Not here: how the server is asked (calls.ts).

import { type ClientErrorCode, type ParlourError, parlourError, textOf } from "./errors.js";
import type { ErrorBody } from "./wire.js";

/** When a call has no answer for this long, it fails with `timeout`. */
const CALL_TIMEOUT_MS = 10_000;
/** The longest time that timers take; a longer one would be over at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** How one call is bounded. */
export interface CallOptions {
  /** Ends the call with `cancelled`. What was sent may still take effect. */
  signal?: AbortSignal | undefined;
  /**
   * When the call has no answer for this long, in milliseconds, it fails with `timeout`. It includes the wait
   * for the user and for a token. Default: the client's `callTimeoutMs`.
   */
  timeoutMs?: number | undefined;
}

/** Where the server is, and which app of it is meant. */
export interface Endpoint {
  /** Without a slash at its end. */
  url: string;
  appKey: string;
  fetch: typeof fetch;
  callTimeoutMs: number;
  /** An error of the client, with a link to this server's page of it. */
  error: (code: ClientErrorCode, message: string, more?: Partial<ErrorBody> & ErrorOptions) => ParlourError;
}

export interface EndpointOptions {
  /** `http://…` or `https://…`, perhaps with a path before `/v1`. */
  url: string;
  appKey: string;
  /** Another `fetch` than the global one. */
  fetch?: typeof fetch | undefined;
  /** Default: 10,000. */
  callTimeoutMs?: number | undefined;
}

/**
 * Checks where the server is said to be.
 *
 * Throws `invalid_input` for an address that is none, `invalid_id` for an app key that is none.
 */
export function endpointOf(options: EndpointOptions): Endpoint {
  const { appKey, fetch, callTimeoutMs = CALL_TIMEOUT_MS } = options;
  const url = parseBaseUrl(options.url);
  const error: Endpoint["error"] = (code, message, more) => parlourError(code, message, url, more);
  if (!/^[\w-]{1,64}$/.test(appKey ?? "")) {
    throw error("invalid_id", `"${appKey}" is no app key: those are of a-z A-Z 0-9 _ -`);
  }
  // The global one is looked up at each call, since tools that watch the network replace it.
  return { url, appKey, fetch: fetch ?? ((...args) => globalThis.fetch(...args)), callTimeoutMs, error };
}

/** By hand, because React Native's `URL` understands little. */
const ADDRESS = /^https?:\/\/([^\s/?#@:\\[\]]+|\[[\da-f:.]+\])(:\d{1,5})?(\/[^\s?#]*)?$/i;

/** A server's address, without a slash at its end. Throws `invalid_input` for a text that is none. */
export function parseBaseUrl(text: string): string {
  const url = String(text).trim().replace(/\/+$/, "");
  if (ADDRESS.test(url)) return url;
  const like = "it looks like http://127.0.0.1:8790, without query, fragment or credentials";
  throw parlourError("invalid_input", `"${text}" is no address of a server: ${like}`);
}

/** Where connections are opened. */
export function connectUrl(base: string): string {
  // http → ws, https → wss, in whichever case.
  return `ws${base.slice("http".length)}/v1/connect`;
}

/** A channel's type and id. Throws `invalid_id` where there are not both. */
export function splitCid(cid: string, docsBase?: string): [type: string, id: string] {
  const [type, id, ...more] = String(cid).split(":");
  if (type && id && !more.length) return [type, id];
  throw parlourError("invalid_id", `"${cid}" is no cid, which is type:id`, docsBase);
}

/** Code that is not in the page yet. Fails with `network`. */
export async function code<T>({ error }: Endpoint, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw error("network", `a part of the client could not be loaded: ${textOf(cause)}`, { cause });
  }
}

/**
 * Runs `work` until its time is over or its caller's signal aborts; then the signal that `work` has aborts, and this
 * rejects with `timeout` or `cancelled`, also where `work` does not heed its signal.
 */
export async function bounded<T>(
  { callTimeoutMs, error }: Endpoint,
  what: string,
  { signal, timeoutMs = callTimeoutMs }: CallOptions = {},
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const cancelled = () => error("cancelled", `${what} was cancelled`);
  if (signal?.aborted) throw cancelled();
  // By hand: React Native and Node 18 have neither `AbortSignal.any` nor a reliable `AbortSignal.timeout`.
  const control = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let cancel!: () => void;
  const ended = new Promise<never>((_, reject) => {
    const late = () => reject(error("timeout", `no answer from ${what} within ${timeoutMs} ms`));
    timer = setTimeout(late, Math.min(timeoutMs, TIMER_MS_MAX));
    cancel = () => reject(cancelled());
  });
  signal?.addEventListener("abort", cancel);
  try {
    return await Promise.race([work(control.signal), ended]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", cancel);
    control.abort();
  }
}
