// What a fake server knows, and what follows when something happens in it.
//
// Not here: sockets (link.ts), calls (answers.ts), and what a test asks for (fake_server.ts).

import { CLIENT_ERRORS } from "../errors.js";
import type {
  Channel,
  ChannelState,
  ErrorBody,
  Event,
  EventFrame,
  Me,
  Member,
  Message,
  MessageDraft,
  Read,
  ServerFrame,
  Signal,
  Unread,
  UnreadTotals,
  User,
  UserBrief,
} from "../wire.js";
import type { Link } from "./link.js";

/** What happens to a call. */
export type Fault = { type: "request_lost" } | { type: "answer_lost" } | { type: "refused"; code: string };

export interface Room {
  channel: Channel;
  members: Map<string, Member>;
  reads: Map<string, Read>;
  messages: Message[];
}

interface Log {
  entries: { at: number; event: Event }[];
  /** Events that are kept no longer: those up to this seq. */
  trimmed: number;
}

/** Refusals with a status of their own; every other code is a 400. */
const STATUS: Record<string, number> = {
  token_missing: 401,
  token_expired: 401,
  token_malformed: 401,
  token_signature: 401,
  token_revoked: 401,
  wrong_user: 403,
  not_allowed: 403,
  role_not_allowed: 403,
  user_banned: 403,
  not_found: 404,
  id_conflict: 409,
  too_large: 413,
  rate_limited: 429,
  internal: 500,
  unavailable: 503,
  storage_full: 507,
  read_only: 503,
};

/** What a handler throws to refuse. */
export class Refusal extends Error {
  constructor(
    readonly code: string,
    message: string = code,
  ) {
    super(message);
  }

  get body(): ErrorBody {
    const { code, message } = this;
    const status = STATUS[code] ?? 400;
    const retryable = status >= 429 || code in CLIENT_ERRORS;
    return { code, status, message, hint: "", retryable, docs: `/docs/errors/${code}` };
  }
}

export class World {
  users = new Map<string, User>();
  rooms = new Map<string, Room>();
  links = new Set<Link>();
  faults: Fault[] = [];
  /** How often the next event is told: once, unless a test wants it otherwise. */
  copiesOfNextEvent = 1;
  delayMs = 0;
  isDown = false;
  /** Users whose next resume is a reset. */
  forgotten = new Set<string>();
  /** Called after whatever is worth a look at `seen`. */
  changed: () => void = () => {};
  #logs = new Map<string, Log>();
  #tokens = new Map<string, string>();
  #expired = new Set<string>();

  // Users and their tokens.

  makeToken(user: string): string {
    const part = (value: object) => {
      const base64 = btoa(JSON.stringify(value));
      return base64.replace(/=/g, "").replace(/\+/g, "-").replace(/\//g, "_");
    };
    const claims = { user_id: user, jti: `t${this.#tokens.size}` };
    const token = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}.ZmFrZQ`;
    this.#tokens.set(token, user);
    return token;
  }

  /** Whose token this is; `named` is who says so, where the token does not. */
  verify(token: string, named?: string): string {
    const user = this.#tokens.get(token) ?? claimed(token) ?? named;
    if (user === undefined) throw new Refusal("token_malformed");
    if (named !== undefined && named !== user) throw new Refusal("wrong_user");
    this.#tokens.set(token, user);
    if (this.#expired.has(token)) throw new Refusal("token_expired");
    return user;
  }

  expireTokens(): void {
    for (const token of this.#tokens.keys()) this.#expired.add(token);
  }

  user(id: string): User {
    const now = isoNow();
    const user = this.users.get(id) ?? { id, role: "user", created_at: now, updated_at: now };
    this.users.set(id, user);
    return user;
  }

  brief(id: string): UserBrief {
    const { name, image }: Record<string, unknown> = this.users.get(id) ?? {};
    return { id, ...(typeof name === "string" && { name }), ...(typeof image === "string" && { image }) };
  }

  me(id: string): Me | undefined {
    const user = this.users.get(id);
    const { total_unread_count, unread_channels } = this.unreadTotals(id);
    const online = [...this.links].some((link) => link.user === id);
    return user && { ...user, online, mutes: [], devices: [], total_unread_count, unread_channels };
  }

  // Topics.

  head(topic: string): number {
    const log = this.#logs.get(topic);
    return log ? log.trimmed + log.entries.length : 0;
  }

  trimmed(topic: string): number {
    return this.#logs.get(topic)?.trimmed ?? 0;
  }

  /** The events of a topic above `after` that are not older than `since`, as they read now. */
  missed(topic: string, after: number, since = -Infinity): EventFrame[] {
    const { entries, trimmed } = this.#logs.get(topic) ?? { entries: [], trimmed: 0 };
    return entries
      .map(({ at, event }, index) => ({ at, topic, seq: trimmed + index + 1, event: this.#asItIsNow(event) }))
      .filter(({ at, seq }) => seq > after && at >= since)
      .map(({ topic, seq, event }) => ({ topic, seq, event }));
  }

  /** A message that is told again is told as it is, not as it was. */
  #asItIsNow(event: Event): Event {
    if (event.type !== "message.new") return event;
    return { ...event, message: this.message(event.cid, event.message.id) ?? event.message };
  }

  listens(user: string, topic: string): boolean {
    if (topic.startsWith("channel:")) return this.isMember(topic.slice(8), user);
    return topic === `user:${user}` || topic.startsWith("app:");
  }

  /** What a user hears without asking. */
  topicsOf(user: string): string[] {
    const channels = [...this.rooms.keys()].filter((cid) => this.isMember(cid, user));
    return [`user:${user}`, ...channels.map((cid) => `channel:${cid}`)];
  }

  publish(topic: string, event: Event): void {
    let log = this.#logs.get(topic);
    if (!log) this.#logs.set(topic, (log = { entries: [], trimmed: 0 }));
    log.entries.push({ at: Date.now(), event });
    const frame: ServerFrame = { type: "event", topic, seq: this.head(topic), event };
    const copies = this.copiesOfNextEvent;
    this.copiesOfNextEvent = 1;
    for (const link of this.#listeners(topic)) {
      for (let copy = 0; copy < copies; copy++) link.tell(frame);
    }
  }

  /** Tells a signal to all who listen but the user who made it. */
  signal(topic: string, by: string, signal: Signal): void {
    for (const link of this.#listeners(topic)) {
      if (link.user !== by) link.tell({ type: "signal", topic, signal });
    }
  }

  #listeners(topic: string): Link[] {
    return [...this.links].filter(
      ({ user, watched }) => watched.has(topic) || (user !== undefined && this.listens(user, topic)),
    );
  }

  forgetHistory(): void {
    for (const [topic, log] of this.#logs) {
      log.trimmed = this.head(topic);
      log.entries = [];
    }
    for (const user of this.users.keys()) this.forgotten.add(user);
  }

  // Channels.

  isMember(cid: string, user: string): boolean {
    return this.rooms.get(cid)?.members.has(user) ?? false;
  }

  /** Members read their channels, everybody a livestream. */
  mayRead(cid: string, user: string): boolean {
    return this.isMember(cid, user) || (cid.startsWith("livestream:") && this.rooms.has(cid));
  }

  message(cid: string, id: string): Message | undefined {
    return this.rooms.get(cid)?.messages.find((message) => message.id === id);
  }

  /** Makes the channel if it is not there, and these users its members. */
  openChannel(cid: string, members: readonly string[], data: Record<string, unknown> = {}): Room {
    let room = this.rooms.get(cid);
    const isNew = !room;
    if (!room) {
      const [type, id] = splitCid(cid);
      const now = isoNow();
      const created_by = this.brief(members[0] ?? "");
      const times = { created_at: now, updated_at: now };
      const channel: Channel = {
        ...data,
        cid,
        type,
        id,
        ...(members[0] !== undefined && { created_by }),
        ...times,
        member_count: 0,
      };
      room = { channel, members: new Map(), reads: new Map(), messages: [] };
      this.rooms.set(cid, room);
      this.publish(`channel:${cid}`, { type: "channel.created", cid, created_at: now, channel: { ...channel } });
    }
    members.forEach((user, place) => this.addMember(cid, user, isNew && place === 0 ? "owner" : "member"));
    return room;
  }

  addMember(cid: string, user: string, channel_role = "member"): void {
    const room = this.rooms.get(cid);
    if (!room || room.members.has(user)) return;
    this.user(user);
    const created_at = isoNow();
    const member: Member = { user_id: user, user: this.brief(user), channel_role, created_at, hidden_up_to: 0 };
    // Who joins is not told that all before is unread.
    const seq = this.head(`channel:${cid}`) + 1;
    room.members.set(user, member);
    room.reads.set(user, { user_id: user, last_read_seq: seq, last_read_at: created_at });
    room.channel = { ...room.channel, member_count: room.members.size };
    this.publish(`channel:${cid}`, { type: "member.added", cid, created_at, member });
    const { channel } = room;
    this.publish(`user:${user}`, { type: "notification.added_to_channel", cid, created_at, channel, seq });
  }

  removeMember(cid: string, user: string): void {
    const room = this.rooms.get(cid);
    if (!room?.members.delete(user)) return;
    room.reads.delete(user);
    room.channel = { ...room.channel, member_count: room.members.size };
    const created_at = isoNow();
    this.publish(`channel:${cid}`, { type: "member.removed", cid, created_at, user: this.brief(user) });
    this.publish(`user:${user}`, { type: "notification.removed_from_channel", cid, created_at });
  }

  /** The message of a draft, stored and told; the one that is there, where its id was sent before. */
  say(cid: string, user: string, draft: MessageDraft): Message {
    const room = this.rooms.get(cid);
    if (!room) throw new Refusal("not_found");
    const before = draft.id === undefined ? undefined : this.message(cid, draft.id);
    if (before) return before;
    const created_at = isoNow();
    const seq = this.head(`channel:${cid}`) + 1;
    const message: Message = {
      ...draft,
      id: draft.id ?? `${room.channel.id.replace(/!/g, "_")}-${seq}`,
      cid,
      seq,
      type: "regular",
      text: draft.text ?? "",
      user: this.brief(user),
      created_at,
      updated_at: created_at,
    };
    room.messages.push(message);
    room.channel = { ...room.channel, last_message_at: created_at };
    this.publish(`channel:${cid}`, { type: "message.new", cid, created_at, message });
    return message;
  }

  /** Puts another version in a message's place. */
  revise(cid: string, message: Message): void {
    const room = this.rooms.get(cid)!;
    room.messages = room.messages.map((stored) => (stored.id === message.id ? message : stored));
  }

  // Reading.

  unread(cid: string, user: string): Unread | undefined {
    const room = this.rooms.get(cid);
    const read = room?.reads.get(user);
    if (!room || !read) return undefined;
    const { last_read_seq } = read;
    const counts = ({ seq, user: { id }, silent, type }: Message) =>
      seq > last_read_seq && id !== user && !silent && type === "regular";
    const unread_messages = room.messages.filter(counts).length;
    return { cid, last_read_seq, unread_messages, head: this.head(`channel:${cid}`) };
  }

  unreadTotals(user: string): UnreadTotals {
    const channels = [...this.rooms.keys()].flatMap((cid) => this.unread(cid, user) ?? []);
    return {
      total_unread_count: channels.reduce((sum, { unread_messages }) => sum + unread_messages, 0),
      unread_channels: channels.filter(({ unread_messages }) => unread_messages > 0).length,
      channels,
    };
  }

  /** Moves a read position forward, and tells the user's devices and the channel. */
  readUpTo(cid: string, user: string, seq: number): void {
    const read = this.rooms.get(cid)?.reads.get(user);
    if (!read || seq <= read.last_read_seq) return;
    this.#setRead(cid, user, seq);
    const created_at = isoNow();
    const by = this.brief(user);
    this.publish(`channel:${cid}`, { type: "message.read", cid, created_at, user: by, last_read_seq: seq });
    this.#tellPosition(cid, user);
  }

  /** Moves a read position back, and tells the user's devices alone. */
  unreadFrom(cid: string, user: string, seq: number): void {
    this.#setRead(cid, user, seq - 1);
    this.#tellPosition(cid, user);
  }

  #setRead(cid: string, user: string, last_read_seq: number): void {
    this.rooms.get(cid)?.reads.set(user, { user_id: user, last_read_seq, last_read_at: isoNow() });
  }

  #tellPosition(cid: string, user: string): void {
    const unread = this.unread(cid, user);
    if (!unread) return;
    this.publish(`user:${user}`, { type: "notification.mark_read", created_at: isoNow(), ...unread });
  }

  /** The channel as this user sees it, with up to `messages` of the latest. */
  state(cid: string, user: string, messages: number): ChannelState {
    const room = this.rooms.get(cid);
    if (!room) throw new Refusal("not_found");
    const membership = room.members.get(user);
    const unread = this.unread(cid, user);
    return {
      channel: room.channel,
      head: this.head(`channel:${cid}`),
      members: [...room.members.values()],
      messages: messages > 0 ? room.messages.slice(-messages) : [],
      reads: [...room.reads.values()],
      ...(membership && { membership }),
      ...(unread && { unread }),
    };
  }
}

export const isoNow = (): string => new Date(Date.now()).toISOString();

/** A cid's type and id. A test that names none is wrong, and wants to know where. */
export function splitCid(cid: string): [type: string, id: string] {
  const [, type, id] = /^([\w-]+):([\w!-]+)$/.exec(cid) ?? [];
  if (type === undefined || id === undefined) throw new TypeError(`"${cid}" is no cid: those are type:id`);
  return [type, id];
}

/** The user that a token names, if it is a JWT. */
function claimed(token: string): string | undefined {
  try {
    const claims = token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    const { user_id } = JSON.parse(atob(claims)) as { user_id?: unknown };
    return typeof user_id === "string" ? user_id : undefined;
  } catch {
    return undefined;
  }
}
