// Asking over HTTP: one method per endpoint, one way to make a request.
//
// Not here: who the user is and where tokens come from (`Authorize`), and what is repeated after a failure.

import { type ClientErrorCode, ParlourError, parlourError, refusal, textOf } from "./errors.js";
import type {
  ChannelResponse,
  ChannelsResponse,
  ChannelState,
  EditMessage,
  ErrorBody,
  GetOrCreateChannel,
  MarkRead,
  MembersResponse,
  MeResponse,
  Message,
  MessageDraft,
  MessagesResponse,
  PartialUpdate,
  QueryChannels,
  Unread,
  UnreadTotals,
  UpdateMembers,
  UsageResponse,
  User,
  UserInput,
} from "./wire.js";

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
const ADDRESS = /^(https?)(:\/\/([^\s/?#@:\\[\]]+|\[[\da-f:.]+\])(:\d{1,5})?(\/[^\s?#]*)?)$/i;

/** A server's address, without a slash at its end. Throws `invalid_input` for a text that is none. */
export function parseBaseUrl(text: string): string {
  const [, scheme, rest] = ADDRESS.exec(String(text).trim()) ?? [];
  if (scheme && rest) return scheme.toLowerCase() + rest.replace(/\/+$/, "");
  const like = "it looks like http://127.0.0.1:8790, without query, fragment or credentials";
  throw parlourError("invalid_input", `"${text}" is no address of a server: ${like}`);
}

/** Where connections are opened. */
export function connectUrl(base: string): string {
  // http → ws, https → wss.
  return `ws${base.slice("http".length)}/v1/connect`;
}

/** A channel's type and id. Throws `invalid_id` where there are not both. */
export function splitCid(cid: string, docsBase?: string): [type: string, id: string] {
  const [type, id, ...more] = String(cid).split(":");
  if (type && id && !more.length) return [type, id];
  throw parlourError("invalid_id", `a cid is a channel's type and id, type:id; "${cid}" is none`, docsBase);
}

/** Proof of who calls. */
export interface Authority {
  token: string;
  /** In whose name a server calls. */
  actsAs?: string;
}

/**
 * Gives proof of who calls. `refused` is the token that was just answered with `token_expired`; the answer is
 * undefined where there is no other. Waits as long as it must, until the user is there; `signal` ends that.
 */
export type Authorize = (refused: string | undefined, signal: AbortSignal) => Promise<Authority | undefined>;

/** Which messages of a channel: the latest, unless one of the places is named. */
export interface MessagePage {
  /** 1 to 100. Default: 25. */
  limit?: number | undefined;
  /** Those right before this seq. */
  before?: number | undefined;
  /** Those right after this seq. */
  after?: number | undefined;
  /** Those on both sides of this seq. */
  around?: number | undefined;
  /** Those on both sides of the message with this id. */
  aroundId?: string | undefined;
}

/** Which members of a channel. */
export interface MemberPage {
  /** 1 to 100. */
  limit?: number | undefined;
  /** The `next` of the page before. */
  next?: string | undefined;
}

type Method = "GET" | "POST" | "PATCH" | "DELETE";

/** The calls of one caller. All fail with a `ParlourError`, and with nothing else. */
export class Calls {
  readonly #endpoint: Endpoint;
  readonly #authorize: Authorize;

  constructor(endpoint: Endpoint, authorize: Authorize) {
    this.#endpoint = endpoint;
    this.#authorize = authorize;
  }

  async me(options?: CallOptions): Promise<MeResponse> {
    return this.#call("GET", "me", options);
  }

  async upsertUsers(users: UserInput[], options?: CallOptions): Promise<User[]> {
    return this.#call("POST", "users", options, { users }, "users");
  }

  async users(ids: readonly string[], options?: CallOptions): Promise<User[]> {
    return this.#call("GET", `users?ids=${ids.map(this.#segment).join(",")}`, options, undefined, "users");
  }

  async updateUser(id: string, update: PartialUpdate, options?: CallOptions): Promise<User> {
    return this.#call("PATCH", `users/${this.#segment(id)}`, options, update, "user");
  }

  async queryChannels(query: QueryChannels, options?: CallOptions): Promise<ChannelsResponse> {
    return this.#call("POST", "channels", options, query);
  }

  async distinctChannel(
    type: string,
    request: GetOrCreateChannel,
    options?: CallOptions,
  ): Promise<ChannelResponse> {
    return this.#call("POST", `channels/${this.#segment(type)}`, options, request);
  }

  async getOrCreate(
    cid: string,
    request: GetOrCreateChannel,
    options?: CallOptions,
  ): Promise<ChannelResponse> {
    return this.#call("POST", this.#channel(cid), options, request);
  }

  /** `messages`: how many of the latest to give, 0 to 100. */
  async channel(cid: string, messages: number, options?: CallOptions): Promise<ChannelState> {
    return this.#call("GET", this.#channel(cid) + query({ messages }), options);
  }

  async updateChannel(cid: string, update: PartialUpdate, options?: CallOptions): Promise<ChannelState> {
    return this.#call("PATCH", this.#channel(cid), options, update);
  }

  async deleteChannel(cid: string, options?: CallOptions): Promise<void> {
    return this.#call("DELETE", this.#channel(cid), options);
  }

  async updateMembers(cid: string, update: UpdateMembers, options?: CallOptions): Promise<ChannelState> {
    return this.#call("POST", this.#channel(cid, "members"), options, update);
  }

  async members(cid: string, { limit, next }: MemberPage, options?: CallOptions): Promise<MembersResponse> {
    return this.#call("GET", this.#channel(cid, "members") + query({ limit, next }), options);
  }

  async sendMessage(cid: string, message: MessageDraft, options?: CallOptions): Promise<Message> {
    return this.#call("POST", this.#channel(cid, "messages"), options, { message }, "message");
  }

  async messages(cid: string, page: MessagePage, options?: CallOptions): Promise<MessagesResponse> {
    const { aroundId: around_id, ...rest } = page;
    return this.#call("GET", this.#channel(cid, "messages") + query({ ...rest, around_id }), options);
  }

  async message(cid: string, id: string, options?: CallOptions): Promise<Message> {
    return this.#call("GET", this.#channel(cid, "messages", id), options, undefined, "message");
  }

  async editMessage(cid: string, id: string, edit: EditMessage, options?: CallOptions): Promise<Message> {
    return this.#call("PATCH", this.#channel(cid, "messages", id), options, edit, "message");
  }

  /** `hard`: without a trace of what it was, which only a server may. */
  async deleteMessage(
    cid: string,
    id: string,
    { hard, ...options }: CallOptions & { hard?: boolean } = {},
  ): Promise<Message> {
    const path = this.#channel(cid, "messages", id) + query({ hard: hard || undefined });
    return this.#call("DELETE", path, options, undefined, "message");
  }

  async markRead(cid: string, mark: MarkRead, options?: CallOptions): Promise<Unread> {
    return this.#call("POST", this.#channel(cid, "read"), options, mark, "unread");
  }

  async markUnread(cid: string, messageId: string, options?: CallOptions): Promise<Unread> {
    return this.#call("POST", this.#channel(cid, "unread"), options, { message_id: messageId }, "unread");
  }

  async unread(options?: CallOptions): Promise<UnreadTotals> {
    return this.#call("GET", "unread", options);
  }

  async usage(minutes: number, options?: CallOptions): Promise<UsageResponse> {
    return this.#call("GET", `usage${query({ minutes })}`, options);
  }

  #channel(cid: string, ...rest: string[]): string {
    return ["channels", ...splitCid(cid, this.#endpoint.url), ...rest].map(this.#segment).join("/");
  }

  /** An id in a path. Checked, because `..` and nothing at all lead elsewhere, however encoded. */
  #segment = (id: string): string => {
    const at = String(id).search(/[^\w@!-]/);
    if (id && at < 0) return encodeURIComponent(id);
    const why = id ? `character ${at + 1} is none of a-z A-Z 0-9 @ _ - !` : "it is empty";
    throw this.#endpoint.error("invalid_id", `"${id}" is no id: ${why}`);
  };

  /** One call within its time; a token that is over is replaced once, by another one. */
  async #call<T>(
    method: Method,
    path: string,
    options: CallOptions | undefined,
    body?: unknown,
    field?: string,
  ): Promise<T> {
    const { error } = this.#endpoint;
    const what = `${method} ${path}`;
    let json: string | undefined;
    try {
      json = JSON.stringify(body);
    } catch (cause) {
      throw error("invalid_input", `the request is no JSON: ${textOf(cause)}`, { cause });
    }
    const request = { method, path, what, field, json };
    return bounded(this.#endpoint, what, options, async (signal) => {
      const authority = await this.#authorize(undefined, signal);
      if (!authority) throw error("not_logged_in", "the client has no user");
      try {
        return await this.#ask<T>(request, authority, signal);
      } catch (thrown) {
        if ((thrown as ParlourError).code !== "token_expired") throw thrown;
        const other = await this.#authorize(authority.token, signal);
        if (!other || other.token === authority.token) throw thrown;
        return this.#ask<T>(request, other, signal);
      }
    });
  }

  async #ask<T>(
    { method, path, what, field, json }: Ask,
    { token, actsAs }: Authority,
    signal: AbortSignal,
  ): Promise<T> {
    // As a function by itself: a browser's `fetch` refuses to be a method of something else.
    const { url, appKey, fetch, error } = this.#endpoint;
    if (!/^[\x20-\x7e]*$/.test(token)) {
      throw error("token_malformed", "the token has characters that no header can carry");
    }
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${url}/v1/${path}`, {
        method,
        headers: {
          "x-parlour-app": appKey,
          authorization: `Bearer ${token}`,
          ...(actsAs && { "x-parlour-user": actsAs }),
          ...(json && { "content-type": "application/json" }),
        },
        body: json ?? null,
        // So that no token goes where it was not meant.
        redirect: "manual",
        signal,
      });
      text = await response.text();
    } catch (cause) {
      throw error("network", `${what}: ${textOf(cause)}`, { cause });
    }
    if (!response.ok) throw refusal(response.status, text, response.headers.get("retry-after"), url);
    if (response.status === 204) return undefined as T;
    try {
      const answer = JSON.parse(text);
      const value = field ? answer[field] : answer;
      if (Object(value) === value) return value;
      throw new TypeError(`it is ${text.slice(0, 200)}`);
    } catch (cause) {
      const why = `the answer to ${what} is not what this version understands: ${textOf(cause)}`;
      throw error("internal", why, { cause });
    }
  }
}

/** One request, as often as it is made. */
interface Ask {
  method: Method;
  path: string;
  /** For people. */
  what: string;
  /** The field of the answer that is the value; absent where the value is the whole answer. */
  field: string | undefined;
  json: string | undefined;
}

function query(parameters: Record<string, string | number | boolean | undefined>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return given.map(([name, value], at) => `${at ? "&" : "?"}${name}=${encodeURIComponent(value!)}`).join("");
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
