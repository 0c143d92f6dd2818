// A server for tests, in the place of `fetch`: answers what it is told to, remembers what it was asked.

import type { ErrorBody } from "../src/wire.js";

export interface Asked {
  method: string;
  /** Without the server's address. */
  path: string;
  headers: Record<string, string>;
  body: unknown;
  redirect: string | undefined;
  signal: AbortSignal;
}

/** An answer, or what makes it. */
export type Answer = Response | ((asked: Asked) => Promise<Response> | Response);

export const BASE = "https://chat.example.com/parlour";

/** Gives the answers in their order. */
export function fakeFetch(...answers: Answer[]) {
  const asked: Asked[] = [];
  const fetch = async function (this: unknown, url: string, init: RequestInit): Promise<Response> {
    // As browsers do.
    if (this !== undefined) throw new TypeError("Illegal invocation");
    const text = init.body as string | null;
    const one: Asked = {
      method: init.method!,
      path: url.replace(BASE, ""),
      headers: init.headers as Record<string, string>,
      body: text === null ? undefined : JSON.parse(text),
      redirect: init.redirect,
      signal: init.signal!,
    };
    asked.push(one);
    const answer = answers.shift();
    if (!answer) throw new Error(`one call too many: ${one.method} ${one.path}`);
    return typeof answer === "function" ? answer(one) : answer;
  };
  return { fetch: fetch as unknown as typeof globalThis.fetch, asked };
}

export const json = (body: unknown, status = 200): Response => Response.json(body, { status });

/** An error as the server gives it. */
export const refused = (fields: Partial<ErrorBody> & { code: string; status: number }): Response => {
  const { code, status } = fields;
  const error = { message: "no", hint: "ask", retryable: false, docs: `/docs/errors/${code}`, ...fields };
  return json({ error }, status);
};

/** Never answers, and heeds an abort as a real `fetch` does. */
export const silent = ({ signal }: Asked): Promise<Response> =>
  new Promise((_, reject) => {
    const aborted = () => reject(new DOMException("This operation was aborted", "AbortError"));
    signal.addEventListener("abort", aborted);
  });

/** Never answers, whatever happens. */
export const deaf = (): Promise<Response> => new Promise(() => {});
