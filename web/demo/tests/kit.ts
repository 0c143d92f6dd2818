// Messages and members as the SDK lists them, in few words.

import type { ChannelData, ListedMessage, Member, Read } from "@parlour/client";

/** A message that was sent: `said("bob", 3, "2026-05-01T10:00")`; the time is the reader's own. */
export function said(user: string, seq: number, at = "2026-05-01T10:00", text = "hi"): ListedMessage {
  const created_at = new Date(at).toISOString();
  const message = {
    type: "regular",
    cid: "messaging:general",
    id: `m${seq}`,
    seq,
    text,
    user: { id: user },
    created_at,
    updated_at: created_at,
  };
  return { id: message.id, message, status: "sent" };
}

export function pending(user: string, id: string): ListedMessage {
  const entry = said(user, 0);
  return { id, message: { ...entry.message, id }, status: "pending" };
}

export function systemSaid(seq: number): ListedMessage {
  const entry = said("system", seq);
  return { ...entry, message: { ...entry.message, type: "system" } };
}

export function member(id: string, name?: string): Member {
  const user = name === undefined ? { id } : { id, name };
  return { user_id: id, user, channel_role: "member", created_at: "2026-05-01T10:00:00.000Z" };
}

export function read(user_id: string, last_read_seq: number): Read {
  return { user_id, last_read_seq, last_read_at: "2026-05-01T10:00:00.000Z" };
}

export function channel(id: string, fields: Partial<ChannelData> = {}): ChannelData {
  const at = "2026-05-01T10:00:00.000Z";
  return {
    type: "messaging",
    id,
    cid: `messaging:${id}`,
    created_at: at,
    updated_at: at,
    member_count: 2,
    ...fields,
  };
}
