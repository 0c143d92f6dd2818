// Where in the demo one is, and the address that says so.

import { isUserId } from "./ids.js";

export type Place =
  | { at: "sign_in"; refused?: string }
  | { at: "chat"; user: string; name?: string; channel?: string }
  | { at: "side"; users: readonly string[]; channel?: string };

/** Reads the query of an address. Whatever does not name a user leads to the sign-in. */
export function readPlace(search: string): Place {
  const query = new URLSearchParams(search);
  const channel = optional("channel", query.get("channel"));
  const side = query.get("side");
  if (side !== null) {
    const users = side.split(",").filter(isUserId).slice(0, 4);
    return users.length > 0 ? { at: "side", users, ...channel } : { at: "sign_in" };
  }
  const user = query.get("user");
  if (user === null || user === "") return { at: "sign_in" };
  if (!isUserId(user)) return { at: "sign_in", refused: user };
  return { at: "chat", user, ...optional("name", query.get("name")), ...channel };
}

/** The address of a place, relative to the demo's own. */
export function hrefOf(place: Place): string {
  switch (place.at) {
    case "sign_in":
      return "./";
    case "chat":
      return query({ user: place.user, name: place.name, channel: place.channel });
    case "side":
      return query({ side: place.users.join(","), channel: place.channel });
  }
}

function query(fields: Record<string, string | undefined>): string {
  const pairs = Object.entries(fields).flatMap(([key, value]) =>
    value ? [`${key}=${readable(value)}`] : [],
  );
  return `?${pairs.join("&")}`;
}

/** Cids and lists of ids are for reading, and `: , @` mean nothing in a query. */
function readable(value: string): string {
  return encodeURIComponent(value).replace(/%3A/g, ":").replace(/%2C/g, ",").replace(/%40/g, "@");
}

function optional<K extends string>(key: K, value: string | null): Partial<Record<K, string>> {
  return value ? ({ [key]: value } as Record<K, string>) : {};
}
