// What an app looks at: the values that channels and lists show, and who keeps them.
//
// Keeping them current is `Live`, which is loaded when the app first looks at something. Here is what stands in its
// place until then; so much is in every page, also in one that only sends and listens.

import type { Output } from "./connection.js";
import type { ParlourError } from "./errors.js";
import type { ClientEventOf } from "./events.js";
import type { ListedMessage } from "./message_window.js";
import { type Observable, Source, switched } from "./observable.js";
import type { Channel as ChannelData, ChannelState, Member, Message, Read, UserBrief } from "./wire.js";

/** Messages that a channel is loaded with. */
export const STATE_MESSAGES = 30;

/** What is known of a channel. */
export interface ChannelView {
  /** `gone`: deleted, or not to be seen by this user. */
  status: "idle" | "loading" | "ready" | "gone";
  /** Name, counts, times, custom fields. */
  data?: ChannelData | undefined;
  /** The first hundred members, and those who joined since. */
  members: readonly Member[];
  /** The user's own membership; absent when it is none. */
  membership?: Member | undefined;
  /** How far members have read, as far as they let others see it. */
  reads: readonly Read[];
  /** The user's unread messages here. */
  unread: number;
  /** What the user has read, up to this seq. */
  lastReadSeq: number;
  /** The last message that is known; it may be a deleted one. */
  lastMessage?: Message | undefined;
  /** Why the last load failed; it is tried again unless the channel is gone. */
  error?: ParlourError | undefined;
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
  error?: ParlourError | undefined;
}

/** What is known of a list, by the names of its channels. */
export interface CidsView {
  cids: readonly string[];
  /** Whether there are more to load. */
  hasMore: boolean;
  loading: boolean;
  /** Why the last load failed. */
  error?: ParlourError | undefined;
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
export const NOBODY: readonly UserBrief[] = Object.freeze([]);
export const NO_CIDS: CidsView = Object.freeze({ cids: [], hasMore: false, loading: true });

/** What a channel's handle shows. */
export interface ShownChannel {
  readonly view: Observable<ChannelView>;
  readonly messages: Observable<MessagesView>;
  readonly typing: Observable<readonly UserBrief[]>;
  /** Keeps the channel loaded and live until the returned function is called. */
  open(): () => void;
  /** Takes the server's word on the whole channel. */
  adopt(state: ChannelState): void;
  /** Takes a message as a call answered it. */
  stored(message: Message): void;
}

/** What is told to whoever keeps what is shown, in the order in which it happened. */
export type News =
  | Output
  | ClientEventOf<"outbox.changed">
  /** Unread counts were loaded. */
  | { type: "counted" };

/** One user's view of channels and lists. */
export interface Shown {
  channel(cid: string): ShownChannel;
  /** `query` as JSON. */
  list(query: string): { readonly view: Observable<CidsView> };
  take(news: News): void;
  /** The user's time is over. */
  end(): void;
}

/** What is shown to whoever is connected; `initial` while that is nobody. */
export function shown<T>(
  drivers: Observable<{ shown: Observable<Shown> } | undefined>,
  pick: (shown: Shown) => Observable<T>,
  initial: T,
): Observable<T> {
  return switched(drivers, (driver) => switched(driver.shown, pick, initial), initial);
}

/** Every channel and every list before there is something to show. Looking at one calls `look`. */
export class Blank implements Shown, ShownChannel {
  readonly view: Source<ChannelView>;
  readonly messages: Source<MessagesView>;
  readonly typing: Source<readonly UserBrief[]>;
  /** Channels that calls have brought: they are to be there once somebody looks. */
  readonly brought = new Set<string>();
  readonly #list: { view: Source<CidsView> };
  readonly #look: () => void;

  constructor(look: () => void) {
    this.#look = look;
    this.view = new Source(NO_CHANNEL, look);
    this.messages = new Source(NO_MESSAGES, look);
    this.typing = new Source(NOBODY, look);
    this.#list = { view: new Source(NO_CIDS, look) };
  }

  channel(): this {
    return this;
  }

  list() {
    return this.#list;
  }

  open(): () => void {
    this.#look();
    return () => {};
  }

  adopt(state: ChannelState): void {
    this.brought.add(state.channel.cid);
  }

  stored(): void {}

  take({ type }: News): void {
    // What could not be loaded for want of a network may be there now.
    if (type === "ready" && this.view.get().error) this.#look();
  }

  /** Says why there is nothing, or that it is being loaded. */
  fails(error: ParlourError | undefined): void {
    this.view.patch({ error });
    this.messages.patch({ error });
    this.#list.view.patch({ loading: !error, error });
  }

  end(): void {
    this.fails(undefined);
  }
}
