// Asking over HTTP: the one way to make a request.
//
// Not here: which requests there are (endpoints.ts), who the user is and where tokens come from (`Authorize`), and
// what is repeated after a failure.

import { type ClientErrorCode, excerpt, parsed, type ParlourError, parlourError, refusal, textOf } from "./errors.js";
import type { Request } from "./endpoints.js";
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
    throw error("invalid_id", `"${appKey}" is no app key: those are 1-64 of a-z A-Z 0-9 _ -`);
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

/** Proof of who calls. */
export interface Authority {
  token: string;
  /** In whose name a server calls. */
  actsAs?: string;
}

/**
 * Gives proof of who calls. `refused` is the token that was just answered with `token_expired`: where there is no
 * other, the answer is that one again. Waits as long as it must, until the user is there; `signal` ends that.
 */
export type Authorize = (refused: string | undefined, signal: AbortSignal) => Promise<Authority>;

/** Makes a call in one caller's name. It fails with a `ParlourError`, and with nothing else. */
export type Ask = <T>(request: Request<T>, options?: CallOptions) => Promise<T>;

export function caller(endpoint: Endpoint, authorize: Authorize): Ask {
  const { url, appKey, fetch, error } = endpoint;

  /** An id in a path. Checked, because `..` and nothing at all lead elsewhere, however encoded. */
  const segment = (id: string): string => {
    if (id && /^[\w@!-]+$/.test(id)) return encodeURIComponent(id);
    throw error("invalid_id", `"${id}" is no id: those are of a-z A-Z 0-9 @ _ - !`);
  };

  const pathOf = ({ cid, path, query = {} }: Request<unknown>): string => {
    const parts = cid === undefined ? path : ["channels", ...splitCid(cid, url), ...path];
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const pairs = given.map(([name, value]) => {
      const text = Array.isArray(value) ? value.map(segment).join(",") : encodeURIComponent(String(value));
      return `${name}=${text}`;
    });
    return parts.map(segment).join("/") + (pairs.length ? `?${pairs.join("&")}` : "");
  };

  return async <T>(request: Request<T>, options?: CallOptions): Promise<T> => {
    const { method, field } = request;
    const path = pathOf(request);
    const what = `${method} ${path}`;
    let body: string | undefined;
    try {
      body = JSON.stringify(request.body);
    } catch (cause) {
      throw error("invalid_input", `the request is no JSON: ${textOf(cause)}`, { cause });
    }

    const send = async ({ token, actsAs }: Authority, signal: AbortSignal): Promise<T> => {
      let response: Response;
      let text: string;
      try {
        // `fetch` as a function by itself: a browser's refuses to be a method of something else.
        response = await fetch(`${url}/v1/${path}`, {
          method,
          headers: {
            "x-parlour-app": appKey,
            authorization: `Bearer ${token}`,
            ...(actsAs && { "x-parlour-user": actsAs }),
            ...(body && { "content-type": "application/json" }),
          },
          body: body ?? null,
          // So that no token goes where it was not meant.
          redirect: "manual",
          signal,
        });
        text = await response.text();
      } catch (cause) {
        throw error("network", `${what}: ${textOf(cause)}`, { cause });
      }
      const { ok, status, headers } = response;
      if (!ok) throw refusal(status, text, headers.get("retry-after"), url);
      if (status === 204) return undefined as T;
      const answer = parsed(text);
      const value = field ? answer?.[field] : answer;
      if (Object(value) === value) return value as T;
      throw error("internal", `the answer to ${what} is not what this version understands: ${excerpt(text)}`);
    };

    return bounded(endpoint, what, options, async (signal) => {
      const authority = await authorize(undefined, signal);
      try {
        return await send(authority, signal);
      } catch (thrown) {
        // A token that is over is replaced once, by another one.
        if ((thrown as ParlourError).code !== "token_expired") throw thrown;
        const other = await authorize(authority.token, signal);
        if (other.token === authority.token) throw thrown;
        return send(other, signal);
      }
    });
  };
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
