/**
 * Chat for your app: one live connection per user, that loses nothing.
 *
 * `Client` is one user on one device. An app's backend, which holds the secret, uses `ServerClient` of
 * `@parlour/client/server`.
 *
 * @module
 */

export type { CallOptions } from "./address.js";
export { Channel } from "./channel.js";
export { ChannelList, type ChannelListView } from "./channel_list.js";
export { Client, type ClientOptions, type KnownUser } from "./client.js";
export type { Cause, NetworkLevel, Transport, UiStatus } from "./connection.js";
export type { WebSocketConstructor, WebSocketLike } from "./dial.js";
export type { MemberPage, MessagePage } from "./endpoints.js";
export { ParlourError } from "./errors.js";
export type { ClientEvent, ClientEventOf, ClientEventType, DurableEvent, LocalEvent } from "./events.js";
export type { ChannelListQuery } from "./live_list.js";
export type { Attendance } from "./attendance.js";
export type { ListedMessage } from "./message_window.js";
export type { Observable } from "./observable.js";
export type { Platform, PlatformNews } from "./platform.js";
export type { ConnectionStatus, FellBack } from "./status.js";
export { memoryStorage, type StorageOption, type TextStorage } from "./storage.js";
export type { TokenProvider } from "./token.js";
export type { UnreadCounts } from "./unread.js";
export type { ChannelView, MessagesView } from "./views.js";
export type * as wire from "./wire.js";
export type {
  Channel as ChannelData,
  ChannelRole,
  ChannelState,
  ChannelsResponse,
  EditMessage,
  Event,
  Me,
  Member,
  MembersResponse,
  Message,
  MessageDraft,
  MessagesResponse,
  PartialUpdate,
  Presence,
  PresenceCounts,
  PresenceSubscription,
  QueryChannels,
  Read,
  Signal,
  Unread,
  UpdateMembers,
  User,
  UserBrief,
  UserInput,
} from "./wire.js";
