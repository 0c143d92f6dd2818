import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ParlourError } from "../src/errors.js";
import type * as onServer from "../src/server.js";
import type { ActingChannel, ActingUser, ServerClientOptions } from "../src/server.js";
import { ServerClient } from "../src/server.js";
import type * as inBrowser from "../src/server_in_browser.js";
import { type Answer, BASE, fakeFetch, json, refused } from "./fake_fetch.js";

const NOW = Date.UTC(2026, 10, 21) / 1_000;
const OPTIONS: ServerClientOptions = { url: `${BASE}/`, appKey: "dev", secret: "the secret, with an ü" };

beforeEach(() => void vi.useFakeTimers({ now: NOW * 1_000 + 999 }));
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

function backend(...answers: Answer[]) {
  const { fetch, asked } = fakeFetch(...answers);
  return { server: new ServerClient({ ...OPTIONS, fetch }), asked };
}

/** The claims of a token that the secret has signed by HS256. */
function claims(token: string, secret = OPTIONS.secret): unknown {
  const [header, payload, signature] = token.split(".");
  expect(JSON.parse(Buffer.from(header!, "base64url").toString())).toEqual({ typ: "JWT", alg: "HS256" });
  expect(signature).toBe(createHmac("sha256", secret).update(`${header}.${payload}`).digest("base64url"));
  expect(token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
  return JSON.parse(Buffer.from(payload!, "base64url").toString());
}

async function failure(promise: Promise<unknown>): Promise<ParlourError> {
  const error = await promise.then(
    () => expect.fail("it did not fail"),
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(ParlourError);
  return error as ParlourError;
}

test("a token names its user and is signed with the secret", async () => {
  const server = new ServerClient(OPTIONS);
  expect(claims(await server.createToken("alice"))).toEqual({ user_id: "alice", iat: NOW });
  const hour = await server.createToken("a@b_c-9", { ttlSeconds: 3_600.9 });
  expect(claims(hour)).toEqual({ user_id: "a@b_c-9", iat: NOW, exp: NOW + 3_600 });
  const over = await server.createToken("alice", { ttlSeconds: 0 });
  expect(claims(over)).toEqual({ user_id: "alice", iat: NOW, exp: NOW });
});

test("many tokens are signed as one is, with characters that base64 has and a URL has not", async () => {
  const server = new ServerClient(OPTIONS);
  const users = Array.from({ length: 200 }, (_, at) => `user_${at}`);
  const tokens = await Promise.all(users.map((user) => server.createToken(user)));
  expect(tokens.map((token) => (claims(token) as { user_id: string }).user_id)).toEqual(users);
});

test("Node 18 has WebCrypto too, only not as a global", async () => {
  vi.stubGlobal("crypto", undefined);
  expect(claims(await new ServerClient(OPTIONS).createToken("alice"))).toMatchObject({ user_id: "alice" });
});

test("a platform that cannot sign is an error of the client's kind", async () => {
  vi.stubGlobal("crypto", { subtle: { importKey: () => Promise.reject(new Error("no HMAC here")) } });
  const { server, asked } = backend();
  for (const call of [server.createToken("alice"), server.users(["alice"])]) {
    const error = await failure(call);
    expect(error).toMatchObject({ code: "internal", docs: `${BASE}/docs/errors/internal` });
    expect(error.message).toBe("the token could not be signed: no HMAC here");
  }
  expect(asked).toEqual([]);
});

test("a token for nobody is not made", async () => {
  const server = new ServerClient(OPTIONS);
  for (const id of ["", "Alice", "a b", "a:b", "a".repeat(129), "alice\n", undefined, null, 7, ["alice"]]) {
    const error = await failure(server.createToken(id as string));
    expect(error, String(id)).toMatchObject({ code: "invalid_id", docs: `${BASE}/docs/errors/invalid_id` });
    expect(() => server.asUser(id as string)).toThrow(expect.objectContaining({ code: "invalid_id" }));
  }
});

test("a time that is none makes no token, rather than one without an end", async () => {
  const server = new ServerClient(OPTIONS);
  for (const ttlSeconds of [NaN, -1, Infinity, "soon" as never]) {
    const error = await failure(server.createToken("alice", { ttlSeconds }));
    expect(error).toMatchObject({ code: "invalid_input" });
  }
  expect(claims(await server.createToken("alice", { ttlSeconds: undefined }))).not.toHaveProperty("exp");
});

test("each call carries a server token of its own, good for five minutes", async () => {
  const { server, asked } = backend(json({ users: [] }), json({ users: [] }));
  await server.users(["alice"]);
  await vi.advanceTimersByTimeAsync(60_000);
  await server.users(["alice"]);
  const tokens = asked.map(({ headers }) => claims(headers.authorization!.replace("Bearer ", "")));
  const made = [NOW, NOW + 60];
  expect(tokens).toEqual(made.map((iat) => ({ server: true, iat, exp: iat + 300 })));
  expect(asked[0]!.headers).not.toHaveProperty("x-parlour-user");
  expect(asked[0]!.headers).toMatchObject({ "x-parlour-app": "dev" });
});

test("a server token that is over already is no reason to make another one", async () => {
  const { server, asked } = backend(() => {
    // Another token would differ by now.
    vi.setSystemTime((NOW + 5) * 1_000);
    return refused({ code: "token_expired", status: 401 });
  });
  expect((await failure(server.users(["alice"]))).code).toBe("token_expired");
  expect(asked).toHaveLength(1);
});

const user = { id: "alice" };
const message = { id: "m-1", text: "hi" };
const unread = { cid: "messaging:general", last_read_seq: 2, unread_messages: 1, head: 3 };
const state = { channel: { cid: "messaging:general" }, head: 3 };
const update = { set: { name: "x" } };
const C = "/v1/channels/messaging/general";

type Story<T> = [
  call: (of: T) => Promise<unknown>,
  request: string,
  body: unknown,
  answer: unknown,
  result?: unknown,
];

const OF_THE_SERVER: Story<ServerClient>[] = [
  [(s) => s.upsertUsers([user]), "POST /v1/users", { users: [user] }, { users: [user] }, [user]],
  [(s) => s.updateUser("alice", update), "PATCH /v1/users/alice", update, { user }, user],
  [(s) => s.users(["alice", "bob"]), "GET /v1/users?ids=alice,bob", undefined, { users: [user] }, [user]],
  [(s) => s.revokeTokens("alice"), "POST /v1/users/alice/revoke_tokens", {}, { revoke_tokens_issued_before: null }, undefined],
  [
    (s) => s.revokeTokens("alice", new Date(0)),
    "POST /v1/users/alice/revoke_tokens",
    { revoke_tokens_issued_before: "1970-01-01T00:00:00.000Z" },
    {},
    undefined,
  ],
  [
    (s) => s.revokeAllTokens(null),
    "POST /v1/app/revoke_tokens",
    { revoke_tokens_issued_before: null },
    {},
    undefined,
  ],
  [(s) => s.app(), "GET /v1/app", undefined, { keys: [] }],
  [(s) => s.addKey({ algorithm: "HS256" }), "POST /v1/app/keys", { algorithm: "HS256" }, { key: {} }],
  [(s) => s.removeKey("k-1"), "DELETE /v1/app/keys/k-1", undefined, {}],
  [(s) => s.usage({ month: "2026-11" }), "GET /v1/usage?month=2026-11", undefined, { month: "2026-11" }],
];

const OF_A_USER: Story<ActingUser>[] = [
  [(u) => u.me(), "GET /v1/me", undefined, { me: user }, user],
  [(u) => u.me(), "GET /v1/me", undefined, {}, undefined],
  [
    (u) => u.createDistinct("team", ["bob"], { name: "x" }),
    "POST /v1/channels/team",
    { members: ["bob"], data: { name: "x" } },
    state,
  ],
  [(u) => u.createDistinct("team", ["bob"]), "POST /v1/channels/team", { members: ["bob"], data: {} }, state],
  [(u) => u.queryChannels({ limit: 3 }), "POST /v1/channels", { limit: 3 }, { channels: [] }],
  [(u) => u.queryChannels(), "POST /v1/channels", {}, { channels: [] }],
  [(u) => u.unread(), "GET /v1/unread", undefined, { total_unread_count: 0 }],
];

const OF_A_CHANNEL: Story<ActingChannel>[] = [
  [(c) => c.getOrCreate(), `POST ${C}`, {}, state],
  [(c) => c.getOrCreate({ members: ["bob"] }), `POST ${C}`, { members: ["bob"] }, state],
  [(c) => c.state(25), `GET ${C}?messages=25`, undefined, state],
  [(c) => c.update(update), `PATCH ${C}`, update, state],
  [(c) => c.updateMembers({ add: ["bob"] }), `POST ${C}/members`, { add: ["bob"] }, state],
  [(c) => c.members(), `GET ${C}/members`, undefined, { members: [] }],
  [(c) => c.members({ limit: 3, next: "n" }), `GET ${C}/members?limit=3&next=n`, undefined, { members: [] }],
  [(c) => c.send("hi"), `POST ${C}/messages`, { message: { text: "hi" } }, { message }, message],
  [(c) => c.send(message), `POST ${C}/messages`, { message }, { message }, message],
  [(c) => c.messages(), `GET ${C}/messages`, undefined, { messages: [] }],
  [(c) => c.messages({ before: 7 }), `GET ${C}/messages?before=7`, undefined, { messages: [] }],
  [(c) => c.message("m-1"), `GET ${C}/messages/m-1`, undefined, { message }, message],
  [(c) => c.editMessage("m-1", update), `PATCH ${C}/messages/m-1`, update, { message }, message],
  [(c) => c.delete("m-1"), `DELETE ${C}/messages/m-1`, undefined, { message }, message],
  [(c) => c.deleteHard("m-1"), `DELETE ${C}/messages/m-1?hard=true`, undefined, { message }, message],
  [(c) => c.markRead(), `POST ${C}/read`, {}, { unread }, unread],
  [(c) => c.markRead({ seq: 3 }), `POST ${C}/read`, { seq: 3 }, { unread }, unread],
  [(c) => c.markUnread("m-1"), `POST ${C}/unread`, { message_id: "m-1" }, { unread }, unread],
];

async function play<T>(stories: Story<T>[], from: (server: ServerClient) => T, actsAs: string | undefined) {
  for (const [call, request, body, answer, ...result] of stories) {
    const { server, asked } = backend(json(answer));
    expect(await call(from(server)), request).toEqual(result.length ? result[0] : answer);
    expect(asked.map(({ method, path }) => `${method} ${path}`)).toEqual([request]);
    expect(asked[0]!.body).toEqual(body);
    expect(asked[0]!.headers["x-parlour-user"]).toBe(actsAs);
  }
}

test("a server acts in its own name", () => play(OF_THE_SERVER, (server) => server, undefined));

test("a server acts in the name of a user", async () => {
  await play(OF_A_USER, (server) => server.asUser("alice"), "alice");
});

test("a server acts in a channel in the name of a user", async () => {
  await play(OF_A_CHANNEL, (server) => server.asUser("bob").channel("messaging", "general"), "bob");
  await play(OF_A_CHANNEL, (server) => server.asUser("bob").channelAt("messaging:general"), "bob");
  const { server, asked } = backend(new Response(null, { status: 204 }));
  const channel = server.asUser("bob").channel("messaging", "general");
  expect(channel.cid).toBe("messaging:general");
  expect(await channel.deleteChannel()).toBeUndefined();
  expect(asked).toMatchObject([{ method: "DELETE", path: C, headers: { "x-parlour-user": "bob" } }]);
});

test("a channel that is none fails at the first call", async () => {
  const { server, asked } = backend();
  for (const cid of ["general", "messaging:..", "a:b:c"]) {
    expect((await failure(server.asUser("alice").channelAt(cid).deleteChannel())).code).toBe("invalid_id");
  }
  expect(asked).toEqual([]);
});

type Bounded<T> = (of: T, options: { signal: AbortSignal }) => Promise<unknown>;

const EVERY_CALL: Bounded<ServerClient>[] = [
  (s, o) => s.upsertUsers([user], o),
  (s, o) => s.updateUser("alice", {}, o),
  (s, o) => s.users(["alice"], o),
  (s, o) => s.usage({}, o),
];

const EVERY_CALL_OF_A_USER: Bounded<ActingUser>[] = [
  (u, o) => u.me(o),
  (u, o) => u.createDistinct("team", ["bob"], {}, o),
  (u, o) => u.queryChannels({}, o),
  (u, o) => u.unread(o),
];

const EVERY_CALL_OF_A_CHANNEL: Bounded<ActingChannel>[] = [
  (c, o) => c.getOrCreate({}, o),
  (c, o) => c.state(25, o),
  (c, o) => c.update({}, o),
  (c, o) => c.deleteChannel(o),
  (c, o) => c.updateMembers({}, o),
  (c, o) => c.members({}, o),
  (c, o) => c.send("hi", o),
  (c, o) => c.messages({}, o),
  (c, o) => c.message("m-1", o),
  (c, o) => c.editMessage("m-1", {}, o),
  (c, o) => c.delete("m-1", o),
  (c, o) => c.deleteHard("m-1", o),
  (c, o) => c.markRead({}, o),
  (c, o) => c.markUnread("m-1", o),
];

test("every call can be cancelled", async () => {
  const { server, asked } = backend();
  const alice = server.asUser("alice");
  const channel = alice.channel("messaging", "general");
  const options = { signal: AbortSignal.abort() };
  const calls = [
    ...EVERY_CALL.map((call) => call(server, options)),
    ...EVERY_CALL_OF_A_USER.map((call) => call(alice, options)),
    ...EVERY_CALL_OF_A_CHANNEL.map((call) => call(channel, options)),
  ];
  for (const call of calls) expect((await failure(call)).code).toBe("cancelled");
  expect(asked).toEqual([]);
});

test("a server has no connection, and what a log shows of it has no secret (L1.27)", () => {
  const server = new ServerClient(OPTIONS);
  expect("connectUser" in server).toBe(false);
  const shown = inspect(server, { showHidden: true, depth: 9 }) + JSON.stringify(server);
  expect(shown).not.toContain("the secret");
});

test("a server without a secret or without an address is not made", () => {
  for (const secret of ["", undefined as never, 7 as never]) {
    const make = () => new ServerClient({ ...OPTIONS, secret });
    expect(make).toThrow(expect.objectContaining({ code: "invalid_input" }));
    expect(make).toThrow("secret is empty");
  }
  const nowhere = () => new ServerClient({ ...OPTIONS, url: "localhost:8790" });
  expect(nowhere).toThrow(expect.objectContaining({ code: "invalid_input" }));
  const nameless = () => new ServerClient({ ...OPTIONS, appKey: "" });
  expect(nameless).toThrow(expect.objectContaining({ code: "invalid_id" }));
});

/** Whether a server can be made where these are the globals. */
function isMade(globals: Record<string, unknown>): boolean {
  for (const [name, value] of Object.entries(globals)) vi.stubGlobal(name, value);
  try {
    return Boolean(new ServerClient(OPTIONS));
  } catch (error) {
    expect(error).toMatchObject({ name: "ParlourError", code: "invalid_input" });
    expect((error as Error).message).toContain("does not belong on a user's device");
    return false;
  } finally {
    vi.unstubAllGlobals();
  }
}

test("a server is not made on a user's device, where the secret does not belong (L1.27)", () => {
  const page = { window: {}, document: {}, process: undefined };
  expect(isMade(page)).toBe(false);
  // What bundlers put in the place of Node's.
  expect(isMade({ ...page, process: { env: {}, versions: {} } })).toBe(false);
  expect(isMade({ ...page, process: { env: {} } })).toBe(false);
  expect(isMade({ ...page, process: { versions: { node: "22.0.0", electron: "33.0.0" } } })).toBe(false);
  expect(isMade({ window: {}, process: undefined, navigator: { product: "ReactNative" } })).toBe(false);
});

test("a server is made on servers, also in tests with a page's globals", () => {
  expect(isMade({ window: {}, document: {} })).toBe(true);
  expect(isMade({ window: {}, document: {}, process: { versions: { node: "18.0.0" } } })).toBe(true);
  expect(isMade({ window: {}, document: {}, process: undefined, Deno: {} })).toBe(true);
  expect(isMade({ process: undefined, navigator: { product: "Gecko" } })).toBe(true);
  expect(isMade({ window: {}, process: undefined })).toBe(true);
  expect(isMade({ document: {}, process: undefined })).toBe(true);
});

test("what a browser's bundle gets in the place of the server says so at its import", async () => {
  const error = await failure(import("../src/server_in_browser.js"));
  expect(error).toMatchObject({ code: "invalid_input", retryable: false });
  expect(error.message).toContain("use `Client` of @parlour/client");
});

test("a browser's bundle finds every name that the server has", async () => {
  const source = readFileSync(new URL("../src/server_in_browser.ts", import.meta.url), "utf8");
  const exported = [...source.matchAll(/^export (?:const (\w+)|\{ (\w+) \})/gm)].map(([, a, b]) => a ?? b);
  expect(exported.sort()).toEqual(Object.keys(await import("../src/server.js")).sort());
});

// The types are the same ones, so that code compiles for either.
type Same<A, B> = [A, B] extends [B, A] ? true : false;
const _same: [
  Same<typeof onServer, typeof inBrowser>,
  Same<onServer.ServerClient, inBrowser.ServerClient>,
  Same<onServer.ActingUser, inBrowser.ActingUser>,
  Same<onServer.ActingChannel, inBrowser.ActingChannel>,
  Same<onServer.ServerClientOptions, inBrowser.ServerClientOptions>,
  Same<onServer.ParlourError, inBrowser.ParlourError>,
  Same<onServer.CallOptions, inBrowser.CallOptions>,
] = [true, true, true, true, true, true, true];
void _same;
