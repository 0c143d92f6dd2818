// Who has read up to where.

import type { ListedMessage, Read } from "@parlour/client";

export interface ReadMarks {
  /** The others whose reading ends at a message, by the message's id. */
  endsAt: ReadonlyMap<string, readonly string[]>;
  /** Everybody else has read the messages up to this seq; 0 where that is not known of somebody. */
  allUpTo: number;
}

/**
 * Where the reading of the others ends, among the messages that are loaded.
 *
 * Whoever wrote has read what stood above, even where no read position says so. `others` are all who would
 * have to read for a message to be read by all.
 */
export function readMarks(
  entries: readonly ListedMessage[],
  reads: readonly Read[],
  others: readonly string[],
  me: string,
): ReadMarks {
  const sent = entries.filter((entry) => entry.status === "sent");
  const positions = new Map<string, number>();
  const raise = (user: string, seq: number) => {
    if (user !== me && seq > (positions.get(user) ?? 0)) positions.set(user, seq);
  };
  for (const { message } of sent) if (others.includes(message.user.id)) raise(message.user.id, message.seq);
  for (const read of reads) raise(read.user_id, read.last_read_seq);

  const endsAt = new Map<string, string[]>();
  for (const [user, seq] of positions) {
    const last = lastUpTo(sent, seq);
    // That a writer has read what she wrote goes without saying.
    if (last && last.message.user.id !== user) endsAt.set(last.id, [...(endsAt.get(last.id) ?? []), user]);
  }
  const upTo = others.filter((user) => user !== me).map((user) => positions.get(user) ?? 0);
  return { endsAt, allUpTo: upTo.length > 0 ? Math.min(...upTo) : 0 };
}

/** The last message at or below a seq. */
function lastUpTo(sent: readonly ListedMessage[], seq: number): ListedMessage | undefined {
  let low = 0;
  let high = sent.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sent[middle]?.message.seq ?? Infinity) <= seq) low = middle + 1;
    else high = middle;
  }
  return sent[low - 1];
}
