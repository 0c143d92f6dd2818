// The calls that the server offers: one function per endpoint, which says what the request is.
//
// Not here: how a request is made and answered (calls.ts).

import type {
  AppLimits,
  AppLimitsResponse,
  ChannelResponse,
  ChannelsResponse,
  ChannelState,
  Device,
  EditMessage,
  GetOrCreateChannel,
  MarkRead,
  MembersResponse,
  MeResponse,
  Message,
  MessageDraft,
  MessagesResponse,
  PartialUpdate,
  QueryChannels,
  QueryUsers,
  RegisterDevice,
  Task,
  Unread,
  UnreadTotals,
  UpdateMembers,
  UsageResponse,
  User,
  UserInput,
  UsersResponse,
} from "./wire.js";

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

/** How a user is deleted. */
export interface DeleteUser {
  /** For good: nothing brings the user back, and its id is not given again. Else it can be restored. */
  hard?: boolean | undefined;
  /** What becomes of its messages: they stay (the default), their text goes, or with `hard` they go. */
  messages?: "keep" | "soft" | "hard" | undefined;
  /** With `hard`: whether channels of the user and at most one other are deleted. Default: they stay. */
  channels?: "keep" | "direct" | undefined;
}

/** Which figures of what the app used: the last sixty minutes, unless something is said. */
export interface UsageQuery {
  /** The whole of a month (UTC), such as `2026-11`: its active users, and its days. */
  month?: string | undefined;
  /** The length of the periods. */
  granularity?: "minute" | "hour" | "day" | "month" | undefined;
  /** As many of the latest periods, 1 to 1,500. */
  last?: number | undefined;
  /** Instead of `last`: from the period that holds this time, as RFC 3339. */
  from?: string | undefined;
  /** Up to this time, exclusive. Default: now. */
  to?: string | undefined;
}

/** One request. Its ids are checked when it is made. */
export interface Request<Answer> {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** The channel in which `path` begins. */
  readonly cid?: string;
  /** The parts of the path. */
  readonly path: readonly string[];
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
  readonly body?: unknown;
  /** The field of the answer that is the value; absent where the value is the whole answer. */
  readonly field?: string;
  /** Never there: it names the type of the value. */
  readonly answer?: Answer;
}

export const me: Request<MeResponse> = { method: "GET", path: ["me"] };

export const unread: Request<UnreadTotals> = { method: "GET", path: ["unread"] };

export const appLimits: Request<AppLimitsResponse> = { method: "GET", path: ["app", "limits"] };

export const setAppLimits = (limits: AppLimits): Request<AppLimitsResponse> => ({
  method: "PUT",
  path: ["app", "limits"],
  body: limits,
});

export const usage = (query: UsageQuery): Request<UsageResponse> => ({
  method: "GET",
  path: ["usage"],
  query: { ...query },
});

export const upsertUsers = (users: readonly UserInput[]): Request<User[]> => ({
  method: "POST",
  path: ["users"],
  body: { users },
  field: "users",
});

export const users = (ids: readonly string[]): Request<User[]> => ({
  method: "GET",
  path: ["users"],
  query: { ids },
  field: "users",
});

export const queryUsers = (query: QueryUsers): Request<UsersResponse> => ({
  method: "POST",
  path: ["users", "query"],
  body: query,
});

/** Deactivates, reactivates or restores a user. */
export const changeLife = (id: string, verb: "deactivate" | "reactivate" | "restore"): Request<User> => ({
  method: "POST",
  path: ["users", id, verb],
  field: "user",
});

export const deleteUser = (id: string, { hard, messages, channels }: DeleteUser): Request<Task> => ({
  method: "DELETE",
  path: ["users", id],
  query: { hard, messages, channels },
  field: "task",
});

export const exportUser = (id: string): Request<Task> => ({
  method: "POST",
  path: ["users", id, "export"],
  field: "task",
});

export const task = (id: string): Request<Task> => ({ method: "GET", path: ["tasks", id], field: "task" });

export const registerDevice = (device: RegisterDevice): Request<Device> => ({
  method: "POST",
  path: ["devices"],
  body: device,
  field: "device",
});

export const devices: Request<Device[]> = { method: "GET", path: ["devices"], field: "devices" };

export const removeDevice = (id: string): Request<void> => ({
  method: "DELETE",
  path: ["devices"],
  query: { id },
});

export const updateUser = (id: string, update: PartialUpdate): Request<User> => ({
  method: "PATCH",
  path: ["users", id],
  body: update,
  field: "user",
});

export const queryChannels = (query: QueryChannels): Request<ChannelsResponse> => ({
  method: "POST",
  path: ["channels"],
  body: query,
});

export const distinctChannel = (type: string, body: GetOrCreateChannel): Request<ChannelResponse> => ({
  method: "POST",
  path: ["channels", type],
  body,
});

export const getOrCreate = (cid: string, body: GetOrCreateChannel): Request<ChannelResponse> => ({
  method: "POST",
  cid,
  path: [],
  body,
});

/** `messages`: how many of the latest to give, 0 to 100. */
export const channelState = (cid: string, messages: number): Request<ChannelState> => ({
  method: "GET",
  cid,
  path: [],
  query: { messages },
});

export const updateChannel = (cid: string, body: PartialUpdate): Request<ChannelState> => ({
  method: "PATCH",
  cid,
  path: [],
  body,
});

export const deleteChannel = (cid: string): Request<void> => ({ method: "DELETE", cid, path: [] });

export const updateMembers = (cid: string, body: UpdateMembers): Request<ChannelState> => ({
  method: "POST",
  cid,
  path: ["members"],
  body,
});

export const members = (cid: string, { limit, next }: MemberPage): Request<MembersResponse> => ({
  method: "GET",
  cid,
  path: ["members"],
  query: { limit, next },
});

export const sendMessage = (cid: string, message: MessageDraft): Request<Message> => ({
  method: "POST",
  cid,
  path: ["messages"],
  body: { message },
  field: "message",
});

export const messages = (cid: string, { aroundId, ...page }: MessagePage): Request<MessagesResponse> => ({
  method: "GET",
  cid,
  path: ["messages"],
  query: { ...page, around_id: aroundId },
});

export const message = (cid: string, id: string): Request<Message> => ({
  method: "GET",
  cid,
  path: ["messages", id],
  field: "message",
});

export const editMessage = (cid: string, id: string, body: EditMessage): Request<Message> => ({
  method: "PATCH",
  cid,
  path: ["messages", id],
  body,
  field: "message",
});

/** `hard`: without a trace of what it was, which only a server may. */
export const deleteMessage = (cid: string, id: string, hard?: true): Request<Message> => ({
  method: "DELETE",
  cid,
  path: ["messages", id],
  query: { hard },
  field: "message",
});

export const markRead = (cid: string, body: MarkRead): Request<Unread> => ({
  method: "POST",
  cid,
  path: ["read"],
  body,
  field: "unread",
});

export const markUnread = (cid: string, messageId: string): Request<Unread> => ({
  method: "POST",
  cid,
  path: ["unread"],
  body: { message_id: messageId },
  field: "unread",
});
