// Generated from spec/openapi.json by `cargo xtask codegen`. Do not edit.

/** `POST /v1/app/keys`: a further key for the app's tokens. Server token with the scope `admin`. */
export interface AddKey {
  algorithm: KeyAlgorithm;
  /** From then on its tokens are refused. */
  expires_at?: Timestamp;
  /** What a token's header calls it: 1 to 64 of `A-Z a-z 0-9 _ -`. Made up where it is absent. */
  kid?: string;
  /** The public half, as PEM or as JWK (at most 8 KiB); of HS256 there is none: the server makes the secret. */
  public_key?: string;
  /**
   * Not more than the caller's own key may. Absent: `users` for a public key, everything that the caller's key may
   * for a secret.
   */
  scopes?: Scope[];
}

export type AppKey = string;

/** An app's own limits. What is absent is as the server's configuration says it. */
export interface AppLimits {
  /** The second for single endpoints. */
  app_calls?: Record<string, number>;
  /** Calls of all users together to each endpoint. 0: not limited. */
  app_calls_per_minute?: number;
  /** The first for single endpoints, such as `POST /v1/channels`, as they stand in `openapi.json`. */
  calls?: Record<string, number>;
  /** Calls of a user to each endpoint from each platform. 0: not limited. */
  calls_per_minute?: number;
  /** 1 to 10,000. */
  connections_per_user?: number;
  on_connection_limit?: OnConnectionLimit;
}

/** `GET`, `PUT /v1/app/limits`: an app's limits. Server token. */
export interface AppLimitsResponse {
  /** What holds: of single endpoints those that differ. */
  in_force: AppLimits;
  /** What the app says. */
  limits: AppLimits;
}

/** `GET /v1/app`: the app of the token. Server token. */
export interface AppResponse {
  app_key: AppKey;
  created_at: Timestamp;
  /** Those that stand elsewhere, if any do. */
  jwks?: JwksInfo;
  /** Those beside the app's secret, the oldest first. */
  keys: KeyInfo[];
  /** `development` or `production`. */
  mode: string;
}

export type AppState = "foreground" | "hidden" | "background" | (string & {});

/** Somebody is banned. */
export interface Ban {
  /** Absent where a server did that named no user. */
  banned_by?: UserBrief;
  /** From this channel; absent: from the app. */
  cid?: Cid;
  created_at: Timestamp;
  /** When it ends by itself; absent: it does not. */
  ends_at?: Timestamp;
  reason?: string;
  shadow?: boolean;
  user: UserBrief;
}

/** The ban that a call made. */
export interface BanResponse {
  ban: Ban;
}

/**
 * `POST /v1/users/{user_id}/ban`: keeps a user out of the app, or from saying anything in a channel. A ban that is
 * there is replaced.
 *
 * ```
 * use parlour_wire::moderation::BanUser;
 * let ban: BanUser = serde_json::from_str(r#"{"reason": "spam", "duration_s": 3600}"#).unwrap();
 * assert!(ban.cid.is_none() && !ban.shadow);
 * ```
 */
export interface BanUser {
  /** The channel; absent: the whole app. */
  cid?: Cid;
  /** Seconds after which it ends by itself, at most ten years; absent: it does not. */
  duration_s?: number;
  /** At most 500 characters. The user is told it. */
  reason?: string;
  /** The user notices nothing: what it sends is seen by itself and by servers. */
  shadow?: boolean;
}

/** `GET /v1/bans`: those in force, the latest first. */
export interface BansResponse {
  bans: Ban[];
  /** Asks for the following page; absent on the last one. */
  next?: string;
}

/** Somebody whom the caller blocked. */
export interface Block {
  created_at: Timestamp;
  user: UserBrief;
}

/** `POST /v1/blocks`: the caller wants nothing to do with somebody. */
export interface BlockUser {
  user_id: UserId;
}

/** Whom the caller blocks, the latest first. */
export interface BlocksResponse {
  blocks: Block[];
}

/** Connections by the causes that they are there for. */
export interface ByCause {
  extra_tab: number;
  first_device: number;
  further_device: number;
  leak_suspect: number;
  reconnect_overlap: number;
}

export type ByeIntent = "leave" | "park" | (string & {});

/** A channel. */
export interface Channel {
  type: ChannelType;
  cid: Cid;
  created_at: Timestamp;
  /** Who made it; absent when a server did without naming a user. */
  created_by?: UserBrief;
  id: ChannelId;
  last_message_at?: Timestamp;
  /** Exact, also beyond a hundred. */
  member_count: number;
  /** The team that the channel belongs to: nobody outside it sees the channel or is its member. */
  team?: Team;
  updated_at: Timestamp;
  /** `name`, `image`, and whatever the app puts there. */
  [key: string]: unknown;
}

export type ChannelId = string;

/** One channel with its state. */
export type ChannelResponse = ChannelState & {
  /** Whether this call made the channel. */
  created?: boolean;
};

export type ChannelRole = "owner" | "moderator" | "member" | (string & {});

/** A channel with what one needs to show it. */
export interface ChannelState {
  channel: Channel;
  /** The seq of the channel's last event: what is below it is in this state, what is above comes live. */
  head: number;
  /** The first hundred members, by the time they joined. */
  members: Member[];
  /** The caller's own membership; absent when it is none. */
  membership?: Member;
  /** The latest messages, oldest first. */
  messages: Message[];
  /** How far the members have read, as far as they let others see it. */
  reads: Read[];
  /** The caller's own unread state; absent when it is no member. */
  unread?: Unread;
  /**
   * How many users hear at this moment of what happens in the channel, on the node that answers: its members who are
   * connected and whoever watches it, but for those who wish to be seen by nobody.
   */
  watchers?: number;
}

export type ChannelType = string;

/** A page of channels. */
export interface ChannelsResponse {
  channels: ChannelState[];
  /** Asks for the following page; absent on the last one. */
  next?: string;
}

export type Cid = string;

/** A frame from the client. */
export type ClientFrame =
  /** The first frame, and the only one before `ready`. */
  | Hello & {
      type: "hello";
    }
  /** Listen to topics: channels that the user is no member of, or (with `after`) any topic again from a place. */
  | {
      type: "watch";
      topics: WatchTopic[];
    }
  /** Stop listening to topics that were watched. */
  | {
      type: "unwatch";
      topics: Topic[];
    }
  /** Say something that is not stored, to whoever listens to the topic now. */
  | {
      type: "signal";
      signal: ClientSignal;
      topic: Topic;
    }
  /** Where the app stands. */
  | {
      type: "app_state";
      lease_ms?: number;
      state: AppState;
    }
  /**
   * Change whose presence is told to this connection; without a subscription, be told anew who is there. The answer
   * is a snapshot.
   */
  | {
      type: "presence";
      subscription?: PresenceSubscription;
    }
  /** Ask for a `pong` with the same id. */
  | {
      type: "ping";
      id: number;
    }
  /** The answer to the server's `ping`. */
  | {
      type: "pong";
    }
  /** A fresh token, before the old one ends. */
  | {
      type: "token";
      token: string;
    }
  /** How many tabs of a browser share this connection, where it is not one: for the figures of what that saves. */
  | {
      type: "tabs";
      count: number;
    }
  /** Going, and how. */
  | {
      type: "bye";
      intent: ByeIntent;
    };

/** Frames that a client says by a request of their own, in their order. */
export interface ClientFrames {
  /** As they came: each is read as it would be on a WebSocket, where it may close the connection. */
  frames: ClientFrame[];
}

/** What tells one client, page and program from another. */
export interface ClientInfo {
  /** Made once per client object. */
  instance: string;
  /** Made once per page or process. */
  page?: string;
  platform?: string;
  /** `rust`, `typescript`, … */
  sdk?: string;
  /** The protocol's version. */
  version: number;
}

/** A signal as a client sends it: who and where are known from the connection and the frame. */
export type ClientSignal =
  | {
      type: "typing.start";
    }
  | {
      type: "typing.stop";
    };

/** Why a connection was closed, as a WebSocket close code. */
export type CloseCode = number;

/** Connections at the same time. */
export interface ConcurrentConnections {
  /** Now. */
  current: number;
  current_by_cause: ByCause;
  /** Of the day that it is. */
  peak_day: number;
  /** Of the hour that it is. */
  peak_hour: number;
  /** Of the minute that it is. */
  peak_minute: number;
  /** Of the month that it is. */
  peak_month: number;
  /** The periods asked for, oldest first. The last one may not be over. */
  series: UsageSeries;
  /** Tabs that share the connection of another one now. */
  tabs_saved: number;
}

export type ConnectionId = string;

/** `POST /v1/guests`: a new user with the role `guest`, for whoever asks. No token. */
export interface CreateGuest {
  /** Its own fields, as those of any user: `name`, `image`, custom ones. The server names it, and gives it its role. */
  user?: Record<string, unknown>;
}

/** The words that the figures are to be read by. */
export interface Definitions {
  concurrent_connections: string;
  extra_tab: string;
  first_device: string;
  further_device: string;
  leak_suspect: string;
  monthly_active_users: string;
  peak: string;
  reconnect_overlap: string;
  recorded: string;
  tabs_saved: string;
}

/** A device registered for push. It belongs to the user who registered it last. */
export interface Device {
  created_at: Timestamp;
  /** What its provider knows it by: the token of an app's installation, or the endpoint of a browser's subscription. */
  id: string;
  provider: PushProvider;
  /** Which of the app's configurations of this provider, where it has several. */
  provider_name?: string;
}

/** One device. */
export interface DeviceResponse {
  device: Device;
}

/** `GET /v1/devices`: the caller's, the earliest registered first. */
export interface DevicesResponse {
  devices: Device[];
}

/** `PATCH …/messages/{id}`: what changes; absent fields stay. */
export interface EditMessage {
  attachments?: unknown[];
  mentioned_users?: UserId[];
  set?: Record<string, unknown>;
  text?: string;
  unset?: string[];
}

export type Epoch = string;

/** One error, as every door of the server gives it. */
export interface ErrorBody {
  /** Stable, for programs. [`ErrorCode`] lists the known ones. */
  code: string;
  /** The page that explains the code. */
  docs: string;
  /** Which fields were wrong, and why. */
  fields?: Record<string, string>;
  /** What to do about it. */
  hint: string;
  /** What happened, for people. */
  message: string;
  /** The number that clients of other chat products know for it, where there is one. */
  number?: number;
  /** Names this request in the server's log. */
  request_id?: string;
  /** Seconds to wait before trying again. */
  retry_after?: number;
  /** Whether the same request may succeed later, unchanged. */
  retryable: boolean;
  /** The HTTP status that goes with it, also where the error comes in a frame. */
  status: number;
}

/** The body of an HTTP answer that is no success. */
export interface ErrorResponse {
  error: ErrorBody;
}

/**
 * Something that happened, durably. Rendered from the present state: an old `message.new` carries the text
 * as it is now, and a hard-deleted message comes as `message.deleted` in its place.
 */
export type Event =
  | {
      type: "message.new";
      cid: Cid;
      created_at: Timestamp;
      message: Message;
    }
  | {
      type: "message.updated";
      cid: Cid;
      created_at: Timestamp;
      message: Message;
    }
  /** The message as it now is: without text, `deleted_at` set. A hard-deleted one is named by its id alone. */
  | {
      type: "message.deleted";
      cid: Cid;
      created_at: Timestamp;
      hard?: boolean;
      message?: Message;
      message_id: MessageId;
      /** The message's own place in the channel; 0 where it is no longer known. */
      message_seq: number;
    }
  /** A member has read up to a seq, and lets others know. */
  | {
      type: "message.read";
      cid: Cid;
      created_at: Timestamp;
      last_read_seq: number;
      user: UserBrief;
    }
  | {
      type: "channel.created";
      channel: Channel;
      cid: Cid;
      created_at: Timestamp;
    }
  | {
      type: "channel.updated";
      channel: Channel;
      cid: Cid;
      created_at: Timestamp;
    }
  | {
      type: "channel.deleted";
      cid: Cid;
      created_at: Timestamp;
    }
  | {
      type: "member.added";
      cid: Cid;
      created_at: Timestamp;
      member: Member;
    }
  /** A member's role in the channel changed. */
  | {
      type: "member.updated";
      cid: Cid;
      created_at: Timestamp;
      member: Member;
    }
  | {
      type: "member.removed";
      cid: Cid;
      created_at: Timestamp;
      user: UserBrief;
    }
  /** The user is a member of a channel now; its connections listen to the channel from `seq` on. */
  | {
      type: "notification.added_to_channel";
      channel: Channel;
      cid: Cid;
      created_at: Timestamp;
      seq: number;
    }
  | {
      type: "notification.removed_from_channel";
      cid: Cid;
      created_at: Timestamp;
    }
  /** The user's own read position moved, on some device: forward by reading, back by marking unread. */
  | {
      type: "notification.mark_read";
      cid: Cid;
      created_at: Timestamp;
      head: number;
      last_read_seq: number;
      /** Unread messages among those up to `head`, when this happened. */
      unread_messages: number;
    }
  /**
   * The user is banned from a channel, or (without one) from the app: then its connections are closed (4003).
   * Nothing is told of a shadow ban.
   */
  | {
      type: "user.banned";
      cid?: Cid;
      created_at: Timestamp;
      ends_at?: Timestamp;
      reason?: string;
    }
  /** A ban was lifted before its time. */
  | {
      type: "user.unbanned";
      cid?: Cid;
      created_at: Timestamp;
    }
  /** The user mutes these from now on, and nobody else. */
  | {
      type: "notification.mutes_updated";
      created_at: Timestamp;
      mutes: Mute[];
    }
  /** The user's own fields changed. */
  | {
      type: "user.updated";
      created_at: Timestamp;
      user: User;
    }
  /** The user may neither connect nor do anything until it is reactivated. */
  | {
      type: "user.deactivated";
      created_at: Timestamp;
      user: User;
    }
  | {
      type: "user.reactivated";
      created_at: Timestamp;
      user: User;
    }
  /** The user is deleted; perhaps it comes back. */
  | {
      type: "user.deleted";
      created_at: Timestamp;
      user: User;
    }
  | {
      type: "user.restored";
      created_at: Timestamp;
      user: User;
    }
  /**
   * What was issued before this time, to the user or to all users of the app, is no longer good; absent: a
   * revocation was taken back. A connection that came with such a token is closed (4002).
   */
  | {
      type: "tokens.revoked";
      created_at: Timestamp;
      issued_before?: Timestamp;
    }
  /**
   * Something stood here that this reader may not see, or that can no longer be read: it only keeps the
   * place, so that nobody sees a hole.
   */
  | {
      type: "placeholder";
      created_at: Timestamp;
    };

/** A durable event in its place: the only frame that all receivers share byte for byte. */
export interface EventFrame {
  event: Event;
  seq: number;
  topic: Topic;
}

/** One line of an export: what it is, and then itself. */
export type ExportLine =
  | {
      type: "user";
      user: User;
    }
  | {
      type: "device";
      device: Device;
    }
  | {
      type: "mute";
      mute: Mute;
    }
  | {
      type: "block";
      block: Block;
    }
  | {
      type: "membership";
      cid: Cid;
      membership: Member;
    }
  | {
      type: "read";
      cid: Cid;
      read: Read;
    }
  | {
      type: "message";
      message: Message;
    };

/** Somebody flagged a user or a message. */
export interface Flag {
  cid?: Cid;
  created_at: Timestamp;
  /** As it is now; absent where it is gone, and in the answer to who flags. */
  message?: Message;
  message_id?: MessageId;
  reason?: string;
  /** Who flagged. */
  reporter: UserBrief;
  /** The user, or who sent the message. */
  user: UserBrief;
}

/** `POST /v1/flags`: the caller tells the moderators of a user, or of a message. */
export interface FlagContent {
  /** The channel of the message. */
  cid?: Cid;
  message_id?: MessageId;
  /** At most 500 characters. */
  reason?: string;
  /** The user, where it is no message that is flagged. */
  user_id?: UserId;
}

/** The flag that a call raised, or had raised before. */
export interface FlagResponse {
  flag: Flag;
}

/** `GET /v1/flags`: the latest first. */
export interface FlagsResponse {
  flags: Flag[];
  /** Asks for the following page; absent on the last one. */
  next?: string;
}

/** `POST /v1/channels/{type}/{id}` and `POST /v1/channels/{type}`: makes the channel, or gives the one that is there. */
export interface GetOrCreateChannel {
  /** Custom data of a channel that is made; left alone where the channel is there. */
  data?: Record<string, unknown>;
  /**
   * Members beside the caller, at most 100. Without an id in the path they name the channel: the same
   * members in any order are the same channel.
   */
  members?: UserId[];
  /** How many of the latest messages to give: 0 to 100. */
  messages?: number;
  /**
   * The team of a channel that is made; left alone where the channel is there. A user names one of her own, and
   * need not where she has only one or none.
   */
  team?: Team;
}

export type Granularity = "minute" | "hour" | "day" | "month" | (string & {});

/** A guest, and the proof of being it. */
export interface GuestResponse {
  /** Told this once. It has no end, for nobody could give another; it can be revoked as every user's. */
  token: string;
  user: User;
}

/** Who connects, from where, and what it has already seen. */
export interface Hello {
  app_key: AppKey;
  app_state?: AppState;
  client: ClientInfo;
  /** The device's own name, shown to the user's other devices. */
  device?: string;
  /** Asks for heartbeats at this interval; the server answers with the one in force. */
  heartbeat_ms?: number;
  presence?: PresenceSubscription;
  /** The connection that this one takes over from. */
  replaces?: ConnectionId;
  resume?: Resume;
  /** The user's token. Never in a URL, never in a log. */
  token: string;
  /** The user's fields, merged into what is stored; sent again only when they changed. */
  user?: UserInput;
}

/** What is known of the keys at an address. */
export interface JwksInfo {
  /** Why they could not be got anew: those that are known stay in force. */
  error?: string;
  /** When the keys were last got; absent: not since the server began. */
  fetched_at?: Timestamp;
  /** The `kid` of each key that tokens may be signed with, as far as it has one. */
  keys: string[];
  url: string;
}

/** The keys that were got. */
export interface JwksResponse {
  jwks: JwksInfo;
}

/** How tokens are signed. It belongs to the key, whatever a token's header says. */
export type KeyAlgorithm = "HS256" | "RS256" | "ES256" | "EdDSA";

/** A key, without what must not be told. */
export interface KeyInfo {
  algorithm: KeyAlgorithm;
  created_at: Timestamp;
  expires_at?: Timestamp;
  kid: string;
  /** About when a good token of it last came: known to the minute. */
  last_used_at?: Timestamp;
  /** The public half; absent where there is a secret. */
  public_key?: string;
  scopes: Scope[];
}

/** The key that was added. */
export interface KeyResponse {
  key: KeyInfo;
  /** Told this once and never again. */
  secret?: string;
}

/** What the server holds this connection to. */
export interface Limits {
  connections_per_user: number;
  /** Silence after which the client takes the link for dead. */
  dead_link_ms: number;
  /** Bytes of a client's frame. */
  frame_bytes: number;
  frames_burst: number;
  frames_per_second: number;
  /** Characters of a message's text, where the channel type says nothing else. */
  message_chars: number;
}

/**
 * `POST …/read`: everything up to a message, or up to a seq, or (neither given) everything. The position
 * never moves back here.
 */
export interface MarkRead {
  message_id?: MessageId;
  seq?: number;
}

/** `POST …/unread`: this message and all after it are unread again. */
export interface MarkUnread {
  message_id: MessageId;
}

/** The connected user's own view of itself. */
export type Me = User & {
  /** Devices registered for push. */
  devices?: Device[];
  /** Users whom this one muted. */
  mutes?: UserId[];
  /** Unread messages over all channels. */
  total_unread_count: number;
  /** Channels with at least one unread message. */
  unread_channels: number;
};

/** `GET /v1/me`: validates the token; makes and counts nothing. */
export interface MeResponse {
  /** Absent while the user has never connected nor been made. */
  me?: Me;
}

/** A user's membership of a channel. */
export interface Member {
  channel_role: ChannelRole;
  created_at: Timestamp;
  /** What stands in the channel's log up to this seq is hidden from the member (0: nothing is). */
  hidden_up_to?: number;
  user: UserBrief;
  user_id: UserId;
}

/** One member. */
export interface MemberResponse {
  member: Member;
}

/** A page of members, by the time they joined. */
export interface MembersResponse {
  member_count: number;
  members: Member[];
  /** Asks for the following page; absent on the last one. */
  next?: string;
}

/** A message. */
export interface Message {
  type: MessageType;
  attachments?: unknown[];
  cid: Cid;
  created_at: Timestamp;
  deleted_at?: Timestamp;
  /** When the text was last edited by a user; absent if never. */
  edited_at?: Timestamp;
  id: MessageId;
  mentioned_users?: UserId[];
  /** The seq of the event that brought it: the message's place in the channel. */
  seq: number;
  /** Nobody sees it but its sender, who was shadow-banned when it was sent. Servers are told, nobody else. */
  shadowed?: boolean;
  /** A silent message raises no unread count. */
  silent?: boolean;
  text: string;
  updated_at: Timestamp;
  user: UserBrief;
  [key: string]: unknown;
}

/** A message as its sender writes it. */
export interface MessageDraft {
  attachments?: unknown[];
  /** Made by the client, so that sending twice is sending once; the server makes one where it is absent. */
  id?: MessageId;
  mentioned_users?: UserId[];
  silent?: boolean;
  text?: string;
  [key: string]: unknown;
}

export type MessageId = string;

/** One message. */
export interface MessageResponse {
  message: Message;
}

export type MessageType = "regular" | "system" | "deleted" | (string & {});

/** A page of messages, oldest first. */
export interface MessagesResponse {
  /** Whether there are newer messages than these. */
  has_more_after: boolean;
  /** Whether there are older messages than these. */
  has_more_before: boolean;
  messages: Message[];
}

/** Somebody whom the caller muted. */
export interface Mute {
  created_at: Timestamp;
  /** When it ends by itself; absent: it does not. */
  ends_at?: Timestamp;
  user: UserBrief;
}

/** `POST /v1/mutes`: the caller does not want to be bothered by somebody. */
export interface MuteUser {
  /** Seconds after which it ends by itself, at most ten years; absent: it does not. */
  duration_s?: number;
  user_id: UserId;
}

/** Whom the caller mutes, the latest first. */
export interface MutesResponse {
  mutes: Mute[];
}

/** What happens where a user has as many connections as allowed. */
export type OnConnectionLimit = "evict" | "refuse";

/** `PATCH /v1/users/{id}` and `PATCH /v1/channels/{type}/{id}`: sets some fields, removes others, leaves the rest. */
export interface PartialUpdate {
  set?: Record<string, unknown>;
  unset?: string[];
}

/** Whether a user is there. */
export interface Presence {
  /** Online, and without any connection in the foreground for five minutes. */
  away?: boolean;
  last_active?: Timestamp;
  online: boolean;
  /** What the user says of it, such as `on the road`: the user's own field `status`. */
  status?: string;
  user_id: UserId;
  /** Whatever a newer server adds. */
  [key: string]: unknown;
}

/** How many are there whom nobody named. */
export interface PresenceCounts {
  /** How many of them are away. */
  away?: number;
  online: number;
}

/** What the picture of who is there comes to: whoever has another asks for it anew. */
export interface PresenceDigest {
  away: number;
  online: number;
  /** The sum of [`Presence::sum`] of all of them, modulo 2³². */
  sum: number;
}

/** Whose presence a connection is told. */
export type PresenceSubscription =
  | "none"
  /** Users who share a direct channel with this one: a channel that is named by its members. */
  | "friends"
  /** These, at most 500, and friends. */
  | {
      /** These, at most 500, and friends. */
      friends_and: UserId[];
    }
  /** Users of these roles. */
  | {
      /** Users of these roles. */
      roles: Role[];
    }
  | "all";

export type PushProvider = "apn" | "fcm" | "webpush" | (string & {});

/** `POST /v1/channels`: the channels that match, of those that the caller may see. */
export interface QueryChannels {
  /**
   * `{"field": value}` or `{"field": {"$op": value}}`, with `$and`, `$or`, `$nor`. Fields: `cid`, `id`,
   * `type`, `team`, `members`, `member_count`, `created_at`, `updated_at`, `last_message_at`, `created_by`,
   * `name`, and `custom.<name>`. At most 5 levels, 50 clauses, 100 values in a list.
   */
  filter?: Record<string, unknown>;
  /** 1 to 30; default 10. */
  limit?: number;
  /** How many of the latest messages to give with each: 0 to 100; default 25. */
  messages?: number;
  /** The `next` of the page before. */
  next?: string;
  /** Default: the latest activity first. */
  sort?: SortBy[];
}

/** `POST /v1/users/query`: the users that match, of those that the caller may see. */
export interface QueryUsers {
  /**
   * `{"field": value}` or `{"field": {"$op": value}}`, with `$and`, `$or`, `$nor`. Fields: `id`, `name`, `role`,
   * `teams`, `created_at`, `updated_at`, `last_active`, and `custom.<name>`; for a server, and for who may ban from the
   * app, also `banned` (openly, from the app, now); with a server token also `deactivated_at` and `deleted_at`. At most 5 levels, 50 clauses, 100 values in a list.
   */
  filter?: Record<string, unknown>;
  /** Whether to find deactivated and deleted users too. Server token. */
  include_inactive?: boolean;
  /** 1 to 100; default 30. */
  limit?: number;
  /** The `next` of the page before, with the same filter and sort. */
  next?: string;
  /** By any of the fields but `teams`. Default: by `id`, ascending. */
  sort?: SortBy[];
}

/** How far a member has read. */
export interface Read {
  last_read_at: Timestamp;
  /** Messages up to this seq are read; 0 is none. */
  last_read_seq: number;
  user_id: UserId;
}

/** The server's answer to `hello`. */
export interface Ready {
  as_of: Timestamp;
  /** The unread state of the thirty channels of the latest activity; others are paged. */
  channels?: Unread[];
  connection_id: ConnectionId;
  epoch: Epoch;
  /**
   * Where the topics stand that this connection listens to, for the user, the app and the first thirty
   * channels. A client without a cursor of its own begins here, if `resumed` is `fresh`.
   */
  heads?: Record<string, number>;
  /** The interval of the server's `ping`. */
  heartbeat_ms: number;
  limits: Limits;
  me: Me;
  /** Who is there, of those whose presence was asked for. */
  presence?: Presence[];
  /** How many are there beside those. Absent: nobody; who is not named is not there. */
  presence_others?: PresenceCounts;
  resumed: Resumed;
}

/**
 * `POST /v1/devices`: registers a device for the caller, or for the user that a server acts as. One that is registered
 * already, by whomever, is the caller's from now on. At most 25 of each user.
 */
export interface RegisterDevice {
  /** 1 to 1,024 visible ASCII characters. */
  id: string;
  /** With `webpush`, and only there. */
  keys?: WebPushKeys;
  /** `apn`, `fcm` or `webpush`. */
  provider: PushProvider;
  /** 1 to 64 of `a-z A-Z 0-9 _ -`. */
  provider_name?: string;
}

/** The connection that took another one's place. */
export interface ReplacedBy {
  device?: string;
  platform?: string;
  sdk?: string;
}

export type ResetReason = "too_far_behind" | "trimmed" | "ahead_of_head" | "other_epoch" | "no_access" | (string & {});

/** What the client has seen before. */
export interface Resume {
  /**
   * The time of the last completed head check that the client heard of. Topics without a cursor are
   * served from ten seconds before it.
   */
  as_of: Timestamp;
  /** The seq of the last event that the app has of each topic, at most 500, most recent first. */
  cursors: Record<string, number>;
  epoch: Epoch;
}

export type Resumed = "fresh" | "resumed" | "caught_up" | (string & {});

/**
 * `POST /v1/users/{id}/revoke_tokens`, `POST /v1/app/revoke_tokens`: what was issued before a time, to the user or to
 * all users of the app, is no longer good. Server token.
 */
export interface RevokeTokens {
  /**
   * The time: absent is now, `null` takes a revocation back. A token says in whole seconds when it was issued; those
   * of the very second of the time are revoked with it, and so are all that do not say.
   */
  revoke_tokens_issued_before?: Timestamp;
}

/** What is revoked from now on. */
export interface RevokedTokens {
  /** `null`: nothing. */
  revoke_tokens_issued_before?: Timestamp;
}

export type Role = "user" | "admin" | "moderator" | "guest" | "anonymous" | (string & {});

/** What tokens that are signed with a key may do. */
export type Scope = "users" | "read" | "write" | "usage" | "admin";

/** `POST …/messages`: 201 with the new message, or 200 with the first result where the id was sent before. */
export interface SendMessage {
  message: MessageDraft;
}

/** A frame from the server. */
export type ServerFrame =
  /** The answer to `hello`, before any event. */
  | Ready & {
      type: "ready";
    }
  /** A durable event in its place. */
  | EventFrame & {
      type: "event";
    }
  /** Something that is not stored. */
  | {
      type: "signal";
      signal: Signal;
      /** Where it happened; absent for presence. */
      topic?: Topic;
    }
  /**
   * The topic cannot be replayed from where the client stands: load it as at first start. Events go on
   * after `head`.
   */
  | {
      type: "reset";
      head: number;
      reason: ResetReason;
      topic: Topic;
    }
  /** Answer with `pong`. Everything up to `as_of` has been sent before this frame. */
  | {
      type: "ping";
      as_of: Timestamp;
    }
  /** The answer to the client's `ping`. */
  | {
      type: "pong";
      id: number;
    }
  /** Send a fresh `token` within `grace_ms`. */
  | {
      type: "token_expiring";
      grace_ms: number;
    }
  /** A feature is paused for this connection; the connection itself stays. */
  | {
      type: "throttle";
      feature: string;
      retry_after_ms: number;
    }
  /** The server restarts soon: come back after `retry_after_ms`. */
  | {
      type: "drain";
      retry_after_ms: number;
    }
  /** The close code with its details, right before the close. */
  | {
      type: "bye";
      code: CloseCode;
      reason: string;
      /** The connection that took this one's place. */
      replaced_by?: ReplacedBy;
      retry_after_ms?: number;
    }
  /** Something that the client sent was refused; the connection stays unless a `bye` follows. */
  | {
      type: "error";
      error: ErrorBody;
      /** The topic it is about. */
      topic?: Topic;
    };

/** The answer to a poll: frames in their order, as a stream would have carried them. */
export interface ServerFrames {
  frames: ServerFrame[];
}

/** `PUT /v1/app/jwks`: keys of the app's tokens stand at this address, too. Server token with the scope `admin`. */
export interface SetJwks {
  /** `https://…`, at most 2,048 characters; `http://` on this machine, and while developing. */
  url: string;
}

/** Something that is true now and is not stored: whoever listens hears it, nobody hears it later. */
export type Signal =
  /** A user types. The server ends it after 6 s; clients resend at most every 3 s, and end it themselves at 7 s. */
  | {
      type: "typing.start";
      cid: Cid;
      user: UserBrief;
    }
  | {
      type: "typing.stop";
      cid: Cid;
      user: UserBrief;
    }
  /** Users came or went, or are away or back, collected over a moment. */
  | {
      type: "user.presence.changed";
      users: Presence[];
    }
  /**
   * Who of the subscription is there now, in place of everything that was told before. Comes where changes had to be
   * left out or were asked for anew, and where more are there than are told of by name.
   */
  | {
      type: "user.presence.snapshot";
      /** How many are there beside those. Absent: nobody; who is not named is not there. */
      others?: PresenceCounts;
      users: Presence[];
    }
  /**
   * What everything that was told comes to. Comes every minute; a client that has come to something else says
   * `presence` without a subscription, and is told a snapshot.
   */
  | PresenceDigest & {
      type: "user.presence.digest";
    };

/** One key of an order. */
export interface SortBy {
  /** 1 ascending, -1 descending (default). */
  direction?: number;
  /** Of channels `last_message_at`, `updated_at`, `created_at`, `member_count` or `cid`; of users see there. */
  field: string;
}

/** Work that takes long. It goes on where it was after a restart, whatever ended the server. */
export interface Task {
  created_at: Timestamp;
  error?: ErrorBody;
  finished_at?: Timestamp;
  id: string;
  kind: TaskKind;
  progress: TaskProgress;
  /** The path where its result can be fetched, once it is completed and has one. */
  result?: string;
  started_at?: Timestamp;
  status: TaskStatus;
  /** Whom it is about. */
  user_id: UserId;
}

export type TaskKind = "user.delete" | "user.export" | (string & {});

/** How much of a task is done. */
export interface TaskProgress {
  /** Messages, memberships and devices that were dealt with. */
  done: number;
  /** 0 to 100, by how much of what is stored was looked through; 100 only when it is completed. */
  percent: number;
}

/** `GET /v1/tasks/{id}`, and what calls answer that begin a task (202). */
export interface TaskResponse {
  task: Task;
}

export type TaskStatus = "waiting" | "running" | "completed" | "failed" | (string & {});

export type Team = string;

export type Timestamp = string;

export type Topic = string;

/**
 * A user's own unread state of one channel.
 *
 * The rule, the same in the server and in the SDKs: a message counts when its seq is above `last_read_seq`,
 * it is not one's own, not silent, not a system message and not deleted.
 */
export interface Unread {
  cid: Cid;
  /** The seq of the channel's last event when this was counted. */
  head: number;
  last_read_seq: number;
  /** Unread messages among those up to `head`. */
  unread_messages: number;
}

/** The unread state of one channel. */
export interface UnreadResponse {
  unread: Unread;
}

/** `GET /v1/unread`: totals, and every channel with unread messages. */
export interface UnreadTotals {
  channels: Unread[];
  total_unread_count: number;
  unread_channels: number;
}

/** `PATCH …/members/{user_id}`: what a member may do from now on. */
export interface UpdateMember {
  channel_role: ChannelRole;
}

/** `POST …/members`: adds and removes members, at most 100 in all. */
export interface UpdateMembers {
  add?: UserId[];
  /** Whether the added members see only what comes after they joined. */
  hide_history?: boolean;
  remove?: UserId[];
}

/** `POST /v1/users`: makes or replaces up to 100 users. Server token. */
export interface UpsertUsers {
  users: UserInput[];
}

/** What was counted in one period. */
export interface UsagePoint {
  /** Connections that ended. */
  closed: number;
  /** With months alone. */
  monthly_active_users?: number;
  /** Connections that opened. */
  opened: ByCause;
  /** The most connections at one moment. */
  peak: number;
  /** What they were there for, at that moment. */
  peak_by_cause: ByCause;
  start: Timestamp;
  /** The most tabs that went without a connection of their own at one moment. */
  tabs_saved: number;
}

/** `GET /v1/usage`: the figures of one app, with their definitions. Server token. */
export interface UsageResponse {
  concurrent_connections: ConcurrentConnections;
  definitions: Definitions;
  /** The month asked for, or else the present one: `2026-11`. */
  month: string;
  /** Of that month. */
  monthly_active_users: number;
}

/** Periods of one length. */
export interface UsageSeries {
  /** Where the first period begins. */
  from: Timestamp;
  granularity: Granularity;
  /** The highest peak of all. */
  peak: number;
  points: UsagePoint[];
  /** Where the last one ends. */
  to: Timestamp;
}

/** A user as others see it. */
export interface User {
  /** Online, and without any connection in the foreground for five minutes. */
  away?: boolean;
  created_at: Timestamp;
  /** Since when the user may neither connect nor do anything; absent while it may. */
  deactivated_at?: Timestamp;
  /** When the user was deleted; absent while it is there. */
  deleted_at?: Timestamp;
  /** Of `me` alone it may be that of somebody who is anonymous: `!` and more. */
  id: UserId;
  /** When the user was last seen active; absent until the first connection. */
  last_active?: Timestamp;
  /** Whether any connection of the user is up that is not invisible. */
  online?: boolean;
  role: Role;
  /** The teams that the user sees into; without any it sees what has no team. */
  teams?: Team[];
  updated_at: Timestamp;
  /** The user's own fields: `name`, `image`, and whatever the app puts there. */
  [key: string]: unknown;
}

/** The few fields of a user that stand in messages, typing signals and member lists. */
export interface UserBrief {
  id: UserId;
  image?: string;
  name?: string;
}

export type UserId = string;

/**
 * A user object as an app gives it: an `id` and any fields. Which of them count, and how they combine
 * with what is stored, depends on the path: connect merges, upsert replaces, partial update sets and unsets.
 */
export interface UserInput {
  id: UserId;
  [key: string]: unknown;
}

/** One user. */
export interface UserResponse {
  user: User;
}

/** The users that a call made, changed or found. */
export interface UsersResponse {
  /** Asks for the following page of a query; absent on the last one. */
  next?: string;
  users: User[];
}

/** A topic to listen to. */
export interface WatchTopic {
  /** Send what comes after this seq; absent: what comes from now on. */
  after?: number;
  topic: Topic;
}

/** What a browser's subscription gives to encrypt with. It is not given back. */
export interface WebPushKeys {
  auth: string;
  p256dh: string;
}
