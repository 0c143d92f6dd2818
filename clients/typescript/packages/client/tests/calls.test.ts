import { readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { bounded, type CallOptions, connectUrl, endpointOf, parseBaseUrl, splitCid } from "../src/address.js";
import { type Authorize, caller } from "../src/calls.js";
import * as appCalls from "../src/app_endpoints.js";
import * as calls from "../src/endpoints.js";
import { ParlourError } from "../src/errors.js";
import * as moderation from "../src/moderation.js";
import { type Answer, BASE, deaf, fakeFetch, json, refused, silent } from "./fake_fetch.js";

const CID = "messaging:general";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const asAlice: Authorize = async () => ({ token: "alice's" });

/** A caller, and what the server hears of it. */
function asks(answers: Answer[], authorize: Authorize = asAlice) {
  const { fetch, asked } = fakeFetch(...answers);
  const endpoint = endpointOf({ url: BASE, appKey: "dev", fetch });
  return { ask: caller(endpoint, authorize), asked };
}

async function failure(promise: Promise<unknown>): Promise<ParlourError> {
  const error = await promise.then(
    () => expect.fail("it did not fail"),
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(ParlourError);
  return error as ParlourError;
}

test("an address becomes that of calls and of connections", () => {
  const addresses = [
    ["https://chat.example.com/parlour/", "https://chat.example.com/parlour"],
    ["  http://127.0.0.1:8790 ", "http://127.0.0.1:8790"],
    ["http://[::1]:8790//", "http://[::1]:8790"],
    ["HTTPS://Chat.Example.com", "HTTPS://Chat.Example.com"],
    ["http://localhost", "http://localhost"],
    ["http://a/b/c/", "http://a/b/c"],
  ];
  for (const [text, base] of addresses) expect(parseBaseUrl(text!)).toBe(base);
  expect(connectUrl("https://chat.example.com/parlour")).toBe("wss://chat.example.com/parlour/v1/connect");
  expect(connectUrl("http://[::1]:80")).toBe("ws://[::1]:80/v1/connect");
});

test("what is no address of a server is refused with an example of one", () => {
  const bad = [
    "",
    "localhost:8790",
    "ws://a",
    "http://",
    "http:///a",
    "http://a/?token=1",
    "http://a#b",
    "http://user@a",
    "http://user:secret@a",
    "http://a b",
    "http://a:port",
    "http://a\\b",
    "https://x\nhttp://a",
    undefined,
  ];
  for (const text of bad) {
    expect(() => parseBaseUrl(text as string), String(text)).toThrow("it looks like http://127.0.0.1:8790");
    try {
      parseBaseUrl(text as string);
    } catch (error) {
      expect(error).toMatchObject({ code: "invalid_input" });
    }
  }
});

test("an app key that is none is refused before it is sent", () => {
  for (const appKey of ["", "my app", "a".repeat(65), "ü", undefined]) {
    const make = () => endpointOf({ url: BASE, appKey: appKey as string });
    const error = { code: "invalid_id", docs: `${BASE}/docs/errors/invalid_id` };
    expect(make).toThrow(expect.objectContaining(error));
  }
  const endpoint = { appKey: "My_app-1", callTimeoutMs: 10_000 };
  expect(endpointOf({ url: BASE, appKey: "My_app-1" })).toMatchObject(endpoint);
  expect(endpointOf({ url: BASE, appKey: "dev", callTimeoutMs: 5 }).callTimeoutMs).toBe(5);
});

test("without a fetch of its own a client uses the global one as it is at the time of the call", async () => {
  const ask = caller(endpointOf({ url: BASE, appKey: "dev" }), asAlice);
  vi.stubGlobal("fetch", async () => json({ me: { id: "alice" } }));
  expect((await ask(calls.me)).me?.id).toBe("alice");
});

test("a cid is a type and an id", () => {
  expect(splitCid(CID)).toEqual(["messaging", "general"]);
  for (const bad of ["general", ":general", "messaging:", "messaging:a:b", "", undefined]) {
    const split = () => splitCid(bad as string, BASE);
    expect(split, bad).toThrow(expect.objectContaining({ code: "invalid_id" }));
  }
});

type Story = [
  call: calls.Request<unknown>,
  request: string,
  body: unknown,
  answer: unknown,
  result?: unknown,
];

const user = { id: "alice" };
const message = { id: "m-1", text: "hi" };
const task = { id: "t-1" };
const device = { id: "d/1", provider: "webpush" } as const;
const state = { channel: { cid: CID }, head: 3 };
const unread = { cid: CID, last_read_seq: 2, unread_messages: 1, head: 3 };
const update = { set: { name: "x" }, unset: ["y"] };
const request = { members: ["bob"], data: { name: "x" } };
const C = "/v1/channels/messaging/general";

const STORIES: Record<string, Story> = {
  me: [calls.me, "GET /v1/me", undefined, { me: user }],
  upsertUsers: [calls.upsertUsers([user]), "POST /v1/users", { users: [user] }, { users: [user] }, [user]],
  users: [calls.users(["a@b", "c"]), "GET /v1/users?ids=a%40b,c", undefined, { users: [user] }, [user]],
  updateUser: [calls.updateUser("a@b", update), "PATCH /v1/users/a%40b", update, { user }, user],
  queryUsers: [calls.queryUsers({ limit: 3 }), "POST /v1/users/query", { limit: 3 }, { users: [user] }],
  deactivateUser: [
    calls.changeLife("a@b", "deactivate"),
    "POST /v1/users/a%40b/deactivate",
    undefined,
    { user },
    user,
  ],
  reactivateUser: [
    calls.changeLife("a@b", "reactivate"),
    "POST /v1/users/a%40b/reactivate",
    undefined,
    { user },
    user,
  ],
  restoreUser: [
    calls.changeLife("a@b", "restore"),
    "POST /v1/users/a%40b/restore",
    undefined,
    { user },
    user,
  ],
  deleteUser: [
    calls.deleteUser("a@b", { hard: true, messages: "soft" }),
    "DELETE /v1/users/a%40b?hard=true&messages=soft",
    undefined,
    { task },
    task,
  ],
  exportUser: [calls.exportUser("a@b"), "POST /v1/users/a%40b/export", undefined, { task }, task],
  task: [calls.task("t-1"), "GET /v1/tasks/t-1", undefined, { task }, task],
  registerDevice: [calls.registerDevice(device), "POST /v1/devices", device, { device }, device],
  devices: [calls.devices, "GET /v1/devices", undefined, { devices: [device] }, [device]],
  removeDevice: [calls.removeDevice("d/1"), "DELETE /v1/devices?id=d%2F1", undefined, {}],
  queryChannels: [calls.queryChannels({ limit: 3 }), "POST /v1/channels", { limit: 3 }, { channels: [] }],
  distinctChannel: [calls.distinctChannel("team", request), "POST /v1/channels/team", request, state],
  getOrCreate: [calls.getOrCreate(CID, request), `POST ${C}`, request, state],
  channel: [calls.channelState(CID, 25), `GET ${C}?messages=25`, undefined, state],
  updateChannel: [calls.updateChannel(CID, update), `PATCH ${C}`, update, state],
  updateMembers: [
    calls.updateMembers(CID, { add: ["bob"] }),
    `POST ${C}/members`,
    { add: ["bob"] },
    state,
  ],
  "members, the first": [calls.members(CID, {}), `GET ${C}/members`, undefined, { members: [] }],
  "members, what follows": [
    calls.members(CID, { limit: 30, next: "a&b=c/ü+" }),
    `GET ${C}/members?limit=30&next=a%26b%3Dc%2F%C3%BC%2B`,
    undefined,
    { members: [] },
  ],
  sendMessage: [calls.sendMessage(CID, message), `POST ${C}/messages`, { message }, { message }, message],
  "messages, the latest": [calls.messages(CID, {}), `GET ${C}/messages`, undefined, { messages: [] }],
  "messages before a seq": [
    calls.messages(CID, { before: 0, limit: 7 }),
    `GET ${C}/messages?before=0&limit=7`,
    undefined,
    { messages: [] },
  ],
  "messages around an id": [
    calls.messages(CID, { aroundId: "m-1" }),
    `GET ${C}/messages?around_id=m-1`,
    undefined,
    { messages: [] },
  ],
  message: [calls.message(CID, "m-1"), `GET ${C}/messages/m-1`, undefined, { message }, message],
  editMessage: [
    calls.editMessage(CID, "m-1", { text: "ho" }),
    `PATCH ${C}/messages/m-1`,
    { text: "ho" },
    { message },
    message,
  ],
  deleteMessage: [
    calls.deleteMessage(CID, "m-1"),
    `DELETE ${C}/messages/m-1`,
    undefined,
    { message },
    message,
  ],
  "deleteMessage, for good": [
    calls.deleteMessage(CID, "m-1", true),
    `DELETE ${C}/messages/m-1?hard=true`,
    undefined,
    { message },
    message,
  ],
  "deleteMessage, softly": [
    calls.deleteMessage(CID, "m-1", undefined),
    `DELETE ${C}/messages/m-1`,
    undefined,
    { message },
    message,
  ],
  markRead: [calls.markRead(CID, { seq: 3 }), `POST ${C}/read`, { seq: 3 }, { unread }, unread],
  markUnread: [
    calls.markUnread(CID, "m-1"),
    `POST ${C}/unread`,
    { message_id: "m-1" },
    { unread },
    unread,
  ],
  unread: [calls.unread, "GET /v1/unread", undefined, { total_unread_count: 0 }],
  appLimits: [calls.appLimits, "GET /v1/app/limits", undefined, { limits: {} }],
  setAppLimits: [calls.setAppLimits({ calls_per_minute: 9 }), "PUT /v1/app/limits", { calls_per_minute: 9 }, { limits: {} }],
  app: [appCalls.app, "GET /v1/app", undefined, { keys: [] }],
  addKey: [appCalls.addKey({ algorithm: "HS256" }), "POST /v1/app/keys", { algorithm: "HS256" }, { key: {} }],
  removeKey: [appCalls.removeKey("k-1"), "DELETE /v1/app/keys/k-1", undefined, {}],
  setJwks: [
    appCalls.setJwks("https://id.example.com/jwks"),
    "PUT /v1/app/jwks",
    { url: "https://id.example.com/jwks" },
    { jwks: { keys: [] } },
    { keys: [] },
  ],
  removeJwks: [appCalls.removeJwks, "DELETE /v1/app/jwks", undefined, {}],
  revokeTokens: [appCalls.revokeTokens("a@b", {}), "POST /v1/users/a%40b/revoke_tokens", {}, {}],
  revokeAllTokens: [appCalls.revokeAllTokens({}), "POST /v1/app/revoke_tokens", {}, {}],
  changeRole: [
    moderation.changeRole(CID, "a@b", "moderator"),
    `PATCH ${C}/members/a%40b`,
    { channel_role: "moderator" },
    { member: {} },
    {},
  ],
  banUser: [moderation.banUser("a@b", { cid: CID }), "POST /v1/users/a%40b/ban", { cid: CID }, { ban: {} }, {}],
  liftBan: [moderation.liftBan("a@b", undefined), "DELETE /v1/users/a%40b/ban", undefined, {}],
  bans: [moderation.bans({ limit: 3 }), "GET /v1/bans?limit=3", undefined, { bans: [] }],
  mutes: [moderation.mutes, "GET /v1/mutes", undefined, { mutes: [] }, []],
  mute: [moderation.mute({ user_id: "a@b" }), "POST /v1/mutes", { user_id: "a@b" }, { mutes: [] }, []],
  unmute: [moderation.unmute("a@b"), "DELETE /v1/mutes/a%40b", undefined, { mutes: [] }, []],
  blocks: [moderation.blocks, "GET /v1/blocks", undefined, { blocks: [] }, []],
  block: [moderation.block("a@b"), "POST /v1/blocks", { user_id: "a@b" }, { blocks: [] }, []],
  unblock: [moderation.unblock("a@b"), "DELETE /v1/blocks/a%40b", undefined, { blocks: [] }, []],
  flag: [moderation.flag({ user_id: "a@b" }), "POST /v1/flags", { user_id: "a@b" }, { flag: {} }, {}],
  flags: [moderation.flags({ cid: CID }), "GET /v1/flags?cid=messaging%3Ageneral", undefined, { flags: [] }],
  usage: [calls.usage({ granularity: "hour", last: 24 }), "GET /v1/usage?granularity=hour&last=24", undefined, { month: "2026-11" }],
};

test.each(Object.entries(STORIES))("%s is one request and its answer", async (_, story) => {
  const [call, request, body, answer, result = answer] = story;
  const { ask, asked } = asks([json(answer)]);
  expect(await ask(call)).toEqual(result);
  expect(asked.map(({ method, path }) => `${method} ${path}`)).toEqual([request]);
  expect(asked[0]!.body).toEqual(body);
  expect(asked[0]!.headers).toEqual({
    "x-parlour-app": "dev",
    authorization: "Bearer alice's",
    ...(body !== undefined && { "content-type": "application/json" }),
  });
  expect(asked[0]!.redirect).toBe("manual");
});

test("every endpoint of the reference has its call, and every call its endpoint", () => {
  const spec = new URL("../../../../../spec/openapi.json", import.meta.url);
  const { paths } = JSON.parse(readFileSync(spec, "utf8")) as { paths: Record<string, object> };
  const methods = ["get", "post", "patch", "delete", "put"];
  const offered = Object.entries(paths)
    .filter(([path]) => path.startsWith("/v1/") && !path.startsWith("/v1/connect"))
    .flatMap(([path, item]) =>
      Object.keys(item)
        .filter((key) => methods.includes(key))
        .map((method) => `${method.toUpperCase()} ${path}`),
    );
  const used = Object.values(STORIES).map(([, request]) =>
    request
      .replace(/\?.*/, "")
      .replace("channels/team", "channels/{type}")
      .replace("messaging/general", "{type}/{id}")
      .replace("m-1", "{message_id}")
      .replace(/(users|members|mutes|blocks)\/a%40b/, "$1/{user_id}")
      .replace("tasks/t-1", "tasks/{task_id}")
      .replace("keys/k-1", "keys/{kid}"),
  );
  // One is answered with nothing, one with lines, and one is nobody's call; each has a story of its own.
  const others = ["DELETE /v1/channels/{type}/{id}", "GET /v1/tasks/{task_id}/result", "POST /v1/guests"];
  expect(new Set([...used, ...others])).toEqual(new Set(offered));
});

test("a channel that is deleted is answered with nothing", async () => {
  const { ask, asked } = asks([new Response(null, { status: 204 })]);
  expect(await ask(calls.deleteChannel(CID))).toBeUndefined();
  expect(asked).toMatchObject([{ method: "DELETE", path: C }]);
});

test("an id that would lead to another path is refused before anything is sent", async () => {
  const { ask, asked } = asks([]);
  const bad = ["", ".", "..", "a/b", "a?b", "a#b", "%2e%2e", "a b", "\ud800", "ü", undefined as never];
  for (const id of bad) {
    const attempts = [
      ask(calls.deleteMessage(CID, id)),
      ask(calls.deleteChannel(`messaging:${id ?? ""}`)),
      ask(calls.channelState(`${id ?? ""}:general`, 0)),
      ask(calls.distinctChannel(id, {})),
      ask(calls.updateUser(id, {})),
      ask(calls.users(["alice", id])),
      ask(calls.message(CID, id)),
    ];
    for (const attempt of attempts) {
      const error = await failure(attempt);
      expect(error).toMatchObject({ code: "invalid_id", docs: `${BASE}/docs/errors/invalid_id` });
    }
  }
  expect((await failure(ask(calls.message(CID, "a/b")))).message).toBe(
    '"a/b" is no id: those are of a-z A-Z 0-9 @ _ - !',
  );
  expect((await failure(ask(calls.users(["a,b"])))).code).toBe("invalid_id");
  expect(asked).toEqual([]);
});

test("the request is what it was at the time of the call", async () => {
  const { ask, asked } = asks([json({ message })]);
  const draft = { text: "hi" };
  const sent = ask(calls.sendMessage(CID, draft));
  draft.text = "changed";
  await sent;
  expect(asked[0]!.body).toEqual({ message: { text: "hi" } });
});

test("a request that is no JSON is refused before anything is sent", async () => {
  const { ask, asked } = asks([]);
  const error = await failure(ask(calls.sendMessage(CID, { text: "hi", size: 1n })));
  expect(error).toMatchObject({ code: "invalid_input" });
  expect(error.message).toContain("BigInt");
  expect(asked).toEqual([]);
});

test("an error of the server comes through with a link that can be opened", async () => {
  const { ask } = asks([refused({ code: "not_found", status: 404, request_id: "req-1" })]);
  const error = await failure(ask(calls.me));
  expect(error).toMatchObject({ code: "not_found", requestId: "req-1" });
  expect(error.docs).toBe(`${BASE}/docs/errors/not_found`);
});

test("a proxy's page is a typed error with the wait that its header asks for", async () => {
  const page = new Response("<html>bad gateway</html>", { status: 502, headers: { "Retry-After": "7" } });
  const { ask } = asks([page]);
  const error = await failure(ask(calls.me));
  expect(error).toMatchObject({ code: "unavailable", status: 502, retryAfter: 7, retryable: true });
  expect(error.docs).toBe(`${BASE}/docs/errors/unavailable`);
});

test("a redirect is not followed", async () => {
  const moved = new Response(null, { status: 308, headers: { location: "https://elsewhere.example" } });
  const { ask, asked } = asks([moved]);
  expect(await failure(ask(calls.me))).toMatchObject({ code: "internal", status: 308 });
  expect(asked).toHaveLength(1);
});

test("an answer that is not understood is an error of its own", async () => {
  const hotel = "<html>Welcome to our hotel</html>";
  for (const text of [hotel, "", "null", "3", '{"messages":[]}', '{"message":null}']) {
    const { ask } = asks([new Response(text)]);
    const error = await failure(ask(calls.message(CID, "m-1")));
    expect(error, text).toMatchObject({ code: "internal", docs: `${BASE}/docs/errors/internal` });
    expect(error.message).toContain(
      "the answer to GET channels/messaging/general/messages/m-1 is not what this version understands: ",
    );
  }
  const { ask } = asks([new Response("null"), new Response(hotel)]);
  expect((await failure(ask(calls.me))).code).toBe("internal");
  expect((await failure(ask(calls.deleteChannel(CID)))).code).toBe("internal");
});

test("a server that is not reached, and one that breaks off, are one error: the network's", async () => {
  const reset = new TypeError("fetch failed", { cause: new Error("read ECONNRESET") });
  const broken = new ReadableStream({ start: (body) => body.error(new Error("terminated")) });
  const thrown = () => {
    throw reset;
  };
  const { ask } = asks([() => Promise.reject(reset), thrown, new Response(broken)]);
  const error = await failure(ask(calls.me));
  expect(error).toMatchObject({ code: "network", status: 503, retryable: true, cause: reset });
  expect(error.message).toBe("GET me: fetch failed: read ECONNRESET");
  expect(await failure(ask(calls.me))).toMatchObject({ code: "network" });
  expect(await failure(ask(calls.me))).toMatchObject({ code: "network", message: "GET me: terminated" });
});

test("a call without an answer ends with its timeout, and lets go of the request (L1.22)", async () => {
  for (const answer of [silent, deaf]) {
    const { ask, asked } = asks([answer]);
    const outcome = failure(ask(calls.me));
    await vi.advanceTimersByTimeAsync(9_999);
    expect(asked[0]!.signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    const error = await outcome;
    expect(error).toMatchObject({ code: "timeout", status: 504, retryable: true });
    expect(error.message).toBe("no answer from GET me within 10000 ms");
    expect(error.docs).toBe(`${BASE}/docs/errors/timeout`);
    expect(asked[0]!.signal.aborted).toBe(true);
  }
});

test("a body that never ends is no answer", async () => {
  const { ask } = asks([new Response(new ReadableStream())]);
  const outcome = failure(ask(calls.me));
  await vi.advanceTimersByTimeAsync(10_000);
  expect((await outcome).code).toBe("timeout");
});

test("each call may have a timeout of its own, and none at all (L1.6)", async () => {
  const quick = asks([silent]);
  const outcome = failure(quick.ask(calls.me, { timeoutMs: 50 }));
  await vi.advanceTimersByTimeAsync(50);
  expect((await outcome).message).toBe("no answer from GET me within 50 ms");

  let answer = (_: Response) => {};
  const patient = asks([() => new Promise((resolve) => (answer = resolve))]);
  const me = patient.ask(calls.me, { timeoutMs: Infinity });
  await vi.advanceTimersByTimeAsync(3_600_000);
  answer(json({ me: user }));
  expect(await me).toEqual({ me: user });
});

test("the timeout includes the wait for the user", async () => {
  let waiting: AbortSignal | undefined;
  const never: Authorize = (_, signal) => {
    waiting = signal;
    return new Promise(() => {});
  };
  const { ask, asked } = asks([], never);
  const outcome = failure(ask(calls.me));
  await vi.advanceTimersByTimeAsync(10_000);
  expect((await outcome).code).toBe("timeout");
  expect(waiting?.aborted).toBe(true);
  expect(asked).toEqual([]);
});

test("a call is cancelled by its caller at any time, and lets go of the request (L1.22)", async () => {
  for (const answer of [silent, deaf]) {
    const { ask, asked } = asks([answer]);
    const control = new AbortController();
    const outcome = failure(ask(calls.me, { signal: control.signal }));
    await vi.advanceTimersByTimeAsync(1);
    control.abort();
    expect(await outcome).toMatchObject({ code: "cancelled", message: "GET me was cancelled" });
    expect(asked[0]!.signal.aborted).toBe(true);
  }
});

test("a call that is cancelled before it begins asks nobody", async () => {
  const authorize = vi.fn(asAlice);
  const { ask, asked } = asks([], authorize);
  expect((await failure(ask(calls.me, { signal: AbortSignal.abort() }))).code).toBe("cancelled");
  expect(authorize).not.toHaveBeenCalled();
  expect(asked).toEqual([]);
});

test("a call that has ended leaves no listener and no timer behind, however it ended", async () => {
  const control = new AbortController();
  const { signal } = control;
  const listeners = new Set<unknown>();
  vi.spyOn(signal, "addEventListener").mockImplementation((_, own) => void listeners.add(own));
  vi.spyOn(signal, "removeEventListener").mockImplementation((_, own) => void listeners.delete(own));
  const ends: Answer[] = [json({ me: user }), refused({ code: "not_found", status: 404 }), deaf];
  for (const answer of ends) {
    const outcome = asks([answer]).ask(calls.me, { signal, timeoutMs: 5 }).catch(() => {});
    expect(listeners.size).toBe(1);
    await vi.advanceTimersByTimeAsync(answer === deaf ? 5 : 0);
    await outcome;
    expect(listeners.size).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  }
});

test("what fails after a call has ended is nobody's unhandled rejection", async () => {
  let fail = (_: Error) => {};
  const { ask } = asks([() => new Promise((_, reject) => (fail = reject))]);
  const outcome = failure(ask(calls.me, { timeoutMs: 5 }));
  await vi.advanceTimersByTimeAsync(5);
  await outcome;
  // Vitest fails a run that has one.
  fail(new Error("too late"));
  await vi.advanceTimersByTimeAsync(0);
});

test("a call needs nothing that React Native and Node 18 lack", async () => {
  const { ask } = asks([json({ me: user })]);
  for (const name of ["URL", "URLSearchParams", "crypto", "structuredClone"]) vi.stubGlobal(name, undefined);
  const lacking = [vi.spyOn(AbortSignal, "timeout"), vi.spyOn(AbortSignal, "any")];
  expect(await ask(calls.me, { signal: new AbortController().signal })).toEqual({ me: user });
  expect(parseBaseUrl(BASE)).toBe(BASE);
  for (const spy of lacking) expect(spy).not.toHaveBeenCalled();
});

test("a server calls in the name of a user", async () => {
  const { ask, asked } = asks([json({})], async () => ({ token: "server's", actsAs: "alice" }));
  await ask(calls.me);
  expect(asked[0]!.headers).toMatchObject({ authorization: "Bearer server's", "x-parlour-user": "alice" });
});

const expired = () => refused({ code: "token_expired", status: 401 });

/** Gives these tokens one after the other. */
function tokens(...given: string[]) {
  return vi.fn<Authorize>(async () => ({ token: given.shift()! }));
}

test("a token that is over is replaced once, by another one", async () => {
  const authorize = tokens("old", "new");
  const { ask, asked } = asks([expired(), json({ message })], authorize);
  expect(await ask(calls.sendMessage(CID, message))).toEqual(message);
  expect(authorize.mock.calls.map(([refused]) => refused)).toEqual([undefined, "old"]);
  expect(asked.map(({ headers }) => headers.authorization)).toEqual(["Bearer old", "Bearer new"]);
  expect(asked[1]).toMatchObject({ method: "POST", path: `${C}/messages`, body: { message } });
});

test("a token that is over is replaced no second time", async () => {
  const { ask, asked } = asks([expired(), expired()], tokens("old", "new", "newer"));
  expect((await failure(ask(calls.me))).code).toBe("token_expired");
  expect(asked).toHaveLength(2);
});

test("without another token the server's refusal stands", async () => {
  const { ask, asked } = asks([expired()], tokens("old", "old"));
  expect(await failure(ask(calls.me))).toMatchObject({ code: "token_expired", hint: "ask" });
  expect(asked).toHaveLength(1);
});

test("only a token that is over is replaced", async () => {
  const authorize = tokens("old", "new");
  const { ask } = asks([refused({ code: "token_signature", status: 401 })], authorize);
  expect((await failure(ask(calls.me))).code).toBe("token_signature");
  expect(authorize).toHaveBeenCalledTimes(1);
});

test("why there is no token is the error of the call", async () => {
  const reason = new ParlourError({ ...bodyOf("token_missing"), message: "no token: signed out" });
  const { ask } = asks([], () => Promise.reject(reason));
  expect(await failure(ask(calls.me))).toBe(reason);
  const later = asks([expired()], async (refused) => {
    if (refused) throw reason;
    return { token: "old" };
  });
  expect(await failure(later.ask(calls.me))).toBe(reason);
});

test("what is bounded is told to end when its time is over", async () => {
  const endpoint = endpointOf({ url: BASE, appKey: "dev" });
  expect(await bounded(endpoint, "it", { timeoutMs: 5 }, async () => 7)).toBe(7);
  let heard: AbortSignal | undefined;
  const work = (signal: AbortSignal) => {
    heard = signal;
    return new Promise<never>(() => {});
  };
  const outcome = failure(bounded(endpoint, "it", { timeoutMs: 5 }, work));
  expect(heard?.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(5);
  expect(await outcome).toMatchObject({ code: "timeout", message: "no answer from it within 5 ms" });
  expect(heard?.aborted).toBe(true);
});

function bodyOf(code: string) {
  return { code, status: 401, message: "", hint: "", retryable: false, docs: "" };
}

// Options stay assignable for callers that pass on what they may not have.
const _options: CallOptions = { signal: undefined, timeoutMs: undefined };
void _options;
