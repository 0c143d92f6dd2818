// What every request of a transport over HTTP has in common.
//
// Not here: the calls of the API (calls.ts). Those read whole answers, and these may never end.

import type { Endpoint } from "../address.js";

/** Characters of a body that is told where it is not what was asked for. */
const TOLD_CHARS_MAX = 300;

export interface Sending {
  signal: AbortSignal;
  /** Whether it may outlive the page. */
  keepalive?: boolean;
}

/** Sends one request. `path` is without `/v1/`; no token belongs into it. */
export function post(
  { url, fetch }: Endpoint,
  path: string,
  body: string,
  headers: Record<string, string>,
  sending: Sending,
): Promise<Response> {
  return fetch(`${url}/v1/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
    cache: "no-store",
    credentials: "omit",
    // So that no token goes where it was not meant.
    redirect: "error",
    ...sending,
  });
}

/** Says hello. Resolves with the answer as soon as its head is there; rejects where it is of another kind. */
export async function connect(
  endpoint: Endpoint,
  media: string,
  hello: string,
  signal: AbortSignal,
): Promise<Response> {
  const response = await post(endpoint, "connect", hello, { accept: media }, { signal });
  const { status, headers } = response;
  if (status === 200 && headers.get("content-type")?.startsWith(media)) return response;
  throw answered(status, await response.text());
}

/** What the server, or something before it, answered instead. */
export const answered = (status: number, text: string): Error =>
  new Error(`the server answered ${status}: ${text.slice(0, TOLD_CHARS_MAX)}`);

/** Waits; less long where `signal` aborts meanwhile. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end);
  });
}
