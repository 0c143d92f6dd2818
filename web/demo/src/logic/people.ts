// People and channels as they are called and pictured.

import type { ChannelData, Member, UserBrief } from "@parlour/client";

/** Colours of avatars; each has a class in avatar.module.css. */
export const HUES = 10;

/** How somebody is called: the name, or the id where there is none. */
export function nameOf(user: Pick<UserBrief, "id" | "name">): string {
  return textOf(user.name) ?? user.id;
}

/** What is shown of a user whose own fields may hold anything. */
export function briefOf(user: { id: string; [field: string]: unknown }): UserBrief {
  const name = textOf(user.name);
  const image = textOf(user.image);
  return { id: user.id, ...(name !== undefined && { name }), ...(image !== undefined && { image }) };
}

/** One or two letters for a name. */
export function initials(name: string): string {
  const words = name.split(/[\s._@-]+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const letters = words.map((word) => /[\p{L}\p{N}]/u.exec(word)?.[0] ?? "");
  const ends = letters.length > 1 ? [letters[0], letters.at(-1)] : letters;
  return ends.join("").toUpperCase() || "?";
}

/** The same number for the same id, on every device. */
export function hueOf(id: string): number {
  let hash = 2166136261;
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 16777619);
  return (hash >>> 0) % HUES;
}

/** The other one in a channel that was made by its two members, and by nothing else. */
export function otherOne(
  data: ChannelData | undefined,
  members: readonly Member[],
  me: string,
): UserBrief | undefined {
  if (!data || data.member_count !== 2 || !isMadeByMembers(data) || textOf(data.name)) return undefined;
  return members.find((member) => member.user_id !== me)?.user;
}

/** What a channel is called: its name, else its people, else its id. */
export function titleOf(data: ChannelData | undefined, members: readonly Member[], me: string): string {
  const name = textOf(data?.name);
  if (name) return name;
  if (!data) return "";
  if (!isMadeByMembers(data)) return data.id;
  const others = members.filter((member) => member.user_id !== me).map((member) => nameOf(member.user));
  if (others.length === 0) return "Just you";
  if (others.length <= 3) return andList(others);
  return andList([...others.slice(0, 2), `${others.length - 2} more`]);
}

/** "Bob is typing…" */
export function typingText(users: readonly UserBrief[]): string {
  if (users.length === 0) return "";
  if (users.length > 2) return "Several people are typing…";
  return `${andList(users.map(nameOf))} ${users.length === 1 ? "is" : "are"} typing…`;
}

/** "a", "a and b", "a, b and c" */
export function andList(names: readonly string[]): string {
  const last = names.at(-1) ?? "";
  return names.length < 2 ? last : `${names.slice(0, -1).join(", ")} and ${last}`;
}

/** "1 member", "2 members" */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString()} ${n === 1 ? one : many}`;
}

/** A text of a program as a sentence for people: with a capital letter and a full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  const [first = ""] = trimmed;
  return first.toUpperCase() + trimmed.slice(first.length) + (/[.!?…]$/.test(trimmed) ? "" : ".");
}

/** Channels that were asked for by their members alone get an id that nobody typed. */
function isMadeByMembers(data: ChannelData): boolean {
  return data.id.startsWith("!");
}

/** Fields of an app's own may hold anything. */
function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value.trim() !== "" ? value.trim() : undefined;
}
