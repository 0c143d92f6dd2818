// Bans, mutes, blocks and flags: what a backend, and a backend in a user's name, may ask for. One function per endpoint,
// which says what the request is.
//
// Not here: how a request is made and answered (calls.ts).

import type { Request } from "./endpoints.js";
import type {
  Ban,
  BansResponse,
  BanUser,
  Block,
  ChannelRole,
  Flag,
  FlagContent,
  FlagsResponse,
  Member,
  Mute,
  MuteUser,
} from "./wire.js";

/** Which page of bans or flags. */
export interface ModerationPage {
  /** Only those of this channel, `type:id`. */
  cid?: string | undefined;
  /** 1 to 100. Default: 100. */
  limit?: number | undefined;
  /** The `next` of the page before. */
  next?: string | undefined;
}

export const banUser = (userId: string, ban: BanUser): Request<Ban> => ({
  method: "POST",
  path: ["users", userId, "ban"],
  body: ban,
  field: "ban",
});

export const liftBan = (userId: string, cid: string | undefined): Request<void> => ({
  method: "DELETE",
  path: ["users", userId, "ban"],
  query: { cid },
});

export const bans = (page: ModerationPage): Request<BansResponse> => ({
  method: "GET",
  path: ["bans"],
  query: { ...page },
});

export const flags = (page: ModerationPage): Request<FlagsResponse> => ({
  method: "GET",
  path: ["flags"],
  query: { ...page },
});

export const flag = (content: FlagContent): Request<Flag> => ({
  method: "POST",
  path: ["flags"],
  body: content,
  field: "flag",
});

export const mutes: Request<Mute[]> = { method: "GET", path: ["mutes"], field: "mutes" };

export const mute = (body: MuteUser): Request<Mute[]> => ({
  method: "POST",
  path: ["mutes"],
  body,
  field: "mutes",
});

export const unmute = (userId: string): Request<Mute[]> => ({
  method: "DELETE",
  path: ["mutes", userId],
  field: "mutes",
});

export const blocks: Request<Block[]> = { method: "GET", path: ["blocks"], field: "blocks" };

export const block = (userId: string): Request<Block[]> => ({
  method: "POST",
  path: ["blocks"],
  body: { user_id: userId },
  field: "blocks",
});

export const unblock = (userId: string): Request<Block[]> => ({
  method: "DELETE",
  path: ["blocks", userId],
  field: "blocks",
});

export const changeRole = (cid: string, userId: string, role: ChannelRole): Request<Member> => ({
  method: "PATCH",
  cid,
  path: ["members", userId],
  body: { channel_role: role },
  field: "member",
});
