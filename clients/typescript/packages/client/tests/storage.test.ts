// What outlives the page: the session, the place in each topic, and messages that are not sent.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Client, ClientEvent, ClientOptions, TextStorage } from "../src/index.js";
import { FakeServer, message, Refusal, state as channelState } from "./fake_server.js";
import { nextPage } from "./pages.js";

const CID = "messaging:general";
const SEND = /^POST channels\/messaging\/general\/messages$/;
const HOUR = 3_600_000;

let server: FakeServer;
/** What stands in the storage. */
let texts: Map<string, string>;
let writes: string[];
let storage: TextStorage;
let Page: typeof Client;

beforeEach(async () => {
  vi.useFakeTimers();
  server = new FakeServer();
  texts = new Map();
  writes = [];
  storage = {
    getItem: (key) => texts.get(key) ?? null,
    setItem: (key, text) => {
      writes.push(key);
      texts.set(key, text);
    },
    removeItem: (key) => void texts.delete(key),
  };
  ({ Client: Page } = await nextPage());
});
afterEach(() => {
  vi.clearAllTimers();
  vi.useRealTimers();
});

const later = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const state = (client: Client) => client.connection.get().state;

/** The page is gone, with its socket; another one is loaded. */
async function reload(): Promise<void> {
  ({ Client: Page } = await nextPage());
  for (const socket of server.sockets) socket.readyState = 3;
}

function made(options: Partial<ClientOptions> = {}): Client {
  return new Page({ ...server.options, storage, ...options });
}

async function connected(user = "alice", options: Partial<ClientOptions> = {}): Promise<Client> {
  const client = made(options);
  server.more = { ...server.more, me: { ...server.ready().me, id: user } };
  const up = client.connectUser(user, `${user}s-token`);
  await later(20);
  await up;
  return client;
}

/** The first frame of the last connection. */
const hello = () => server.socket.heard[0]! as { token: string; resume?: { cursors: object }; user?: object };
const stored = (name: string) => {
  const [text] = [...texts].flatMap(([key, text]) => (key.endsWith(name) ? [text] : []));
  return text === undefined ? undefined : JSON.parse(text);
};

function events(client: Client): ClientEvent[] {
  const heard: ClientEvent[] = [];
  client.on("all", (event) => heard.push(event));
  return heard;
}

const failures = (heard: ClientEvent[]) => heard.flatMap((event) => (event.type === "storage.failed" ? [event.message] : []));

describe("a session", () => {
  it("connects by itself on the next page (L1.2, L9.7)", async () => {
    await connected();
    await reload();
    const client = made();
    await later(20);
    expect([state(client), client.userId]).toEqual(["connected", "alice"]);
    expect(hello()).toMatchObject({ token: "alices-token" });
    expect(await client.loggedInUser()).toMatchObject({ id: "alice" });
  });

  it("does not in manual mode, but is there: calls go through, and connect connects (L1.11, L9.7)", async () => {
    await connected();
    await reload();
    server.on(/^GET users/, () => ({ users: [] }));
    const client = made({ autoConnect: false });
    // Before the storage was read.
    const who = client.loggedInUser();
    await later(60_000);
    expect([state(client), server.sockets.length, await who]).toEqual(["offline", 1, { id: "alice" }]);
    expect(await client.users([])).toEqual([]);
    const up = client.connect();
    await later(20);
    expect((await up).id).toBe("alice");
  });

  it("is waited for by connect, disconnect and logout", async () => {
    await connected();
    await reload();
    const up = made({ autoConnect: false }).connect();
    await later(20);
    expect((await up).id).toBe("alice");
    await reload();
    const client = made();
    const down = client.disconnect();
    await later(20);
    await down;
    expect(state(client)).toBe("offline");
    await reload();
    const out = made().logout();
    await later(20);
    expect(await out).toBe(0);
    expect(texts.size).toBe(0);
  });

  it("is over with disconnectUser and with logout, and not with close (L1.16, L1.29)", async () => {
    for (const [leave, isThere] of [
      [(client: Client) => client.disconnectUser(), false],
      [(client: Client) => client.logout(), false],
      [(client: Client) => client.close(), true],
    ] as const) {
      const client = await connected();
      void leave(client);
      await later(1_000);
      await reload();
      const next = made();
      await later(20);
      expect(next.userId).toBe(isThere ? "alice" : undefined);
      if (!isThere) await expect(next.connect()).rejects.toMatchObject({ code: "not_logged_in" });
    }
  });

  it("of a login is kept, too (L1.10)", async () => {
    server.on(/^GET me$/, () => ({ me: server.ready().me }));
    const login = made({ autoConnect: false }).login("the-token");
    await later(20);
    await login;
    await reload();
    const client = made();
    await later(20);
    expect([client.userId, hello().token]).toEqual(["alice", "the-token"]);
  });

  it("takes a provider for when its token ends; where there is none, it fails and says so", async () => {
    await connected();
    for (const [tokenProvider, end, asks] of [
      [undefined, "failed", 0],
      [() => (asked.push(1), "fresh"), "connected", 1],
    ] as const) {
      await reload();
      server.silent = true;
      const client = made({ ...(tokenProvider && { tokenProvider }) });
      await later(10);
      expect(hello().token).toBe("alices-token");
      server.socket.breaks(4202);
      server.silent = false;
      await later(30_000);
      expect([state(client), asked.length]).toEqual([end, asks]);
      if (!tokenProvider) expect(client.connection.get().error!.docs).toMatch("/docs/errors/close-4202");
    }
    expect(hello().token).toBe("fresh");
    expect(stored("session")).toEqual({ user: "alice", token: "fresh" });
  });
  const asked: number[] = [];

  it("asks the provider where a call finds that its token has ended", async () => {
    await connected();
    await reload();
    let calls = 0;
    server.on(/^GET users/, () => {
      if (++calls === 1) throw new Refusal(401, "token_expired");
      return { users: [] };
    });
    const client = made({ autoConnect: false, tokenProvider: () => "fresh" });
    await later(20);
    expect(await client.users([])).toEqual([]);
    expect(calls).toBe(2);
  });

  it("takes the provider that comes with connectUser for better than the stored token", async () => {
    await connected();
    await reload();
    const client = made();
    await later(20);
    await client.connectUser("alice", () => "fresh");
    expect(server.sockets.length).toBe(2);
    server.socket.says({ type: "token_expiring", grace_ms: 30_000 });
    await later(20);
    expect(server.socket.heard.at(-1)).toEqual({ type: "token", token: "fresh" });
  });

  it("yields to a user whom the app names before it is read, and then names who is there", async () => {
    await connected();
    await reload();
    const client = await connected("bob");
    expect([client.userId, server.live]).toEqual(["bob", 1]);
    await reload();
    const other = made();
    await later(20);
    await expect(other.connectUser("alice", "t")).rejects.toMatchObject({ code: "already_connected_as" });
    expect(other.userId).toBe("bob");
  });

  it("is that of the server and the app that it was made for (L1.31)", async () => {
    await connected();
    await reload();
    const [elsewhere, otherApp] = [made({ url: "http://elsewhere.test" }), made({ appKey: "other" })];
    await later(100);
    expect([elsewhere.userId, otherApp.userId]).toEqual([undefined, undefined]);
  });

  it("of somebody who logged in meanwhile is not erased by who leaves", async () => {
    const alice = await connected();
    await connected("bob");
    void alice.logout();
    await later(100);
    expect(stored("session")).toEqual({ user: "bob", token: "bobs-token" });
  });

  it("a client that was closed meanwhile does not begin", async () => {
    await connected();
    await reload();
    const client = made();
    client.close();
    await later(1_000);
    expect([client.userId, server.sockets.length]).toEqual([undefined, 1]);
  });
});

describe("the place in each topic", () => {
  it("is where the next page goes on: nothing is missed, and nothing told twice (L5.2, L5.3)", async () => {
    server.more = { heads: { [`channel:${CID}`]: 5, "user:alice": 2 } };
    const client = await connected();
    server.happens(CID, 6, { type: "message.new", message: message(CID, 6) });
    client.enterBackground();
    await later(10);
    await reload();
    server.more = {};
    const next = made();
    const heard = events(next);
    await later(20);
    expect(hello().resume).toEqual({ epoch: "e1", as_of: expect.any(String), cursors: { [`channel:${CID}`]: 6, "user:alice": 2 } });
    for (const seq of [6, 7]) server.happens(CID, seq, { type: "message.new", message: message(CID, seq) });
    expect(heard.flatMap((event) => (event.type === "message.new" ? [event.seq] : []))).toEqual([7]);
  });

  it("is known to connectUser as well, and her fields are told only where they changed (L4.15)", async () => {
    server.more = { heads: { "user:alice": 2 } };
    await connected();
    await later(1_000);
    await reload();
    await connected();
    expect(hello().resume).toMatchObject({ cursors: { "user:alice": 2 } });
    expect(hello().user).toBeUndefined();
    await later(1_000);
    await reload();
    const up = made().connectUser({ id: "alice", name: "Alice" }, "token");
    await later(20);
    await up;
    expect(hello().user).toEqual({ id: "alice", name: "Alice" });
  });

  it("is forgotten when she leaves", async () => {
    server.more = { heads: { "user:alice": 2 } };
    const client = await connected();
    void client.disconnectUser();
    await later(1_000);
    await reload();
    await connected();
    expect(hello().resume).toBeUndefined();
  });

  it("is written once per second while things happen, and at once when the page is left", async () => {
    const client = await connected();
    await later(5_000);
    writes = [];
    for (let seq = 1; seq <= 40; seq++) {
      server.happens(CID, seq, { type: "message.new", message: message(CID, seq) });
      await later(100);
    }
    expect(writes.length).toBeGreaterThanOrEqual(4);
    expect(writes.length).toBeLessThanOrEqual(6);
    await later(900);
    server.happens(CID, 41, { type: "message.new", message: message(CID, 41) });
    server.happens(CID, 42, { type: "message.new", message: message(CID, 42) });
    client.enterBackground();
    expect(stored("user alice").saved.cursors).toEqual({ [`channel:${CID}`]: 42 });
  });

  it("is written when the last client is closed", async () => {
    const client = await connected();
    await later(1_000);
    for (const seq of [1, 2]) server.happens(CID, seq, { type: "message.new", message: message(CID, seq) });
    client.close();
    await later(260);
    expect(stored("user alice").saved.cursors).toEqual({ [`channel:${CID}`]: 2 });
  });

  it("is not written while nothing happens", async () => {
    const client = await connected();
    await later(3_000);
    writes = [];
    await client.ping();
    await later(20_000);
    expect(writes).toEqual([]);
  });
});

describe("messages that are not sent", () => {
  /** Sends these while the server takes none, and leaves. */
  async function unsent(...sent: string[]): Promise<void> {
    const client = await connected();
    server.on(SEND, () => {
      throw new Refusal(503, "unavailable");
    });
    for (const text of sent) void client.channel("messaging", "general").send({ id: text, text });
    await later(1_000);
    await reload();
  }

  function takes(): string[] {
    const taken: string[] = [];
    server.on(SEND, ({ message: { text } }: { message: { text: string } }) => {
      taken.push(text);
      return { message: message(CID, 5 + taken.length, { id: text, text, user: { id: "alice" } }) };
    });
    return taken;
  }

  it("are sent by the next page, in order and once (L5.16, L5.17)", async () => {
    await unsent("one", "two");
    const taken = takes();
    const client = made();
    const heard = events(client);
    await later(20);
    void client.channel("messaging", "general").send({ id: "three", text: "three" });
    await later(10_000);
    expect(taken).toEqual(["one", "two", "three"]);
    expect(heard.flatMap((event) => (event.type === "outbox.changed" && event.status === "sent" ? [event.id] : []))).toEqual(taken);
    await reload();
    made();
    await later(10_000);
    expect(taken.length).toBe(3);
  });

  it("are shown in the channel until then", async () => {
    await unsent("one");
    server.on(/^GET channels/, () => channelState(CID, 5, [5]));
    const client = made();
    const channel = client.channel("messaging", "general");
    channel.open();
    await later(100);
    expect(channel.messages.get().messages.map(({ id, status }) => `${id} ${status}`)).toEqual(["m5 sent", "one pending"]);
  });

  it("are hers alone, and wait for her through a disconnectUser (L1.17, L1.31)", async () => {
    await unsent("one");
    const client = made();
    await later(20);
    void client.disconnectUser();
    await later(1_000);
    await reload();
    const taken = takes();
    const bob = await connected("bob");
    await later(5_000);
    expect(taken).toEqual([]);
    void bob.disconnectUser();
    await later(1_000);
    await reload();
    await connected();
    await later(5_000);
    expect(taken).toEqual(["one"]);
  });

  it("are erased and counted by a logout (L1.18)", async () => {
    await unsent("one", "two");
    const client = made();
    await later(20);
    // What is still to be written is not, then.
    server.happens(CID, 6, { type: "message.new", message: message(CID, 6) });
    const out = client.logout();
    await later(20);
    expect(await out).toBe(2);
    await later(2_000);
    expect(texts.size).toBe(0);
    await reload();
    const taken = takes();
    await connected();
    await later(5_000);
    expect(taken).toEqual([]);
  });

  it("are forgotten after 48 hours (L5.15)", async () => {
    await unsent("one");
    vi.setSystemTime(Date.now() + 48 * HOUR + 1_000);
    const taken = takes();
    made();
    await later(5_000);
    expect(taken).toEqual([]);
  });

  it("that were refused for good are still failed on the next page, with the reason, and can be sent again", async () => {
    server.on(/^GET channels/, () => channelState(CID, 5, [5]));
    const client = await connected();
    server.on(SEND, () => {
      throw new Refusal(400, "text_too_long");
    });
    client.channel("messaging", "general").send({ id: "long", text: "long" }).catch(() => {});
    await later(1_000);
    await reload();
    const taken = takes();
    const channel = made().channel("messaging", "general");
    channel.messages.subscribe(() => {});
    await later(5_000);
    const failed = channel.messages.get().messages.at(-1)!;
    expect(failed).toMatchObject({ id: "long", status: "failed", error: { code: "text_too_long", status: 400, name: "ParlourError" } });
    expect(taken).toEqual([]);
    expect(await channel.retry("long")).toBe(true);
    await later(100);
    expect(taken).toEqual(["long"]);
  });
});

describe("a storage that fails", () => {
  const broken = (what: keyof TextStorage): TextStorage => ({
    ...storage,
    [what]: () => {
      throw new Error("the quota is used up");
    },
  });

  it.each(["getItem", "setItem", "removeItem"] as const)("at %s stops nothing, and is told once", async (what) => {
    const client = made({ storage: broken(what) });
    const up = client.connectUser("alice", "token");
    const heard = events(client);
    await later(20);
    await up;
    for (let seq = 1; seq < 5; seq++) {
      server.happens(CID, seq, { type: "message.new", message: message(CID, seq) });
      await later(2_000);
    }
    server.on(SEND, () => ({ message: message(CID, 6, { user: { id: "alice" } }) }));
    await client.channel("messaging", "general").send("hello");
    if (what !== "removeItem") expect(failures(heard)).toEqual([expect.stringContaining("the quota is used up")]);
    void client.logout();
    await later(100);
    expect(state(client)).toBe("closed");
  });

  it("for a while is written to again, and tells when it fails again", async () => {
    let isFull = true;
    const sometimes: TextStorage = {
      ...storage,
      setItem: (key, text) => {
        if (isFull) throw new Error("the quota is used up");
        return storage.setItem(key, text);
      },
    };
    const client = made({ storage: sometimes });
    const heard = events(client);
    void client.connectUser("alice", "token");
    await later(20);
    isFull = false;
    await client.ping();
    await later(2_000);
    expect(stored("session")).toEqual({ user: "alice", token: "token" });
    isFull = true;
    server.happens(CID, 1, { type: "message.new", message: message(CID, 1) });
    await later(2_000);
    expect(failures(heard).length).toBe(2);
  });

  it("takes its time, and is written to one after the other", async () => {
    let under = 0;
    let most = 0;
    const slowly = async <T>(work: () => T): Promise<T> => {
      most = Math.max(most, ++under);
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      under--;
      return work();
    };
    const slow: TextStorage = {
      getItem: (key) => Promise.resolve(texts.get(key)),
      setItem: (key, text) => (key.endsWith("alice") ? slowly(() => texts.set(key, text)) : texts.set(key, text)),
      removeItem: (key) => Promise.resolve(texts.delete(key)),
    };
    await connected("alice", { storage: slow });
    for (let seq = 1; seq <= 8; seq++) {
      server.happens(CID, seq, { type: "message.new", message: message(CID, seq) });
      await later(1_000);
    }
    await later(30_000);
    expect(most).toBe(1);
    expect(stored("user alice").saved.cursors).toEqual({ [`channel:${CID}`]: 8 });
  });

  const whole = { told: null, epoch: "e0", as_of: "2026-11-21T12:00:00.000Z", cursors: {}, worked_in: {} };
  const spoilt = (fields: object) => JSON.stringify({ saved: { ...whole, ...fields }, outbox: [] });
  const garbage: Record<string, string> = {
    "no JSON": "{",
    "no object": "7",
    null: "null",
    "another kind of epoch": spoilt({ epoch: 1 }),
    "no time": spoilt({ as_of: undefined }),
    "no cursors": spoilt({ cursors: null }),
    "cursors that are none": spoilt({ cursors: { a: "b" } }),
    "no networks": spoilt({ worked_in: undefined }),
    "a message that is no object": JSON.stringify({ outbox: [null] }),
    "messages that are none": JSON.stringify({ saved: null, outbox: [{ id: 1 }] }),
    "errors that are none": JSON.stringify({ outbox: [{ cid: "a:b", id: "1", draft: {}, queuedAt: 1, error: {} }] }),
  };
  it.each(Object.entries(garbage))("that holds %s is begun anew, and that is told", async (_, text) => {
    await connected();
    await reload();
    for (const [key] of texts) if (key.endsWith("user alice")) texts.set(key, text);
    const client = made();
    const heard = events(client);
    await later(1_000);
    expect(state(client)).toBe("connected");
    expect(hello().resume).toBeUndefined();
    expect(failures(heard)).toEqual(["what was kept is not understood"]);
    expect(stored("user alice")).toMatchObject({ saved: { epoch: "e1" }, outbox: [] });
  });

  it.each(["{", "[]", '{"user":1}', '{"user":"alice"}'])("that holds the session %s has none", async (text) => {
    await connected();
    await reload();
    for (const [key] of texts) if (key.endsWith("session")) texts.set(key, text);
    const client = made();
    await later(100);
    expect([client.userId, state(client)]).toEqual([undefined, "idle"]);
    await connected();
  });
});

describe("a browser's own storages", () => {
  afterEach(() => vi.unstubAllGlobals());

  it.each(["local", "session"] as const)("%s is found by its name (L1.5)", async (name) => {
    vi.stubGlobal(`${name}Storage`, storage);
    await connected("alice", { storage: name });
    await reload();
    const client = made({ storage: name });
    await later(20);
    expect(client.userId).toBe("alice");
  });

  it("may be forbidden", async () => {
    vi.stubGlobal("localStorage", undefined);
    const client = made({ storage: "local" });
    const up = client.connectUser("alice", "token");
    const heard = events(client);
    await later(20);
    expect((await up).id).toBe("alice");
    expect(failures(heard).length).toBeGreaterThan(0);
  });
});

it("a memory is enough for clients of one page", async () => {
  const { memoryStorage } = await nextPage();
  storage = memoryStorage();
  const client = await connected();
  client.close();
  await later(1_000);
  const next = made();
  await later(20);
  expect(next.userId).toBe("alice");
});
