// The app's handle of one channel: what is known of it, and what can be done in it.
//
// A handle may be made before anybody is connected, and outlives the user: it shows the channel of whoever the
// client is connected as.

import type { CallOptions } from "./address.js";
import type { Client } from "./client.js";
import type { Desk, Wish } from "./desk.js";
import type { Driver } from "./driver.js";
import type { MemberPage, MessagePage } from "./endpoints.js";
import { uuid } from "./ids.js";
import type { LiveChannel } from "./live_channel.js";
import { follow, type Observable } from "./observable.js";
import {
  type ChannelView,
  type MessagesView,
  NO_CHANNEL,
  NO_MESSAGES,
  NOBODY,
  shown,
  type ShownChannel,
  STATE_MESSAGES,
} from "./views.js";
import type {
  ChannelState,
  EditMessage,
  GetOrCreateChannel,
  MembersResponse,
  Message,
  MessageDraft,
  MessagesResponse,
  PartialUpdate,
  Unread,
  UpdateMembers,
  UserBrief,
} from "./wire.js";

/** When this long has passed since the last `typing.start`, the next is sent. */
const TYPING_RESEND_MS = 3_000;

export class Channel {
  /** The full name, `type:id`. */
  readonly cid: string;
  readonly type: string;
  readonly id: string;
  /**
   * What is known of the channel. Kept current while it is open, or in a list, or was loaded by a member; nothing
   * before the app first opens, loads or subscribes to a channel or a list, since that loads the code that keeps it.
   */
  readonly view: Observable<ChannelView>;
  /** Its messages, those on their way included. */
  readonly messages: Observable<MessagesView>;
  /** Others who type. */
  readonly typing: Observable<readonly UserBrief[]>;
  readonly #client: Client;
  readonly #drivers: Observable<Driver | undefined>;
  #typingSentAt = -Infinity;

  /** @internal Made by `client.channel`. */
  constructor(client: Client, drivers: Observable<Driver | undefined>, type: string, id: string) {
    this.#client = client;
    this.#drivers = drivers;
    this.type = type;
    this.id = id;
    this.cid = `${type}:${id}`;
    const { cid } = this;
    this.view = shown(drivers, (shown) => shown.channel(cid).view, NO_CHANNEL);
    this.messages = shown(drivers, (shown) => shown.channel(cid).messages, NO_MESSAGES);
    this.typing = shown(drivers, (shown) => shown.channel(cid).typing, NOBODY);
  }

  /**
   * Loads the channel and keeps it live until the returned function is called, for whoever is connected. Members
   * hear of their channels anyway; for others this is what makes the server tell them.
   */
  open(): () => void {
    return follow(this.#drivers, ({ shown }) => follow(shown, (shown) => shown.channel(this.cid).open()));
  }

  /** Loads the channel, if it is not known yet. Fails as any call; `view.status` is `gone` where it may not be seen. */
  async load(): Promise<ChannelView> {
    await (await this.#live()).load();
    return this.view.get();
  }

  /** Makes the channel, with these members beside the user, or gives the one that is there as it is. */
  async getOrCreate(
    request: Pick<GetOrCreateChannel, "members" | "data"> = {},
    options?: CallOptions,
  ): Promise<ChannelState> {
    const driver = this.#driver;
    const shown = driver.shown.get();
    const state = await driver.ask((to) => to.getOrCreate(this.cid, { ...request, messages: STATE_MESSAGES }), options);
    shown.channel(this.cid).adopt(state);
    // What is shown began meanwhile, perhaps after something that is not in this answer.
    if (driver.shown.get() !== shown) driver.look().then((live) => live.channel(this.cid).reload(), () => {});
    return state;
  }

  /** Sets some of the channel's fields, and removes others. */
  update(update: PartialUpdate, options?: CallOptions): Promise<ChannelState> {
    return this.#ask((to) => to.updateChannel(this.cid, update), options);
  }

  /** Deletes the channel, for everybody. */
  deleteChannel(options?: CallOptions): Promise<void> {
    return this.#ask((to) => to.deleteChannel(this.cid), options);
  }

  /** Adds and removes members in one step, at most 100. */
  updateMembers(update: UpdateMembers, options?: CallOptions): Promise<ChannelState> {
    return this.#ask((to) => to.updateMembers(this.cid, update), options);
  }

  /** A page of members, by the time they joined. */
  members(page: MemberPage = {}, options?: CallOptions): Promise<MembersResponse> {
    return this.#ask((to) => to.members(this.cid, page), options);
  }

  /**
   * Sends a message through the outbox. It stands in `messages` at once, as pending, and the promise resolves
   * when the server has stored it. There is no timeout but the outbox's 48 hours: an outage delays it. Where it
   * is refused for good the promise rejects and the message stays in the list as failed, see `retry` and `discard`.
   *
   * Fails with `not_logged_in`, `outbox_full`, and what the server refuses.
   */
  send(message: string | MessageDraft): Promise<Message> {
    const draft = typeof message === "string" ? { text: message } : message;
    this.#typingSentAt = -Infinity;
    const queue = ({ outbox }: Desk) => outbox.queue(this.cid, { ...draft, id: draft.id ?? uuid() });
    try {
      const driver = this.#driver;
      // What one writes is seen, wherever one has scrolled to.
      if (this.messages.get().hasNewer) this.loadLatest().catch(() => {});
      if (driver.desk) return queue(driver.desk);
      const sent = driver.loadDesk().then(queue);
      sent.catch(() => {});
      return sent;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Sends a failed message again. `false`: there is none with this id. */
  async retry(messageId: string): Promise<boolean> {
    const driver = this.#driver;
    return (driver.desk ?? (await driver.loadDesk())).outbox.retry(messageId);
  }

  /** Forgets a message that is not sent. One that is just on its way may still arrive. `false`: there is none. */
  async discard(messageId: string): Promise<boolean> {
    const driver = this.#driver;
    return (driver.desk ?? (await driver.loadDesk())).outbox.discard(messageId);
  }

  /** Changes a message: a text, or single fields. */
  edit(messageId: string, edit: string | EditMessage, options?: CallOptions): Promise<Message> {
    const change = typeof edit === "string" ? { text: edit } : edit;
    return this.#stored((to) => to.editMessage(this.cid, messageId, change), options);
  }

  /** Deletes a message; its place is kept. */
  delete(messageId: string, options?: CallOptions): Promise<Message> {
    return this.#stored((to) => to.deleteMessage(this.cid, messageId), options);
  }

  /** One message. */
  message(messageId: string, options?: CallOptions): Promise<Message> {
    return this.#ask((to) => to.message(this.cid, messageId), options);
  }

  /** A page of messages, oldest first, past the list in `messages`. */
  messagesPage(page: MessagePage = {}, options?: CallOptions): Promise<MessagesResponse> {
    return this.#ask((to) => to.messages(this.cid, page), options);
  }

  /** Loads older messages into the list, 1 to 100. */
  async loadOlder(limit = STATE_MESSAGES): Promise<void> {
    return (await this.#live()).page("older", limit);
  }

  /** Loads newer messages into the list, where it stands in the past. */
  async loadNewer(limit = STATE_MESSAGES): Promise<void> {
    return (await this.#live()).page("newer", limit);
  }

  /** Makes the list begin anew with the latest messages. */
  async loadLatest(limit = STATE_MESSAGES): Promise<void> {
    return (await this.#live()).page("latest", limit);
  }

  /** Makes the list begin anew around a message. */
  async loadAround(messageId: string, limit = STATE_MESSAGES): Promise<void> {
    return (await this.#live()).page("around", limit, messageId);
  }

  /** Marks everything up to this seq as read, or everything. The position never moves back. */
  markRead(seq?: number, options?: CallOptions): Promise<Unread> {
    return this.#ask((to) => to.markRead(this.cid, seq === undefined ? {} : { seq }), options);
  }

  /** Makes this message and all after it unread again. */
  markUnread(messageId: string, options?: CallOptions): Promise<Unread> {
    return this.#ask((to) => to.markUnread(this.cid, messageId), options);
  }

  /** Says that the user types; call it at every keystroke: it is sent every 3 s at most, and only while connected. */
  keystroke(): void {
    const now = performance.now();
    if (now - this.#typingSentAt < TYPING_RESEND_MS || this.#drivers.get()?.desk?.pauses("typing")) return;
    this.#typingSentAt = now;
    this.#signal("typing.start");
  }

  /** Says that the user stopped typing, if others were told that she types. */
  stopTyping(): void {
    if (this.#typingSentAt === -Infinity) return;
    this.#typingSentAt = -Infinity;
    this.#signal("typing.stop");
  }

  #signal(type: "typing.start" | "typing.stop"): void {
    const frame = { type: "signal", topic: `channel:${this.cid}`, signal: { type } } as const;
    this.#drivers.get()?.input({ type: "send", frame });
  }

  async #ask<T>(wish: Wish<T>, options: CallOptions | undefined): Promise<T> {
    return this.#driver.ask(wish, options);
  }

  async #stored(wish: Wish<Message>, options: CallOptions | undefined): Promise<Message> {
    const shown = this.#shown;
    const message = await this.#ask(wish, options);
    shown.stored(message);
    return message;
  }

  get #driver(): Driver {
    return this.#client.driver;
  }

  get #shown(): ShownChannel {
    return this.#driver.shown.get().channel(this.cid);
  }

  async #live(): Promise<LiveChannel> {
    return (await this.#driver.look()).channel(this.cid);
  }
}
