// Asking over HTTP: the one way to make a request.
//
// Not here: which requests there are (endpoints.ts), who the user is and where tokens come from (`Authorize`), and
// what is repeated after a failure.

import { bounded, type CallOptions, type Endpoint, splitCid } from "./address.js";
import { excerpt, parsed, refusal } from "./answers.js";
import type { Request } from "./endpoints.js";
import { type ParlourError, textOf } from "./errors.js";

/** Proof of who calls. */
export interface Authority {
  /** Absent: there is none to show. */
  token?: string;
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
            ...(token && { authorization: `Bearer ${token}` }),
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
