// What the client knows of one channel, kept current from its events.
//
// A state that was loaded says up to which event it holds (`head`); a cursor goes on from there. Events that come
// while a state is being loaded are held back until it is there. Where the cursor finds a hole, and where the
// server says `reset`, the channel is loaded anew: one way in, for all that can go wrong.
//
// Not here: the connection, which brings each event once and in order; what the app calls (channel.ts).

import { isGone, retryAfterMs } from "./answers.js";
import { Cursor } from "./cursor.js";
import type { Driver } from "./driver.js";
import type { ParlourError } from "./errors.js";
import type { Live } from "./live.js";
import { type ListedMessage, MessageWindow, type PageKind } from "./message_window.js";
import { Source } from "./observable.js";
import type { OutboxEntry } from "./outbox.js";
import {
  type ChannelView,
  type MessagesView,
  NO_CHANNEL,
  NO_MESSAGES,
  NOBODY,
  type ShownChannel,
  STATE_MESSAGES,
} from "./views.js";
import type { ChannelState, Event, EventFrame, Message, MessagesResponse, ResetReason, UserBrief } from "./wire.js";

/** When a typing user was not heard of for this long, the typing is over: the signal of its end was lost. */
const TYPING_EXPIRY_MS = 7_000;
/** When a load failed, it is tried again after up to this, or after what the server asks for. */
const LOAD_RETRY_MS = 5_000;

const without = <T extends { user_id: string }>(list: readonly T[], userId: string): T[] =>
  list.filter(({ user_id }) => user_id !== userId);

export class LiveChannel implements ShownChannel {
  readonly view = new Source<ChannelView>(NO_CHANNEL);
  readonly messages = new Source<MessagesView>(NO_MESSAGES);
  readonly typing = new Source(NOBODY);
  readonly #live: Live;
  readonly #driver: Driver;
  readonly #cid: string;
  #window = new MessageWindow();
  /** Where the state stands; absent while there is none. */
  #cursor: Cursor | undefined;
  #openers = 0;
  #watched = false;
  /** `again`: what is being loaded may be from before something that makes it void. */
  #load: { promise: Promise<void>; held: EventFrame[]; again: boolean } | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #page: { promise: Promise<void>; during: Event[] } | undefined;
  #typingUntil = new Map<string, ReturnType<typeof setTimeout>>();
  #pending = new WeakMap<OutboxEntry, ListedMessage>();
  #ended = false;

  constructor(live: Live, cid: string) {
    this.#live = live;
    this.#driver = live.driver;
    this.#cid = cid;
    this.showUnread();
    this.showMessages();
  }

  // What the app wants.

  open(): () => void {
    this.#openers++;
    this.settle();
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      if (--this.#openers > 0 || !this.#watched) return;
      this.#watched = false;
      this.#driver.input({ type: "unwatch", topic: `channel:${this.#cid}` });
      // Nothing brings its events any more, but to a member.
      if (!this.view.get().membership) this.#cursor = undefined;
    };
  }

  /** Loads the channel if it is not there. */
  async load(): Promise<void> {
    if (!this.#isLive()) await (this.#load?.promise ?? this.reload());
  }

  /** Takes the server's word on the whole channel. Where events keep it current, they know better. */
  adopt(state: ChannelState): void {
    if (this.#isLive() || this.#load) return this.#count(state);
    const cursor = this.#begin(state);
    // Events overtook the answer, and nobody took them.
    if (cursor.isBehind(this.#live.heard.get(this.#cid) ?? 0)) void this.reload();
  }

  /** Loads messages into the list; one page at a time. */
  async page(kind: PageKind, limit: number, aroundId?: string): Promise<void> {
    while (this.#page) await this.#page.promise;
    const { hasOlder, hasNewer, oldest, newest } = this.#window;
    const older = kind === "older";
    const newer = kind === "newer";
    if (older ? !hasOlder : newer && !hasNewer) return;
    const query = { limit, aroundId, before: older ? oldest : undefined, after: newer ? newest : undefined };
    const during: Event[] = [];
    const promise = this.#driver.ask((to) => to.messages(this.#cid, query)).then(
      (answer) => {
        // Else the channel was loaded anew meanwhile: this page is of another list.
        if (this.#page !== own) return;
        this.#page = undefined;
        this.#show(kind, answer);
        // What happened meanwhile may be missing in the answer.
        for (const event of during) this.#applyToMessages(event);
      },
      (error: ParlourError) => {
        if (this.#page === own) {
          this.#page = undefined;
          this.messages.patch({ loading: undefined, error });
        }
        throw error;
      },
    );
    const own = (this.#page = { promise, during });
    this.messages.patch({ loading: older || newer ? kind : "first", error: undefined });
    return promise;
  }

  stored(message: Message): void {
    if (!this.#cursor) return;
    this.#window.add(message);
    this.showMessages();
  }

  // What happened.

  event(frame: EventFrame): void {
    if (this.#load) return void this.#load.held.push(frame);
    const offer = this.#cursor?.offer(frame.seq);
    if (offer === "next") this.#apply(frame.event);
    else if (offer === "gap") this.#lost();
  }

  /** What was missed cannot be replayed. */
  reset(reason: ResetReason): void {
    // Its messages have other places now.
    if (reason === "other_epoch") this.#window = new MessageWindow();
    if (reason === "no_access") this.#forget("gone");
    else if (this.#cursor || this.#load) this.#lost();
  }

  /** The user is a member now, or is none any more; the state may know it already. */
  membershipChanged(isMember: boolean): void {
    if (this.#cursor && !this.#load && isMember === (this.view.get().membership !== undefined)) return;
    if (!this.#isWanted()) this.#forget("idle");
    this.#lost();
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#retry);
    for (const timer of this.#typingUntil.values()) clearTimeout(timer);
  }

  /** Somebody begins to type, or stops. */
  types(user: UserBrief, begins: boolean): void {
    const { id } = user;
    if (id === this.#driver.userId) return;
    clearTimeout(this.#typingUntil.get(id));
    if (begins) this.#typingUntil.set(id, setTimeout(() => this.types(user, false), TYPING_EXPIRY_MS));
    const typing = this.typing.get();
    const others = typing.filter((other) => other.id !== id);
    const known = others.length < typing.length;
    if (known !== begins) this.typing.set(begins ? [...others, user] : others);
  }

  showUnread(): void {
    const unread = this.#driver.tally.channel(this.#cid);
    this.view.patch({ unread: unread?.unread_messages ?? 0, lastReadSeq: unread?.last_read_seq ?? 0 });
  }

  showMessages(): void {
    const { messages: stored, hasOlder, hasNewer } = this.#window;
    const before = this.messages.get().messages;
    const entries = this.#driver.outbox.entries.get();
    const own = entries.filter(({ cid, id }) => cid === this.#cid && !this.#window.has(id));
    const messages = own.length ? [...stored, ...own.map((entry) => this.#listed(entry))] : stored;
    const same = messages.length === before.length && messages.every((message, at) => message === before[at]);
    this.messages.patch({ messages: same ? before : messages, hasOlder, hasNewer });
  }

  /** What follows from where things stand. */
  settle(): void {
    const { status, membership } = this.view.get();
    if (this.#ended || this.#load || this.#openers === 0 || status === "gone") return;
    if (!this.#cursor) {
      void this.reload();
    } else if (!membership && !this.#watched) {
      this.#watched = true;
      this.#driver.input({ type: "watch", topic: `channel:${this.#cid}`, after: this.#cursor.last });
    }
  }

  // Within.

  /** Whether events keep the state current. */
  #isLive(): boolean {
    return this.#cursor !== undefined && (this.#watched || this.view.get().membership !== undefined);
  }

  #isWanted(): boolean {
    return this.#openers > 0 || this.#load !== undefined;
  }

  /** The state is not current any more. */
  #lost(): void {
    if (this.#isWanted()) {
      void this.reload();
    } else {
      this.#cursor = undefined;
      this.#live.stale();
    }
  }

  #count(state: ChannelState): void {
    this.#driver.seen(state);
    this.showUnread();
  }

  /** Goes on from this state. */
  #begin(state: ChannelState): Cursor {
    this.#count(state);
    const cursor = (this.#cursor = new Cursor(state.head));
    const { channel: data, members, membership, reads, messages } = state;
    const lastMessage = messages.at(-1);
    this.view.patch({ status: "ready", data, members, reads, membership, lastMessage, error: undefined });
    this.#page = undefined;
    // Acknowledged while the answer was on the way: their events are still to come.
    const newer = this.#window.messages.filter(({ message }) => message.seq > state.head);
    const has_more_before = messages.length >= STATE_MESSAGES;
    this.#show("latest", { messages, has_more_before, has_more_after: false });
    for (const { message } of newer) this.stored(message);
    this.settle();
    return cursor;
  }

  #forget(status: "gone" | "idle", error?: ParlourError): void {
    this.#cursor = undefined;
    this.#watched = false;
    this.#window = new MessageWindow();
    this.view.set({ ...NO_CHANNEL, status, error });
    this.showMessages();
  }

  /** Loads the channel as at first start. A rejection that nobody handles is silent: the view says it. */
  reload(): Promise<void> {
    if (this.#load) {
      this.#load.again = true;
      return this.#load.promise;
    }
    clearTimeout(this.#retry);
    this.view.patch({ status: this.view.get().status === "ready" ? "ready" : "loading", error: undefined });
    this.messages.patch({ loading: "first", error: undefined });
    const load = (this.#load = { held: [] as EventFrame[], again: true, promise: Promise.resolve() });
    load.promise = this.#loadState(load);
    load.promise.catch(() => {});
    return load.promise;
  }

  async #loadState(load: { held: EventFrame[]; again: boolean }): Promise<void> {
    try {
      let state!: ChannelState;
      while (load.again) {
        load.again = false;
        state = await this.#driver.ask((to) => to.channelState(this.#cid, STATE_MESSAGES));
      }
      this.#load = this.#cursor = undefined;
      if (this.#ended) return;
      this.#begin(state);
      for (const frame of load.held) this.event(frame);
    } catch (thrown) {
      const error = thrown as ParlourError;
      this.#load = this.#cursor = undefined;
      if (!this.#ended) this.#loadFailed(error);
      throw error;
    }
  }

  #loadFailed(error: ParlourError): void {
    if (isGone(error)) {
      this.#forget("gone", error);
    } else {
      const { status } = this.view.get();
      this.view.patch({ status: status === "loading" ? "idle" : status, error });
      this.#retry = setTimeout(() => this.settle(), retryAfterMs(error, LOAD_RETRY_MS));
    }
    this.messages.patch({ loading: undefined, error });
  }

  /** What is told of the channel in the topic of the user. */
  ownEvent(event: Event): void {
    if (this.view.get().data) this.#apply(event);
    this.showUnread();
  }

  #apply(event: Event): void {
    const view = this.view.get();
    const data = view.data!;
    switch (event.type) {
      case "message.new": {
        const { message: lastMessage } = event;
        this.types(lastMessage.user, false);
        this.view.patch({ lastMessage, data: { ...data, last_message_at: lastMessage.created_at } });
        break;
      }
      case "message.updated":
      case "message.deleted":
        if (event.message?.id === view.lastMessage?.id) this.view.patch({ lastMessage: event.message });
        break;
      case "message.read": {
        const { user, last_read_seq, created_at: last_read_at } = event;
        const read = { user_id: user.id, last_read_seq, last_read_at };
        this.view.patch({ reads: [...without(view.reads, user.id), read] });
        break;
      }
      case "channel.created":
      case "channel.updated":
        this.view.patch({ data: event.channel });
        break;
      case "channel.deleted":
        return this.#forget("gone");
      case "member.added":
      case "member.updated": {
        const { member } = event;
        const members = [...without(view.members, member.user_id), member];
        const member_count = data.member_count + members.length - view.members.length;
        this.view.patch({ members, data: { ...data, member_count } });
        if (member.user_id === this.#driver.userId) this.view.patch({ membership: member });
        break;
      }
      case "member.removed": {
        const members = without(view.members, event.user.id);
        this.view.patch({ members, data: { ...data, member_count: data.member_count - 1 } });
      }
    }
    this.#page?.during.push(event);
    this.#applyToMessages(event);
  }

  #applyToMessages(event: Event): void {
    if (event.type === "message.new") this.#window.add(event.message);
    else if (event.type === "message.updated") this.#window.change(event.message.id, event.message);
    else if (event.type === "message.deleted") this.#window.change(event.message_id, event.message);
    this.showMessages();
  }

  #show(kind: PageKind, page: MessagesResponse): void {
    this.#window.take(kind, page);
    this.messages.patch({ loading: undefined, error: undefined });
    this.showMessages();
  }

  /** A message of the outbox, as it will look. */
  #listed(entry: OutboxEntry): ListedMessage {
    const listed = this.#pending.get(entry);
    if (listed) return listed;
    const { id, cid, draft, error } = entry;
    const at = new Date(entry.queuedAt).toISOString();
    const { userId, me } = this.#driver;
    const { name, image } = (me.get() ?? {}) as Partial<UserBrief>;
    const user = { id: userId, ...(name && { name }), ...(image && { image }) };
    const stored = { type: "regular", seq: 0, user, created_at: at, updated_at: at } as const;
    const message = { text: "", ...draft, id, cid, ...stored };
    const shown: ListedMessage = { id, message, status: error ? "failed" : "pending", error };
    this.#pending.set(entry, shown);
    return shown;
  }
}
