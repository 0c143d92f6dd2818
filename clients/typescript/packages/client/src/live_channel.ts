// What the client knows of one channel, kept current from its events.
//
// A state that was loaded says up to which event it holds (`head`); a cursor goes on from there. Events that come
// while a state is being loaded are held back until it is there. Where the cursor finds a hole, and where the
// server says `reset`, the channel is loaded anew: one way in, for all that can go wrong.
//
// Not here: the connection, which brings each event once and in order; what the app calls (channel.ts).

import type { Calls, MessagePage } from "./calls.js";
import { Cursor } from "./cursor.js";
import type { ParlourError } from "./errors.js";
import { type ListedMessage, MessageWindow } from "./message_window.js";
import { Source } from "./observable.js";
import type { Outbox, OutboxEntry } from "./outbox.js";
import type {
  Channel as ChannelData,
  ChannelState,
  Event,
  EventFrame,
  Member,
  Message,
  MessagesResponse,
  Read,
  ResetReason,
  Unread,
  UserBrief,
} from "./wire.js";

/** Messages that a channel is loaded with. */
export const STATE_MESSAGES = 30;
/** When a typing user was not heard of for this long, the typing is over: the signal of its end was lost. */
const TYPING_EXPIRY_MS = 7_000;
/** When a load failed, it is tried again after up to this, or after what the server asks for. */
const LOAD_RETRY_MS = 5_000;

/** What is known of a channel. */
export interface ChannelView {
  /** `gone`: deleted, or not to be seen by this user. */
  status: "idle" | "loading" | "ready" | "gone";
  /** Name, counts, times, custom fields. */
  data?: ChannelData;
  /** The first hundred members, and those who joined since. */
  members: readonly Member[];
  /** The user's own membership; absent when it is none. */
  membership?: Member;
  /** How far members have read, as far as they let others see it. */
  reads: readonly Read[];
  /** The user's unread messages here. */
  unread: number;
  /** What the user has read, up to this seq. */
  lastReadSeq: number;
  /** The last message that is known; it may be a deleted one. */
  lastMessage?: Message;
  /** Why the last load failed; it is tried again unless the channel is gone. */
  error?: ParlourError;
}

/** The messages that are loaded, and those on their way. */
export interface MessagesView {
  /** Oldest first. Those that are not stored yet stand last. */
  messages: readonly ListedMessage[];
  /** Whether there are older ones to load. */
  hasOlder: boolean;
  /** Whether there are newer ones: the list stands somewhere in the past. */
  hasNewer: boolean;
  loading: "first" | "older" | "newer" | undefined;
  /** Why the last load failed. */
  error?: ParlourError;
}

/** What a channel needs of the driver. */
export interface Host {
  readonly userId: string;
  readonly calls: Calls;
  readonly outbox: Outbox;
  unread(cid: string): Unread | undefined;
  /** A state came with a call: where nothing is known of the channel, it tells the unread count. */
  seen(unread: Unread): void;
  /** Nothing keeps the channel current, and nobody has it open: lists that show it load anew. */
  stale(): void;
  watch(cid: string, after: number): void;
  unwatch(cid: string): void;
  /** The user, as messages name it. */
  brief(): UserBrief;
}

export const NO_CHANNEL: ChannelView = Object.freeze({
  status: "idle",
  members: [],
  reads: [],
  unread: 0,
  lastReadSeq: 0,
});
export const NO_MESSAGES: MessagesView = Object.freeze({
  messages: [],
  hasOlder: false,
  hasNewer: false,
  loading: undefined,
});

/** Which messages to load. */
export type Page =
  | { kind: "older" | "newer" | "latest"; limit: number }
  | { kind: "around"; limit: number; id: string };

export class LiveChannel {
  readonly view: Source<ChannelView>;
  readonly messages = new Source<MessagesView>(NO_MESSAGES);
  readonly typing = new Source<readonly UserBrief[]>([]);
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

  constructor(
    readonly host: Host,
    readonly cid: string,
  ) {
    this.view = new Source<ChannelView>(NO_CHANNEL);
    this.showUnread();
    this.showMessages();
  }

  // What the app wants.

  /** Keeps the channel loaded and live until the returned function is called. */
  open(): () => void {
    this.#openers++;
    this.#settle();
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      if (--this.#openers === 0 && this.#watched) {
        this.#watched = false;
        this.host.unwatch(this.cid);
        // Nothing brings its events any more, but to a member.
        if (!this.view.get().membership) this.#cursor = undefined;
      }
    };
  }

  /** Loads the channel if it is not there. */
  load(): Promise<void> {
    if (this.#load) return this.#load.promise;
    return this.#isLive() ? Promise.resolve() : this.reload();
  }

  /** Takes the server's word on the whole channel. Where events keep it current, they know better. */
  adopt(state: ChannelState, asked: number): void {
    if (state.unread) this.host.seen(state.unread);
    if (this.#isLive() || this.#load) return;
    this.#take(state, asked);
    this.#settle();
  }

  page(page: Page): Promise<void> {
    if (this.#page) return this.#page.promise.then(() => this.page(page));
    const { oldest, newest } = this.#window;
    let query: MessagePage = { limit: page.limit };
    if (page.kind === "around") query = { ...query, aroundId: page.id };
    else if (page.kind === "older" && oldest !== undefined) query = { ...query, before: oldest };
    else if (page.kind === "newer" && newest !== undefined) query = { ...query, after: newest };
    const done = page.kind === "older" ? !this.#window.hasOlder : page.kind === "newer" && !this.#window.hasNewer;
    if (done) return Promise.resolve();
    const own = { promise: Promise.resolve(), during: [] as Event[] };
    const loading = page.kind === "older" || page.kind === "newer" ? page.kind : "first";
    this.#page = own;
    this.messages.set({ ...withoutError(this.messages.get()), loading });
    own.promise = this.host.calls.messages(this.cid, query).then(
      (answer) => {
        // The channel was loaded anew meanwhile: this page is of another list.
        if (this.#page !== own) return;
        this.#page = undefined;
        this.#insert(page.kind, answer);
        // What happened meanwhile may be missing in the answer.
        for (const event of own.during) this.#applyToMessages(event);
        this.#showPage({});
      },
      (error: ParlourError) => {
        if (this.#page === own) {
          this.#page = undefined;
          this.#showPage({ error });
        }
        throw error;
      },
    );
    return own.promise;
  }

  /** Takes a message as a call answered it. */
  stored(message: Message): void {
    if (!this.#cursor) return;
    this.#window.add(message);
    this.showMessages();
  }

  // What happened.

  event(frame: EventFrame): void {
    if (this.#load) this.#load.held.push(frame);
    else this.#offer(frame);
  }

  /** What was missed cannot be replayed. */
  reset(reason: ResetReason): void {
    if (reason === "no_access") this.gone();
    else if (this.#cursor || this.#load) this.#lost();
  }

  /** The user is no member any more, or is one now. */
  membershipChanged(): void {
    if (this.#openers > 0 || this.#load) {
      void this.reload().catch(() => {});
    } else {
      this.#cursor = undefined;
      this.#window = new MessageWindow();
      this.view.set(NO_CHANNEL);
      this.showMessages();
    }
  }

  /** It was deleted, or may not be seen. */
  gone(error?: ParlourError): void {
    this.#cursor = undefined;
    this.#watched = false;
    this.#window = new MessageWindow();
    this.view.set({ ...NO_CHANNEL, status: "gone", ...(error && { error }) });
    this.showMessages();
  }

  /** The connection is there (again): what failed before may work now. */
  connected(): void {
    this.#settle();
  }

  /** The user's time is over. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#retry);
    for (const timer of this.#typingUntil.values()) clearTimeout(timer);
    this.#cursor = undefined;
    // Nobody else on this device is to see it.
    this.view.set(NO_CHANNEL);
    this.messages.set(NO_MESSAGES);
    this.typing.set([]);
  }

  typingStarted(user: UserBrief): void {
    if (user.id === this.host.userId) return;
    clearTimeout(this.#typingUntil.get(user.id));
    this.#typingUntil.set(
      user.id,
      setTimeout(() => this.typingStopped(user.id), TYPING_EXPIRY_MS),
    );
    if (!this.typing.get().some(({ id }) => id === user.id)) this.typing.set([...this.typing.get(), user]);
  }

  typingStopped(userId: string): void {
    clearTimeout(this.#typingUntil.get(userId));
    if (this.#typingUntil.delete(userId)) this.typing.set(this.typing.get().filter(({ id }) => id !== userId));
  }

  showUnread(): void {
    const unread = this.host.unread(this.cid);
    this.view.patch({ unread: unread?.unread_messages ?? 0, lastReadSeq: unread?.last_read_seq ?? 0 });
  }

  showMessages(): void {
    const { messages: stored, hasOlder, hasNewer } = this.#window;
    const entries = this.host.outbox.entries.get().filter(({ cid, id }) => cid === this.cid && !this.#window.has(id));
    const before = this.messages.get();
    const messages = entries.length ? [...stored, ...entries.map((entry) => this.#listed(entry))] : stored;
    const same = messages.length === before.messages.length && messages.every((m, at) => m === before.messages[at]);
    this.messages.patch({ messages: same ? before.messages : messages, hasOlder, hasNewer });
  }

  // Within.

  /** Whether events keep the state current. */
  #isLive(): boolean {
    return this.#cursor !== undefined && (this.#watched || this.view.get().membership !== undefined);
  }

  /** What follows from where things stand. */
  #settle(): void {
    const { status, membership } = this.view.get();
    if (this.#ended || this.#load || this.#openers === 0 || status === "gone") return;
    if (!this.#cursor) {
      void this.reload().catch(() => {});
    } else if (!membership && !this.#watched) {
      this.#watched = true;
      this.host.watch(this.cid, this.#cursor.last);
    }
  }

  /** The state is not current any more. */
  #lost(): void {
    if (this.#openers > 0 || this.#load) {
      void this.reload().catch(() => {});
    } else {
      this.#cursor = undefined;
      this.host.stale();
    }
  }

  /** Loads the channel as at first start. */
  reload(held: EventFrame[] = []): Promise<void> {
    if (this.#load) {
      this.#load.again = true;
      return this.#load.promise;
    }
    clearTimeout(this.#retry);
    const load = { held, promise: Promise.resolve(), again: false };
    this.#load = load;
    const { error: _, ...view } = this.view.get();
    this.view.set({ ...view, status: view.status === "ready" ? "ready" : "loading" });
    this.messages.set({ ...withoutError(this.messages.get()), loading: "first" });
    load.promise = this.host.calls.channel(this.cid, STATE_MESSAGES).then(
      (state) => {
        this.#load = undefined;
        if (load.again) return this.reload(held);
        if (state.unread) this.host.seen(state.unread);
        this.#take(state, STATE_MESSAGES);
        for (const frame of held) this.event(frame);
        this.#settle();
        return;
      },
      (error: ParlourError) => {
        this.#load = undefined;
        if (!this.#ended) this.#loadFailed(error);
        throw error;
      },
    );
    return load.promise;
  }

  #loadFailed(error: ParlourError): void {
    if (error.status === 403 || error.status === 404) {
      this.gone(error);
    } else {
      const { status } = this.view.get();
      this.view.patch({ status: status === "loading" ? "idle" : status, error });
      // Events that came meanwhile are in the next answer.
      this.#cursor = undefined;
      const pause = Math.max((error.retryAfter ?? 0) * 1_000, LOAD_RETRY_MS * Math.random());
      this.#retry = setTimeout(() => this.#settle(), pause);
    }
    this.messages.patch({ loading: undefined, error });
  }

  #take(state: ChannelState, asked: number): void {
    this.#cursor = new Cursor(state.head);
    const { channel: data, members, membership, reads, messages } = state;
    const unread = this.host.unread(this.cid);
    const lastMessage = messages.at(-1) ?? (asked > 0 ? undefined : this.view.get().lastMessage);
    this.view.set({
      status: "ready",
      data,
      members,
      reads,
      unread: unread?.unread_messages ?? 0,
      lastReadSeq: unread?.last_read_seq ?? 0,
      ...(membership && { membership }),
      ...(lastMessage && { lastMessage }),
    });
    this.#page = undefined;
    this.#window.replace({ messages, has_more_before: messages.length >= asked, has_more_after: false });
    this.#showPage({});
  }

  #offer(frame: EventFrame): void {
    const offer = this.#cursor?.offer(frame.seq);
    if (offer === "next") this.#apply(frame.event);
    else if (offer === "gap") this.#lost();
  }

  #apply(event: Event): void {
    const view = this.view.get();
    const data = view.data!;
    switch (event.type) {
      case "message.new":
        this.typingStopped(event.message.user.id);
        this.view.patch({
          lastMessage: event.message,
          data: { ...data, last_message_at: event.message.created_at },
        });
        break;
      case "message.updated":
      case "message.deleted":
        if (event.message && event.message.id === view.lastMessage?.id) this.view.patch({ lastMessage: event.message });
        break;
      case "message.read": {
        const read = {
          user_id: event.user.id,
          last_read_seq: event.last_read_seq,
          last_read_at: event.created_at,
        };
        this.view.patch({ reads: [...view.reads.filter((other) => other.user_id !== read.user_id), read] });
        break;
      }
      case "channel.created":
      case "channel.updated":
        this.view.patch({ data: event.channel });
        break;
      case "channel.deleted":
        this.gone();
        return;
      case "member.added": {
        const { member } = event;
        const others = view.members.filter((other) => other.user_id !== member.user_id);
        const count = data.member_count + (others.length === view.members.length ? 1 : 0);
        this.view.patch({ members: [...others, member], data: { ...data, member_count: count } });
        if (member.user_id === this.host.userId) this.view.patch({ membership: member });
        break;
      }
      case "member.removed": {
        const members = view.members.filter((other) => other.user_id !== event.user.id);
        this.view.patch({ members, data: { ...data, member_count: data.member_count - 1 } });
        break;
      }
    }
    this.#page?.during.push(event);
    this.#applyToMessages(event);
    this.showMessages();
  }

  #applyToMessages(event: Event): void {
    if (event.type === "message.new") this.#window.add(event.message);
    else if (event.type === "message.updated") this.#window.change(event.message);
    else if (event.type !== "message.deleted") return;
    else if (event.message) this.#window.change(event.message);
    else this.#window.remove(event.message_id);
  }

  #insert(kind: Page["kind"], answer: MessagesResponse): void {
    if (kind === "older") this.#window.prepend(answer);
    else if (kind === "newer") this.#window.append(answer);
    else this.#window.replace(answer);
  }

  #showPage(more: { error?: ParlourError }): void {
    this.messages.set({ ...withoutError(this.messages.get()), ...more, loading: undefined });
    this.showMessages();
  }

  /** A message of the outbox, as it will look. */
  #listed(entry: OutboxEntry): ListedMessage {
    let shown = this.#pending.get(entry);
    if (!shown) {
      const at = new Date(entry.queuedAt).toISOString();
      const message: Message = {
        ...entry.draft,
        id: entry.id,
        cid: this.cid,
        type: "regular",
        text: entry.draft.text ?? "",
        seq: 0,
        user: this.host.brief(),
        created_at: at,
        updated_at: at,
      };
      const { id, error } = entry;
      shown = error ? { id, message, status: "failed", error } : { id, message, status: "pending" };
      this.#pending.set(entry, shown);
    }
    return shown;
  }
}

function withoutError({ error: _, ...rest }: MessagesView): MessagesView {
  return rest;
}
