// Tokens without a backend: a developer's, a guest's, and nobody's.
//
// An entry of its own: an app whose backend signs has none of it in its page.

import { type CallOptions, endpointOf, type EndpointOptions } from "./address.js";
import { caller } from "./calls.js";
import { parlourError } from "./errors.js";
import { uuid } from "./ids.js";
import type { GuestResponse } from "./wire.js";

export type { CallOptions, EndpointOptions } from "./address.js";
export type { GuestResponse } from "./wire.js";

/**
 * A user's token that nobody signed, for as long as there is no backend: it is taken of apps in development mode, and
 * of no others.
 *
 * ```ts
 * await client.connectUser("alice", developmentToken("alice"));
 * ```
 *
 * Throws `invalid_id`.
 */
export function developmentToken(userId: string): string {
  if (!/^[a-z0-9@_-]{1,128}$/.test(userId)) {
    throw parlourError("invalid_id", `"${userId}" is no user id: those are 1-128 of a-z 0-9 @ _ -`);
  }
  return unsigned({ user_id: userId });
}

/**
 * A token that says that one is nobody: with it a client reads and watches channels that are open to all, and does nothing
 * else. It counts as a connection, not as an active user.
 *
 * ```ts
 * await client.login(anonymousToken());
 * await client.connect();
 * ```
 *
 * It is another one each time; with the same one it is the same nobody who comes back.
 */
export function anonymousToken(): string {
  return unsigned({ user_id: `!${uuid()}` });
}

/**
 * Makes a guest, which takes no backend: a new user with the role `guest`, named by the server, and a token to connect it
 * with.
 *
 * ```ts
 * const guest = await createGuest({ url, appKey }, { name: "Visitor" });
 * await client.connectUser(guest.user.id, guest.token);
 * ```
 *
 * The token is all that proves who the guest is: keep it, and the guest comes back with it.
 *
 * Fails with `invalid_input`, `role_not_allowed`, `too_large` for fields that a guest cannot have; `rate_limited` where
 * too many come from one address; `network`, `timeout` and `cancelled`.
 */
export async function createGuest(
  options: EndpointOptions,
  user: Readonly<Record<string, unknown>> = {},
  call?: CallOptions,
): Promise<GuestResponse> {
  const ask = caller(endpointOf(options), async () => ({}));
  return ask<GuestResponse>({ method: "POST", path: ["guests"], body: { user } }, call);
}

/** Ids and what else is written here are ASCII. */
function unsigned(claims: object): string {
  const [header, body] = [{ alg: "none" }, claims].map((part) =>
    btoa(JSON.stringify(part)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, ""),
  );
  return `${header}.${body}.`;
}
