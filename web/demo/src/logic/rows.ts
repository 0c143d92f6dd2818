// How a message stands among its neighbours: under a new day, in a group of one sender, after the unread
// divider.
//
// Everything is asked for one row at a time, so that a list of ten thousand costs what is on the screen.

import type { ListedMessage } from "@parlour/client";
import { dayKey } from "./times.js";

/** Messages of one sender stand together if no more than this lies between them. */
const GROUP_GAP_MS = 5 * 60 * 1000;

export interface RowShape {
  /** The first message of its day among those that are loaded. */
  newDay: boolean;
  /** "New messages" stands above. */
  divider: boolean;
  /** The first and the last of a group of one sender. */
  first: boolean;
  last: boolean;
}

/** The shape of the row at `index`, where the divider stands above the message `dividerId`. */
export function shapeAt(
  entries: readonly ListedMessage[],
  index: number,
  dividerId: string | undefined,
): RowShape {
  const entry = entries[index];
  const before = entries[index - 1];
  const after = entries[index + 1];
  if (!entry) return { newDay: false, divider: false, first: true, last: true };
  return {
    newDay: !before || !sameDay(before, entry),
    divider: entry.id === dividerId,
    first: !before || entry.id === dividerId || !together(before, entry),
    last: !after || after.id === dividerId || !together(entry, after),
  };
}

/**
 * The first message of others that is above the read position: where the unread divider stands. Undefined as
 * well while that message may be older than what is loaded.
 */
export function firstUnread(
  entries: readonly ListedMessage[],
  hasOlder: boolean,
  lastReadSeq: number,
  me: string,
): string | undefined {
  const oldest = entries[0];
  if (hasOlder && oldest && oldest.message.seq > lastReadSeq) return undefined;
  return entries.find(
    ({ message, status }) => status === "sent" && message.seq > lastReadSeq && countsFor(me, message),
  )?.id;
}

/** How many messages of others came after the one with this id; 0 if it is not there any more. */
export function countAfter(entries: readonly ListedMessage[], id: string | undefined, me: string): number {
  let count = 0;
  for (let at = entries.length - 1; at >= 0; at--) {
    const entry = entries[at];
    if (!entry || entry.id === id) return count;
    if (countsFor(me, entry.message)) count++;
  }
  return 0;
}

function countsFor(me: string, message: ListedMessage["message"]): boolean {
  return message.user.id !== me && message.type === "regular";
}

function together(a: ListedMessage, b: ListedMessage): boolean {
  if (a.message.type === "system" || b.message.type === "system") return false;
  if (a.message.user.id !== b.message.user.id || !sameDay(a, b)) return false;
  return time(b).getTime() - time(a).getTime() <= GROUP_GAP_MS;
}

function sameDay(a: ListedMessage, b: ListedMessage): boolean {
  return dayKey(time(a)) === dayKey(time(b));
}

function time(entry: ListedMessage): Date {
  return new Date(entry.message.created_at);
}
