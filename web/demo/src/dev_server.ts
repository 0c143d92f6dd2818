// What a server in development mode gives this page: who may be played, and tokens for them. In production a
// backend makes the tokens, for users that it has authenticated.

import { isUserId } from "./logic/ids.js";

export interface Person {
  id: string;
  name: string;
}

export interface DemoConfig {
  appKey: string;
  users: readonly Person[];
}

export type Loaded = { config: DemoConfig } | { why: string };

/** Asks the server once for the whole life of the page. */
export async function loadConfig(): Promise<Loaded> {
  try {
    const response = await fetch(`${import.meta.env.BASE_URL}config.json`, { cache: "no-store" });
    if (response.status === 404) return { why: "The server does not run in development mode." };
    if (!response.ok) return { why: `The server answered ${response.status}.` };
    return { config: parseConfig(await response.json()) };
  } catch {
    return { why: "The server cannot be reached." };
  }
}

/** A token for a user, as the SDK asks for one: at the first connect, and before the last one ends. */
export function tokensFor(userId: string): () => Promise<string> {
  return async () => {
    const response = await fetch("/dev/token", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ user_id: userId }),
    });
    if (!response.ok) throw refusal(response.status);
    const body: unknown = await response.json();
    if (!isObject(body) || typeof body.token !== "string") throw refusal(response.status);
    return body.token;
  };
}

/** The SDK asks again after an error, except after one that says that asking again is no use. */
function refusal(status: number): Error {
  const error = new Error(`The server gave no token (${status}).`);
  return Object.assign(error, { permanent: status >= 400 && status < 500 && status !== 429 });
}

export function parseConfig(body: unknown): DemoConfig {
  if (!isObject(body) || typeof body.app_key !== "string") throw new TypeError("no app_key");
  const users = Array.isArray(body.users) ? body.users : [];
  return { appKey: body.app_key, users: users.flatMap((user) => parsePerson(user)) };
}

function parsePerson(user: unknown): Person[] {
  if (!isObject(user) || typeof user.id !== "string" || !isUserId(user.id)) return [];
  return [{ id: user.id, name: typeof user.name === "string" && user.name !== "" ? user.name : user.id }];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
