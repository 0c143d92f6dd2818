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
  readonly error?: ParlourError | undefined;
}

const listed = (message: Message): ListedMessage => ({ id: message.id, message, status: "sent" });

/** Which messages to load. */
export type PageKind = "older" | "newer" | "latest" | "around";

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

  /** Takes a page that was asked for: older and newer ones continue what is here, others take its place. */
  take(kind: PageKind, page: MessagesResponse): void {
    const older = kind === "older";
    const newer = kind === "newer";
    if (!older && !newer) this.messages = [];
    const fresh = page.messages.filter(({ id }) => !this.has(id)).map(listed);
    this.messages = newer ? [...this.messages, ...fresh] : [...fresh, ...this.messages];
    if (!newer) this.hasOlder = page.has_more_before;
    if (!older) this.hasNewer = page.has_more_after;
  }

  /** Takes a message that is new here, or one that is there as it now is. */
  add(message: Message): void {
    const { id, seq } = message;
    if (this.has(id)) return this.change(id, message);
    const { messages, oldest = Infinity, newest = 0 } = this;
    const beyond = (this.hasNewer && seq > newest) || (this.hasOlder && seq < oldest);
    if (beyond && newest) return;
    // Nearly always the end: an acknowledged message of one's own may come before the others' events.
    let at = messages.length;
    while (at > 0 && messages[at - 1]!.message.seq > seq) at--;
    this.messages = [...messages.slice(0, at), listed(message), ...messages.slice(at)];
  }

  /** Takes what a message is now, if it is here; without one, it is gone. */
  change(id: string, message: Message | undefined): void {
    if (!this.has(id)) return;
    const now = message ? [listed(message)] : [];
    this.messages = this.messages.flatMap((entry) => (entry.id === id ? now : entry));
  }
}
