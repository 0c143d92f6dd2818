// The app's backend: it holds the secret, acts over HTTP, and never connects.
//
// Not for browsers and apps on users' devices; those take `Client` with a user's token.

import { type CallOptions, type Endpoint, type EndpointOptions, endpointOf } from "./address.js";
import { refusal } from "./answers.js";
import { addKey, app, removeJwks, removeKey, revokeAllTokens, revokeTokens, setJwks } from "./app_endpoints.js";
import { type Ask, caller } from "./calls.js";
import {
  appLimits,
  changeLife,
  channelState,
  deleteChannel,
  deleteMessage,
  type DeleteUser,
  deleteUser,
  devices,
  distinctChannel,
  editMessage,
  exportUser,
  getOrCreate,
  markRead,
  markUnread,
  me,
  type MemberPage,
  members,
  message,
  type MessagePage,
  messages,
  queryChannels,
  queryUsers,
  registerDevice,
  removeDevice,
  sendMessage,
  setAppLimits,
  task,
  unread,
  updateChannel,
  updateMembers,
  updateUser,
  upsertUsers,
  type UsageQuery,
  usage,
  users,
} from "./endpoints.js";
import { parlourError, textOf } from "./errors.js";
import {
  bans,
  banUser,
  block,
  blocks,
  changeRole,
  flag,
  flags,
  liftBan,
  type ModerationPage,
  mute,
  mutes,
  unblock,
  unmute,
} from "./moderation.js";
import type {
  AddKey,
  AppLimits,
  AppLimitsResponse,
  AppResponse,
  Ban,
  BansResponse,
  BanUser,
  Block,
  ChannelResponse,
  ChannelRole,
  ChannelsResponse,
  ChannelState,
  Device,
  EditMessage,
  ExportLine,
  Flag,
  FlagContent,
  FlagsResponse,
  GetOrCreateChannel,
  JwksInfo,
  KeyResponse,
  MarkRead,
  Me,
  Member,
  MembersResponse,
  Message,
  MessageDraft,
  MessagesResponse,
  Mute,
  PartialUpdate,
  QueryChannels,
  QueryUsers,
  RegisterDevice,
  RevokeTokens,
  Task,
  Unread,
  UnreadTotals,
  UpdateMembers,
  UsageResponse,
  User,
  UserInput,
  UsersResponse,
} from "./wire.js";

export type { CallOptions, EndpointOptions } from "./address.js";
export type { DeleteUser, MemberPage, MessagePage, UsageQuery } from "./endpoints.js";
export { ParlourError } from "./errors.js";
export type { ExportLine, Task } from "./wire.js";
export type { ModerationPage } from "./moderation.js";

/** How long a server token is good for, in seconds. Each call makes its own. */
const SERVER_TOKEN_TTL_S = 300;

export interface ServerClientOptions extends EndpointOptions {
  /** The secret that belongs to the app key. Never ship it to a user's device. */
  secret: string;
}

/**
 * An app's backend. Needs no connection and no background task; it has no `connectUser`, and the server
 * refuses connections by server tokens. Runs on Node ≥ 18, Deno, Bun and others with `fetch` and WebCrypto.
 *
 * ```ts
 * const server = new ServerClient({ url: "http://127.0.0.1:8790", appKey: "dev", secret: "the secret" });
 * await server.upsertUsers([{ id: "alice", name: "Alice" }]);
 * const token = await server.createToken("alice", { ttlSeconds: 3_600 });
 * ```
 *
 * Every call fails with a `ParlourError`, and with nothing else.
 */
export class ServerClient {
  readonly #endpoint: Endpoint;
  readonly #secret: string;
  readonly #ask: Ask;
  #key: Promise<CryptoKey> | undefined;

  /**
   * Throws `invalid_input` for an address that is none, without a secret, and in a browser or an app; throws
   * `invalid_id` for an app key that is none.
   */
  constructor({ secret, ...endpoint }: ServerClientOptions) {
    if (isUsersDevice()) {
      throw parlourError(
        "invalid_input",
        "a ServerClient holds the app's secret, which does not belong on a user's device: use it in your " +
          "backend, and `Client` with a user's token here",
      );
    }
    if (typeof secret !== "string" || !secret) {
      throw parlourError("invalid_input", "the secret is empty: give the one that belongs to the app key");
    }
    this.#endpoint = endpointOf(endpoint);
    this.#secret = secret;
    this.#ask = this.#askAs();
  }

  /**
   * A token for a user, good for `ttlSeconds`; without an end where that is not given. Asks no server.
   *
   * Fails with `invalid_id` for an id that is none, `invalid_input` for a time that is none.
   */
  async createToken(userId: string, options: { ttlSeconds?: number | undefined } = {}): Promise<string> {
    const { ttlSeconds } = options;
    const claims = { user_id: this.#user(userId), iat: unixSeconds() };
    if (ttlSeconds === undefined) return this.#sign(claims);
    if (!(ttlSeconds >= 0 && ttlSeconds < Infinity)) {
      const why = `ttlSeconds is ${ttlSeconds}; give seconds, or nothing for a token without end`;
      throw parlourError("invalid_input", why, this.#endpoint.url);
    }
    return this.#sign({ ...claims, exp: claims.iat + Math.floor(ttlSeconds) });
  }

  /** Makes or replaces users, at most 100 at once. */
  upsertUsers(users: UserInput[], options?: CallOptions): Promise<User[]> {
    return this.#ask(upsertUsers(users), options);
  }

  /** Sets some of a user's fields, and removes others. */
  updateUser(userId: string, update: PartialUpdate, options?: CallOptions): Promise<User> {
    return this.#ask(updateUser(userId, update), options);
  }

  /** The users that match, a page of them. */
  queryUsers(query: QueryUsers, options?: CallOptions): Promise<UsersResponse> {
    return this.#ask(queryUsers(query), options);
  }

  /** Lets a user neither connect nor do anything; ends its connections. */
  deactivateUser(userId: string, options?: CallOptions): Promise<User> {
    return this.#ask(changeLife(userId, "deactivate"), options);
  }

  /** Lets a deactivated user come back. */
  reactivateUser(userId: string, options?: CallOptions): Promise<User> {
    return this.#ask(changeLife(userId, "reactivate"), options);
  }

  /** Deletes a user: at once, and by the task what it leaves behind. */
  deleteUser(userId: string, how: DeleteUser = {}, options?: CallOptions): Promise<Task> {
    return this.#ask(deleteUser(userId, how), options);
  }

  /** Brings back a user who was deleted, but not for good. */
  restoreUser(userId: string, options?: CallOptions): Promise<User> {
    return this.#ask(changeLife(userId, "restore"), options);
  }

  /** Gathers all that is stored of a user. When the task is completed, `exported` gives it. */
  exportUser(userId: string, options?: CallOptions): Promise<Task> {
    return this.#ask(exportUser(userId), options);
  }

  /** How far a task is. */
  task(id: string, options?: CallOptions): Promise<Task> {
    return this.#ask(task(id), options);
  }

  /** What a completed export gave, line by line as it comes. */
  async *exported(taskId: string): AsyncGenerator<ExportLine, void, undefined> {
    const { url, appKey, fetch, error } = this.#endpoint;
    const path = `/v1/tasks/${encodeURIComponent(taskId)}/result`;
    const headers = { "x-parlour-app": appKey, authorization: `Bearer ${await this.#serverToken()}` };
    let response: Response;
    try {
      response = await fetch(url + path, { headers });
    } catch (cause) {
      throw error("network", `GET ${path}: ${textOf(cause)}`, { cause });
    }
    const { ok, status, body } = response;
    if (!ok || !body) throw refusal(status, await response.text(), response.headers.get("retry-after"), url);
    try {
      yield* linesOf(body);
    } catch (cause) {
      throw error("network", `GET ${path}: ${textOf(cause)}`, { cause });
    }
  }

  /** Users by their ids, at most 100: those of them that exist. */
  users(ids: readonly string[], options?: CallOptions): Promise<User[]> {
    return this.#ask(users(ids), options);
  }

  /**
   * What the app used: active users, and connections at the same time by minute, hour, day or month, with what the
   * figures mean.
   */
  usage(query: UsageQuery = {}, options?: CallOptions): Promise<UsageResponse> {
    return this.#ask(usage(query), options);
  }

  /** What the app holds its users to: its own limits, and what holds with the server's configuration beneath them. */
  limits(options?: CallOptions): Promise<AppLimitsResponse> {
    return this.#ask(appLimits, options);
  }

  /** Sets all of the app's own limits; what is left out is as the server's configuration says it. */
  setLimits(limits: AppLimits, options?: CallOptions): Promise<AppLimitsResponse> {
    return this.#ask(setAppLimits(limits), options);
  }

  /** The app, with the further keys of its tokens. */
  app(options?: CallOptions): Promise<AppResponse> {
    return this.#ask(app, options);
  }

  /** Adds a key that tokens may be signed with. Its secret, if it has one, is told this once. */
  addKey(key: AddKey, options?: CallOptions): Promise<KeyResponse> {
    return this.#ask(addKey(key), options);
  }

  /** Removes a key: its tokens are refused from now on. */
  removeKey(kid: string, options?: CallOptions): Promise<void> {
    return this.#ask(removeKey(kid), options);
  }

  /**
   * Names the address at which keys of users' tokens stand, as JWKS: they are got now, and when tokens need them. Fails
   * with `invalid_input` where there are none to be had.
   */
  setJwks(url: string, options?: CallOptions): Promise<JwksInfo> {
    return this.#ask(setJwks(url), options);
  }

  /** Forgets that address: tokens of the keys that stand there are refused from now on. */
  removeJwks(options?: CallOptions): Promise<void> {
    return this.#ask(removeJwks, options);
  }

  /**
   * Takes back what was issued to a user before a time: now, where none is given; `null` takes an earlier revocation
   * back. Live connections with such a token end before this does.
   */
  async revokeTokens(userId: string, before?: Date | null, options?: CallOptions): Promise<void> {
    await this.#ask(revokeTokens(this.#user(userId), revocation(before)), options);
  }

  /** The same for all users of the app. */
  async revokeAllTokens(before?: Date | null, options?: CallOptions): Promise<void> {
    await this.#ask(revokeAllTokens(revocation(before)), options);
  }

  /** Bans a user from the app or from a channel. From the app: when this resolves, the user hears nothing more. */
  banUser(userId: string, ban: BanUser = {}, options?: CallOptions): Promise<Ban> {
    return this.#ask(banUser(userId, ban), options);
  }

  /** Lifts a ban from a channel, or from the app. */
  unbanUser(userId: string, from: { cid?: string | undefined } = {}, options?: CallOptions): Promise<void> {
    return this.#ask(liftBan(userId, from.cid), options);
  }

  /** A page of the bans in force, the latest first. */
  bans(page: ModerationPage = {}, options?: CallOptions): Promise<BansResponse> {
    return this.#ask(bans(page), options);
  }

  /** A page of what was flagged, the latest first. */
  flags(page: ModerationPage = {}, options?: CallOptions): Promise<FlagsResponse> {
    return this.#ask(flags(page), options);
  }

  /** Acts in the name of a user. Throws `invalid_id`. */
  asUser(userId: string): ActingUser {
    return new ActingUser(this.#askAs(this.#user(userId)));
  }

  /** Signs a token by HS256. */
  async #sign(claims: object): Promise<string> {
    const parts = [{ typ: "JWT", alg: "HS256" }, claims].map((part) => base64url(utf8(JSON.stringify(part))));
    const signed = parts.join(".");
    try {
      const { subtle } = await webCrypto();
      const hmac = { name: "HMAC", hash: "SHA-256" };
      this.#key ??= subtle.importKey("raw", utf8(this.#secret), hmac, false, ["sign"]);
      const signature = await subtle.sign("HMAC", await this.#key, utf8(signed));
      return `${signed}.${base64url(new Uint8Array(signature))}`;
    } catch (error) {
      const why = `the token could not be signed: ${textOf(error)}`;
      throw parlourError("internal", why, this.#endpoint.url, { cause: error });
    }
  }

  /** A user's id stands in tokens and headers, where no server says what is wrong with it. */
  #user(id: string): string {
    // An id that is missing must not become a user called "undefined".
    if (typeof id === "string" && /^[a-z0-9@_-]{1,128}$/.test(id)) return id;
    const why = `"${id}" is no user id: those are 1-128 of a-z 0-9 @ _ -`;
    throw parlourError("invalid_id", why, this.#endpoint.url);
  }

  #askAs(actsAs?: string): Ask {
    return caller(this.#endpoint, async (refused) => {
      // Made just now: a server to which it is over already has another clock, and takes no other either.
      if (refused) return { token: refused };
      return { token: await this.#serverToken(), ...(actsAs && { actsAs }) };
    });
  }

  #serverToken(): Promise<string> {
    const iat = unixSeconds();
    return this.#sign({ server: true, iat, exp: iat + SERVER_TOKEN_TTL_S });
  }
}

/** `null` is a value of its own here, which the type of the field leaves out. */
const revocation = (before?: Date | null): RevokeTokens =>
  before === undefined ? {} : ({ revoke_tokens_issued_before: before && before.toISOString() } as RevokeTokens);

/** A user, in the hands of the app's backend. */
export class ActingUser {
  readonly #ask: Ask;

  /** @internal */
  constructor(ask: Ask) {
    this.#ask = ask;
  }

  /** The user's own view of itself; undefined while it was never made. */
  async me(options?: CallOptions): Promise<Me | undefined> {
    return (await this.#ask(me, options)).me;
  }

  /** The channel `type:id`. Asks nothing yet. */
  channel(type: string, id: string): ActingChannel {
    return this.channelAt(`${type}:${id}`);
  }

  /** The channel with this full name, `type:id`. Asks nothing yet. */
  channelAt(cid: string): ActingChannel {
    return new ActingChannel(this.#ask, cid);
  }

  /** The channel that is made of exactly these members and the user. */
  createDistinct(
    type: string,
    members: readonly string[],
    data: Record<string, unknown> = {},
    options?: CallOptions,
  ): Promise<ChannelResponse> {
    return this.#ask(distinctChannel(type, { members: [...members], data }), options);
  }

  /** The channels that match, of those that the user may see. */
  queryChannels(query: QueryChannels = {}, options?: CallOptions): Promise<ChannelsResponse> {
    return this.#ask(queryChannels(query), options);
  }

  /** Registers a device for push: at most 25 of a user, and whoever had this one before has it no more. */
  registerDevice(device: RegisterDevice, options?: CallOptions): Promise<Device> {
    return this.#ask(registerDevice(device), options);
  }

  /** The user's devices for push, the earliest registered first. */
  devices(options?: CallOptions): Promise<Device[]> {
    return this.#ask(devices, options);
  }

  /** Removes one of the user's devices. */
  removeDevice(id: string, options?: CallOptions): Promise<void> {
    return this.#ask(removeDevice(id), options);
  }

  /** The user's unread state. */
  unread(options?: CallOptions): Promise<UnreadTotals> {
    return this.#ask(unread, options);
  }

  /** Bans a user from the app or from a channel, and is named as who did. */
  banUser(userId: string, ban: BanUser = {}, options?: CallOptions): Promise<Ban> {
    return this.#ask(banUser(userId, ban), options);
  }

  /** Mutes another user, for some time or for good; whom this one mutes. */
  muteUser(userId: string, mutes: { seconds?: number | undefined } = {}, options?: CallOptions): Promise<Mute[]> {
    const { seconds } = mutes;
    return this.#ask(mute({ user_id: userId, ...(seconds !== undefined && { duration_s: seconds }) }), options);
  }

  /** Hears another user again. */
  unmuteUser(userId: string, options?: CallOptions): Promise<Mute[]> {
    return this.#ask(unmute(userId), options);
  }

  /** Whom the user mutes. */
  mutes(options?: CallOptions): Promise<Mute[]> {
    return this.#ask(mutes, options);
  }

  /** Blocks another user: nothing is sent between the two any more. Whom this one blocks. */
  blockUser(userId: string, options?: CallOptions): Promise<Block[]> {
    return this.#ask(block(userId), options);
  }

  /** Takes a block back. */
  unblockUser(userId: string, options?: CallOptions): Promise<Block[]> {
    return this.#ask(unblock(userId), options);
  }

  /** Whom the user blocks. */
  blocks(options?: CallOptions): Promise<Block[]> {
    return this.#ask(blocks, options);
  }

  /** Tells the moderators of a user or a message; again is the same. */
  flag(content: FlagContent, options?: CallOptions): Promise<Flag> {
    return this.#ask(flag(content), options);
  }
}

/** A channel, in the hands of the app's backend in the name of a user. */
export class ActingChannel {
  readonly #ask: Ask;
  /** The channel's full name, `type:id`. */
  readonly cid: string;

  /** @internal */
  constructor(ask: Ask, cid: string) {
    this.#ask = ask;
    this.cid = cid;
  }

  /** Makes the channel with these members beside the user, and this data; or gives the one that is there. */
  getOrCreate(request: GetOrCreateChannel = {}, options?: CallOptions): Promise<ChannelResponse> {
    return this.#ask(getOrCreate(this.cid, request), options);
  }

  /** The channel as it is now, with this many of its latest messages (0 to 100). */
  state(messages: number, options?: CallOptions): Promise<ChannelState> {
    return this.#ask(channelState(this.cid, messages), options);
  }

  /** Sets some of the channel's fields, and removes others. */
  update(update: PartialUpdate, options?: CallOptions): Promise<ChannelState> {
    return this.#ask(updateChannel(this.cid, update), options);
  }

  /** Deletes the channel, for everybody. */
  deleteChannel(options?: CallOptions): Promise<void> {
    return this.#ask(deleteChannel(this.cid), options);
  }

  /** Adds and removes members in one step, at most 100 in all. */
  updateMembers(update: UpdateMembers, options?: CallOptions): Promise<ChannelState> {
    return this.#ask(updateMembers(this.cid, update), options);
  }

  /** Makes a member a moderator or an owner, or an ordinary one again. */
  changeRole(userId: string, role: ChannelRole, options?: CallOptions): Promise<Member> {
    return this.#ask(changeRole(this.cid, userId, role), options);
  }

  /** A page of members, by the time they joined. */
  members(page: MemberPage = {}, options?: CallOptions): Promise<MembersResponse> {
    return this.#ask(members(this.cid, page), options);
  }

  /**
   * Sends a text or a message, once: a backend has queues of its own. After an unknown outcome (`timeout`,
   * `network`) send it again with the same id; give one in the draft for that.
   */
  send(message: string | MessageDraft, options?: CallOptions): Promise<Message> {
    const draft = typeof message === "string" ? { text: message } : message;
    return this.#ask(sendMessage(this.cid, draft), options);
  }

  /** A page of messages, oldest first. */
  messages(page: MessagePage = {}, options?: CallOptions): Promise<MessagesResponse> {
    return this.#ask(messages(this.cid, page), options);
  }

  /** One message. */
  message(id: string, options?: CallOptions): Promise<Message> {
    return this.#ask(message(this.cid, id), options);
  }

  /** Changes a message. */
  editMessage(id: string, edit: EditMessage, options?: CallOptions): Promise<Message> {
    return this.#ask(editMessage(this.cid, id, edit), options);
  }

  /** Deletes a message; its place is kept. */
  delete(id: string, options?: CallOptions): Promise<Message> {
    return this.#ask(deleteMessage(this.cid, id), options);
  }

  /** Deletes a message without a trace of what it was. */
  deleteHard(id: string, options?: CallOptions): Promise<Message> {
    return this.#ask(deleteMessage(this.cid, id, true), options);
  }

  /** Marks messages as read: up to a message, up to a seq, or all. */
  markRead(mark: MarkRead = {}, options?: CallOptions): Promise<Unread> {
    return this.#ask(markRead(this.cid, mark), options);
  }

  /** Makes this message and all after it unread again. */
  markUnread(id: string, options?: CallOptions): Promise<Unread> {
    return this.#ask(markUnread(this.cid, id), options);
  }
}

/** The objects of a text that has one in each line, as it comes. */
async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<ExportLine, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      text += decoder.decode(value, { stream: !done });
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) yield JSON.parse(line) as ExportLine;
      if (done) return;
    }
  } finally {
    await reader.cancel();
  }
}

/** Node 18 has it, but not as a global. */
async function webCrypto(): Promise<Crypto> {
  return globalThis.crypto ?? (await import("node:crypto")).webcrypto;
}

const utf8 = (text: string) => new TextEncoder().encode(text);

function base64url(bytes: Uint8Array): string {
  const base64 = btoa(String.fromCharCode(...bytes));
  return base64.replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
}

const unixSeconds = () => Math.floor(Date.now() / 1_000);

/** Whether this runs where a user could read the app's secret: in a browser or an app. */
function isUsersDevice(): boolean {
  const scope = globalThis as {
    window?: unknown;
    document?: unknown;
    Deno?: unknown;
    process?: { versions?: { node?: string; electron?: string } };
    navigator?: { product?: string };
  };
  if (scope.navigator?.product === "ReactNative") return true;
  // Tests on a server may have a page's globals; so do the pages of Electron, which have Node's too.
  const { node, electron } = scope.process?.versions ?? {};
  const isServer = scope.Deno !== undefined || (node !== undefined && electron === undefined);
  return scope.window !== undefined && scope.document !== undefined && !isServer;
}
