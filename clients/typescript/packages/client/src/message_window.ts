// The piece of a channel's messages that is loaded: without a hole, oldest first.
//
// Not here: loading, and messages that are not stored yet.

import type { ParlourError } from "./errors.js";
import type { Message, MessagesResponse } from "./wire.js";

/** A message as it is to be shown. The object stays the same while nothing of it changes. */
export interface ListedMessage {
  readonly id: string;
  readonly message: Message;
  /** `sent`: stored by the server. `pending`: waits or is on its way. `failed`: refused for good, see `error`. */
  readonly status: "sent" | "pending" | "failed";
  readonly error?: ParlourError;
}

const listed = (message: Message): ListedMessage => ({ id: message.id, message, status: "sent" });

export class MessageWindow {
  /** Replaced at every change, never changed. */
  messages: readonly ListedMessage[] = [];
  hasOlder = false;
  hasNewer = false;

  get oldest(): number | undefined {
    return this.messages[0]?.message.seq;
  }

  get newest(): number | undefined {
    return this.messages.at(-1)?.message.seq;
  }

  has(id: string): boolean {
    return this.messages.some((entry) => entry.id === id);
  }

  replace(page: MessagesResponse): void {
    this.messages = page.messages.map(listed);
    this.hasOlder = page.has_more_before;
    this.hasNewer = page.has_more_after;
  }

  prepend(page: MessagesResponse): void {
    this.messages = [...page.messages.filter(({ id }) => !this.has(id)).map(listed), ...this.messages];
    this.hasOlder = page.has_more_before;
  }

  append(page: MessagesResponse): void {
    this.messages = [...this.messages, ...page.messages.filter(({ id }) => !this.has(id)).map(listed)];
    this.hasNewer = page.has_more_after;
  }

  /** Takes a message that is new here, or one that is there as it now is. */
  add(message: Message): void {
    if (this.change(message)) return;
    const { oldest, newest } = this;
    const beyond =
      (this.hasNewer && message.seq > (newest ?? 0)) || (this.hasOlder && message.seq < (oldest ?? Infinity));
    if (beyond && newest !== undefined) return;
    // Nearly always the end: an acknowledged message of one's own may come before the others' events.
    let at = this.messages.length;
    while (at > 0 && this.messages[at - 1]!.message.seq > message.seq) at--;
    this.messages = [...this.messages.slice(0, at), listed(message), ...this.messages.slice(at)];
  }

  /** Takes what a message is now, if it is here. */
  change(message: Message): boolean {
    if (!this.has(message.id)) return false;
    this.messages = this.messages.map((entry) => (entry.id === message.id ? listed(message) : entry));
    return true;
  }

  remove(id: string): void {
    if (this.has(id)) this.messages = this.messages.filter((entry) => entry.id !== id);
  }
}
