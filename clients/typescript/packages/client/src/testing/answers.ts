// A fake server's answers over HTTP: those calls that an app's own flows are made of.
//
// A call that is not here is `not_found`, and says so.

import type {
  ChannelState,
  EditMessage,
  GetOrCreateChannel,
  MarkRead,
  MarkUnread,
  Message,
  MessageDraft,
  PartialUpdate,
  QueryChannels,
  UpdateMembers,
} from "../wire.js";
import { isoNow, Refusal, splitCid, type World } from "./world.js";

/** Messages and channels in a page, where a call says nothing else. */
const PAGE = 25;
const TEXT_CHARS_MAX = 5_000;

export interface Call {
  user: string;
  method: string;
  /** Without `/v1/`. */
  path: string[];
  query: URLSearchParams;
  body: unknown;
}

export interface Answer {
  status: number;
  body: unknown;
}

const ok = (body: unknown, status = 200): Answer => ({ status, body });

/** Does what is asked. Throws a `Refusal`. */
export function answer(world: World, call: Call): Answer {
  const { user, method, path, query } = call;
  const [first, ...rest] = path;
  switch (`${method} ${first}/${rest.length}`) {
    case "GET me/0":
      return ok({ me: world.me(user) ?? null });
    case "GET unread/0":
      return ok(world.unreadTotals(user));
    case "GET users/0":
      return ok({ users: (query.get("ids") ?? "").split(",").flatMap((id) => world.users.get(id) ?? []) });
    case "PATCH users/1":
      return rest[0] === user ? updateMe(world, call) : unknown(call);
    case "POST channels/0":
      return queryChannels(world, call);
    case "POST channels/2":
      return getOrCreate(world, call, rest.join(":"));
  }
  if (first !== "channels" || rest.length < 2) return unknown(call);
  const [type, id, ...more] = rest;
  const cid = `${type}:${id}`;
  if (!world.mayRead(cid, user)) {
    throw new Refusal("not_found", `there is no channel ${cid}, or ${user} may not see it`);
  }
  return inChannel(world, call, cid, more);
}

function unknown({ method, path }: Call): never {
  throw new Refusal("not_found", `the fake server does not answer ${method} ${path.join("/")}`);
}

function inChannel(world: World, call: Call, cid: string, [what, id]: string[]): Answer {
  const { user, method, query, body } = call;
  switch (`${method} ${what ?? ""}${id === undefined ? "" : "/id"}`) {
    case "GET ":
      return ok(world.state(cid, user, Number(query.get("messages") ?? PAGE)));
    case "GET members": {
      const { members } = world.state(cid, user, 0);
      return ok({ members, member_count: members.length });
    }
    case "POST members": {
      const { add = [], remove = [] } = body as UpdateMembers;
      for (const user of add) world.addMember(cid, user);
      for (const user of remove) world.removeMember(cid, user);
      return ok(world.state(cid, user, 0));
    }
    case "POST messages":
      return send(world, user, cid, (body as { message: MessageDraft }).message);
    case "GET messages":
      return ok(page(world, cid, query));
    case "GET messages/id":
      return ok({ message: found(world, cid, id!) });
    case "PATCH messages/id":
      return edit(world, call, cid, id!);
    case "DELETE messages/id":
      return remove(world, call, cid, id!);
    case "POST read":
      return markRead(world, user, cid, (body ?? {}) as MarkRead);
    case "POST unread":
      world.unreadFrom(cid, user, found(world, cid, (body as MarkUnread).message_id).seq);
      return unread(world, user, cid);
  }
  return unknown(call);
}

function updateMe(world: World, { user, body }: Call): Answer {
  const { set = {}, unset = [] } = body as PartialUpdate;
  const updated = without({ ...world.user(user), ...set, updated_at: isoNow() }, unset);
  world.users.set(user, updated);
  world.publish(`user:${user}`, { type: "user.updated", created_at: updated.updated_at, user: updated });
  return ok({ user: updated });
}

function without<T extends object>(fields: T, names: readonly string[]): T {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name))) as T;
}

// Channels.

function getOrCreate(world: World, { user, body }: Call, cid: string): Answer {
  const { members = [], data, messages = PAGE } = (body ?? {}) as GetOrCreateChannel;
  splitCid(cid);
  const created = !world.rooms.has(cid);
  if (!created && !world.mayRead(cid, user)) throw new Refusal("not_found");
  if (created) world.openChannel(cid, [user, ...members], data);
  return ok({ ...world.state(cid, user, messages), created }, created ? 201 : 200);
}

function queryChannels(world: World, { user, body }: Call): Answer {
  const { filter = {}, limit = PAGE, messages = PAGE } = (body ?? {}) as QueryChannels;
  const fits = fitting(Object.keys(filter).length ? filter : { members: user });
  const seen = [...world.rooms.keys()].filter((cid) => world.mayRead(cid, user));
  const latest = ({ channel }: ChannelState) => channel.last_message_at ?? channel.created_at;
  const channels = seen.map((cid) => world.state(cid, user, messages)).filter(fits);
  channels.sort((a, b) => (latest(a) < latest(b) ? 1 : latest(a) > latest(b) ? -1 : 0));
  return ok({ channels: channels.slice(0, limit) });
}

/** Whether a channel fits a filter of `members`, `type` and `cid`, each by equality or `$in`. */
function fitting(filter: Record<string, unknown>): (state: ChannelState) => boolean {
  const fields: Record<string, (state: ChannelState) => string[]> = {
    members: ({ members }) => members.map(({ user_id }) => user_id),
    type: ({ channel }) => [channel.type],
    cid: ({ channel }) => [channel.cid],
  };
  const conditions = Object.entries(filter).map(([field, condition]) => {
    const { $in, $eq } = Object(condition) as { $in?: unknown; $eq?: unknown };
    const wanted = [$in ?? $eq ?? condition].flat();
    const values = fields[field];
    if (!values || !wanted.every((value) => typeof value === "string")) {
      const what = `${field}: ${JSON.stringify(condition)}`;
      throw new Refusal("unsupported_filter", `the fake server does not filter by ${what}`);
    }
    return (state: ChannelState) => values(state).some((value) => wanted.includes(value));
  });
  return (state) => conditions.every((fits) => fits(state));
}

// Messages.

function send(world: World, user: string, cid: string, draft: MessageDraft): Answer {
  const chars = [...(draft.text ?? "")].length;
  if (chars > TEXT_CHARS_MAX) throw new Refusal("text_too_long", `${chars} of at most ${TEXT_CHARS_MAX} characters`);
  const isThere = draft.id !== undefined && world.message(cid, draft.id) !== undefined;
  return ok({ message: world.say(cid, user, draft) }, isThere ? 200 : 201);
}

function page(world: World, cid: string, query: URLSearchParams): object {
  const all = world.rooms.get(cid)!.messages;
  const number = (name: string) => (query.has(name) ? Number(query.get(name)) : undefined);
  const limit = Math.min(100, number("limit") ?? PAGE);
  const place = (seq: number) => all.filter((message) => message.seq < seq).length;
  const [before, after] = [number("before"), number("after")];
  const aroundId = query.get("around_id");
  const around = aroundId === null ? number("around") : found(world, cid, aroundId).seq;
  const to = before === undefined ? all.length : place(before);
  const from =
    after !== undefined ? place(after + 1)
    : around !== undefined ? Math.max(0, place(around) - Math.floor(limit / 2))
    : Math.max(0, to - limit);
  const messages = all.slice(from, Math.min(to, from + limit));
  return { messages, has_more_before: from > 0, has_more_after: from + messages.length < all.length };
}

function found(world: World, cid: string, id: string): Message {
  const message = world.message(cid, id);
  if (!message) throw new Refusal("not_found", `there is no message ${id}`);
  return message;
}

function own(world: World, user: string, cid: string, id: string): Message {
  const message = found(world, cid, id);
  if (message.user.id !== user) throw new Refusal("not_allowed", "only its sender changes a message");
  return message;
}

function edit(world: World, { user, body }: Call, cid: string, id: string): Answer {
  const { set = {}, unset = [], ...changes } = body as EditMessage;
  const now = isoNow();
  const edited = { ...own(world, user, cid, id), ...set, ...changes, edited_at: now, updated_at: now };
  const message = without(edited, unset);
  world.revise(cid, message);
  world.publish(`channel:${cid}`, { type: "message.updated", cid, created_at: now, message });
  return ok({ message });
}

function remove(world: World, { user, query }: Call, cid: string, id: string): Answer {
  if (query.has("hard")) throw new Refusal("not_allowed", "only a server deletes for good");
  const { seq, user: by, created_at } = own(world, user, cid, id);
  const now = isoNow();
  const times = { created_at, updated_at: now, deleted_at: now };
  const message: Message = { id, cid, seq, type: "deleted", text: "", user: by, ...times };
  world.revise(cid, message);
  const event = { type: "message.deleted", cid, created_at: now, message_id: id, message_seq: seq, message } as const;
  world.publish(`channel:${cid}`, event);
  return ok({ message });
}

// Reading.

function markRead(world: World, user: string, cid: string, { message_id, seq }: MarkRead): Answer {
  const head = world.head(`channel:${cid}`);
  const upTo = message_id === undefined ? Math.min(seq ?? head, head) : found(world, cid, message_id).seq;
  world.readUpTo(cid, user, upTo);
  return unread(world, user, cid);
}

function unread(world: World, user: string, cid: string): Answer {
  const unread = world.unread(cid, user);
  if (!unread) throw new Refusal("not_allowed", "only members have a read position");
  return ok({ unread });
}
