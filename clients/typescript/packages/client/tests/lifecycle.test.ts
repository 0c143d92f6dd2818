// Logging in and out, the two modes, and the background: what each call does, and what happens by itself.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Client, ClientOptions } from "../src/index.js";
import { FakeServer, held, message, Refusal } from "./fake_server.js";

const ME = /^GET me$/;
const SEND = /^POST channels\/messaging\/general\/messages$/;
const MANUAL = { autoConnect: false };

let server: FakeServer;
beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  server.on(ME, () => ({ me: server.ready().me }));
  server.on(SEND, ({ message: { id, text } }: { message: { id: string; text: string } }) => ({
    message: message("messaging:general", 6, { id, text, user: { id: "alice" } }),
  }));
});
afterEach(async () => {
  await vi.advanceTimersByTimeAsync(20_000);
  vi.clearAllTimers();
  vi.useRealTimers();
});

const later = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const state = (client: Client) => client.connection.get().state;

/** Waits for what a call does at once. */
async function done<T>(call: Promise<T>): Promise<T> {
  // How it ends is told below.
  call.catch(() => {});
  await later(20);
  return call;
}

/** What was said about going, and how the sockets were closed. */
const byes = () => server.sockets.flatMap(({ heard }) => heard.flatMap((frame) => (frame.type === "bye" ? [frame.intent] : [])));
const codes = () => server.sockets.map(({ closedWith }) => closedWith);
const appStates = () => server.socket.heard.filter(({ type }) => type === "app_state");

describe("login", () => {
  it("asks the server whether it takes the token, and connects where the client does so by itself (L1.9, L1.10, L2.1)", async () => {
    const client = server.client();
    const user = await done(client.login("token"));
    expect(user).toMatchObject({ id: "alice", role: "user" });
    expect(server.asked).toEqual(["GET me"]);
    expect(state(client)).toBe("connected");
    expect(server.sockets.length).toBe(1);
    const [hello] = server.socket.heard;
    expect(hello).toMatchObject({ type: "hello", token: "token", user: { id: "alice" } });
    expect(await client.loggedInUser()).toMatchObject({ id: "alice" });
  });

  it("in manual mode opens nothing until connect, and calls go through (L1.10, L2.2)", async () => {
    server.on(/^GET users/, () => ({ users: [{ id: "bob" }] }));
    const client = server.client(MANUAL);
    await done(client.login("token"));
    expect(await client.users(["bob"])).toEqual([{ id: "bob" }]);
    await later(60_000);
    expect([state(client), client.userId, server.sockets.length]).toEqual(["offline", "alice", 0]);
    expect(client.me.get()).toMatchObject({ id: "alice", role: "user" });
    expect(await done(client.connect())).toMatchObject({ id: "alice" });
    expect(state(client)).toBe("connected");
  });

  it("a provider is asked once for the question and the connection (L6.27)", async () => {
    let asked = 0;
    await done(server.client().login(() => `token ${++asked}`.replace(" ", "-")));
    expect([asked, server.socket.heard[0]]).toMatchObject([1, { token: "token-1" }]);
  });

  it("that the server refuses leaves nobody there", async () => {
    server.on(ME, () => {
      throw new Refusal(401, "token_signature");
    });
    const client = server.client();
    await expect(done(client.login("forged"))).rejects.toMatchObject({ code: "token_signature" });
    expect([client.userId, state(client), server.sockets.length]).toEqual([undefined, "idle", 0]);
    expect(await client.loggedInUser()).toBeUndefined();
  });

  it("of a user who was never there takes the id from the token", async () => {
    server.on(ME, () => ({}));
    const claims = Buffer.from(JSON.stringify({ user_id: "carol", note: "ÿ?~" })).toString("base64url");
    const client = server.client(MANUAL);
    expect(await done(client.login(`h.${claims}.s`))).toEqual({ id: "carol" });
    expect(await client.loggedInUser()).toEqual({ id: "carol" });
    const nobody = server.client().login("h.e30.s");
    await expect(done(nobody)).rejects.toMatchObject({ code: "token_missing" });
  });

  it("for the user who is there changes nothing but the token; for another names who is there (L1.25)", async () => {
    const client = server.client();
    await done(client.login("token"));
    await done(client.login("another"));
    expect(server.sockets.length).toBe(1);
    server.on(ME, () => ({ me: { ...server.ready().me, id: "bob" } }));
    const other = client.login("bobs");
    await expect(done(other)).rejects.toMatchObject({ code: "already_connected_as", message: expect.stringContaining("alice") });
    expect([client.userId, state(client)]).toEqual(["alice", "connected"]);
  });

  it("waits for another user who is leaving (L1.26)", async () => {
    const client = server.client();
    await done(client.connectUser("bob", "bobs"));
    server.answersCloses = false;
    void client.disconnectUser();
    await done(client.login("token"));
    expect(server.sockets.length).toBe(1);
    server.sockets[0]!.breaks(1000);
    await later(20);
    expect([client.userId, state(client), server.sockets.length]).toEqual(["alice", "connected", 2]);
  });
});

describe("without a session", () => {
  it("connect, disconnect and ping fail, and are never silent (L1.13)", async () => {
    const client = server.client(MANUAL);
    for (const call of [client.connect(), client.disconnect(), client.ping()]) {
      await expect(call).rejects.toMatchObject({ code: "not_logged_in" });
    }
    expect(await client.logout()).toBe(0);
    await client.disconnectUser();
  });
});

describe("connect and disconnect", () => {
  for (const options of [{}, MANUAL]) {
    const mode = "autoConnect" in options ? "manual" : "auto";

    it(`callers share one connection, ${mode} (L1.12)`, async () => {
      const client = server.client(options);
      await done(client.login("token"));
      const [one, two] = await done(Promise.all([client.connect(), client.connect()]));
      expect(one).toBe(two);
      await done(Promise.all([client.disconnect(), client.disconnect(), client.disconnect()]));
      expect([state(client), server.sockets.length, byes(), codes()]).toEqual(["offline", 1, ["leave"], [1000]]);
    });

    const ways: Record<string, (client: Client) => Promise<unknown>> = {
      connect: (client) => client.connect(),
      connectUser: (client) => client.connectUser("alice", "token"),
      ...(mode === "auto" && { login: (client: Client) => client.login("token") }),
    };
    it.each(Object.entries(ways))(`a disconnect holds in the foreground and after a sleep, until %s, ${mode} (L1.14)`, async (_, way) => {
      const client = server.client(options);
      await done(client.connectUser("alice", "token"));
      await done(client.disconnect());
      client.enterBackground();
      client.enterForeground();
      client.setNetwork("down");
      client.setNetwork("up");
      client.retryNow();
      await later(120_000);
      expect([state(client), server.live]).toEqual(["offline", 0]);
      await done(way(client));
      expect([state(client), server.live]).toEqual(["connected", 1]);
    });

    it(`a disconnect during a dial ends it, ${mode} (L3.5)`, async () => {
      server.silent = true;
      const client = server.client(options);
      const up = client.connectUser("alice", "token");
      await later(5);
      const down = client.disconnect();
      await expect(done(up)).rejects.toMatchObject({ code: "cancelled" });
      await down;
      expect([state(client), server.live]).toEqual(["offline", 0]);
    });
  }

  it("in manual mode a login does not undo a disconnect", async () => {
    const client = server.client(MANUAL);
    await done(client.connectUser("alice", "token"));
    await done(client.disconnect());
    await done(client.login("token"));
    expect(state(client)).toBe("offline");
  });

  it("ping answers with the round trip, shows it, and fails where there is no connection (L1.15, L1.21)", async () => {
    const client = await server.connected();
    expect(await client.ping()).toBe(0);
    expect(client.connection.get().rttMs).toBe(0);
    await done(client.disconnect());
    await expect(client.ping()).rejects.toMatchObject({ code: "not_connected" });
  });
});

describe("logout", () => {
  it("tells how many messages were not sent, and forgets them (L1.18)", async () => {
    const client = await server.connected();
    const answer = held<never>();
    server.on(SEND, () => answer.promise);
    const channel = client.channel("messaging", "general");
    const sends = ["one", "two"].map((text) => channel.send(text));
    const gone = Promise.all(sends.map((sent) => expect(sent).rejects.toMatchObject({ code: "cancelled" })));
    expect(await done(client.logout())).toBe(2);
    await gone;
    expect([state(client), client.userId, byes(), codes()]).toEqual(["closed", undefined, ["leave"], [1000]]);
    await done(client.connectUser("alice", "token"));
    expect(await done(client.logout())).toBe(0);
  });

  it("disconnectUser keeps them for the same user (L1.17)", async () => {
    const client = await server.connected();
    const answer = held<never>();
    server.on(SEND, () => answer.promise);
    const sent = client.channel("messaging", "general").send("hello");
    await done(client.disconnectUser());
    server.on(SEND, () => ({ message: message("messaging:general", 6, { text: "hello" }) }));
    await done(client.connectUser("alice", "token"));
    await later(12_000);
    expect((await sent).text).toBe("hello");
  });
});

describe("the background, in auto mode", () => {
  it("ends the connection at once, and the foreground resumes it (L2.4, L2.8, L9.4)", async () => {
    const client = await server.connected();
    client.enterBackground();
    await later(10);
    expect([state(client), server.live, byes(), codes()]).toEqual(["parked", 0, ["park"], [4900]]);
    await later(600_000);
    expect(server.sockets.length).toBe(1);
    client.enterForeground();
    await later(20);
    expect([state(client), server.sockets.length]).toEqual(["connected", 2]);
    expect(server.socket.heard[0]).toMatchObject({ type: "hello", replaces: "c1", app_state: "foreground" });
  });

  it("after a grace, if one is set, which a return to the foreground ends (L2.4)", async () => {
    const client = await server.connected({ backgroundGraceMs: 5_000 });
    client.enterBackground();
    await later(4_990);
    client.enterForeground();
    await later(20_000);
    expect([state(client), server.sockets.length]).toEqual(["connected", 1]);
    client.enterBackground();
    await later(4_990);
    expect(state(client)).toBe("connected");
    await later(20);
    expect(state(client)).toBe("parked");
  });

  it("changes nothing where it is kept", async () => {
    for (const options of [{}, MANUAL]) {
      const client = await server.connected({ ...options, background: "keep" });
      client.enterBackground();
      await later(30_000);
      expect(state(client)).toBe("connected");
      expect(appStates()).toEqual([{ type: "app_state", state: "background" }]);
      client.enterForeground();
      await done(client.disconnectUser());
    }
  });

  it("a connect in it holds until the next time (L2.10)", async () => {
    const client = await server.connected();
    client.enterBackground();
    await later(10);
    await done(client.connect());
    await later(60_000);
    expect(state(client)).toBe("connected");
    client.enterBackground();
    await later(10);
    expect(state(client)).toBe("parked");
  });

  it("a login in it waits for the foreground", async () => {
    const client = server.client();
    client.enterBackground();
    await done(client.login("token"));
    expect([state(client), server.sockets.length]).toEqual(["parked", 0]);
    client.enterForeground();
    await later(20);
    expect(state(client)).toBe("connected");
  });
});

describe("the background, in manual mode", () => {
  const connected = (options: Partial<ClientOptions> = {}) => server.connected({ ...MANUAL, ...options });

  it("has a lease of 30 seconds, of which the server knows; what it ended stays ended (L2.6, L2.9, L9.5)", async () => {
    const client = await connected();
    client.enterBackground();
    expect(appStates()).toEqual([{ type: "app_state", state: "background", lease_ms: 30_000 }]);
    await later(29_900);
    expect(state(client)).toBe("connected");
    await later(200);
    expect([state(client), client.connection.get().cause, byes()]).toEqual(["parked", "lease", ["park"]]);
    client.enterForeground();
    await later(60_000);
    expect([state(client), server.sockets.length]).toEqual(["offline", 1]);
    await done(client.connect());
    expect(state(client)).toBe("connected");
  });

  it("each ping renews the lease (L2.6, L1.15, L9.5)", async () => {
    const client = await connected();
    client.enterBackground();
    await later(29_000);
    await client.ping();
    await later(29_900);
    expect(state(client)).toBe("connected");
    await later(200);
    expect(state(client)).toBe("parked");
    await expect(client.ping()).rejects.toMatchObject({ code: "not_connected" });
  });

  it("keepAlive pings until it is told to stop (L2.13, L6.18)", async () => {
    const client = await connected();
    const stop = client.keepAlive();
    client.enterBackground();
    for (let minute = 0; minute < 10; minute++) {
      await later(30_000);
      server.socket.says({ type: "ping", as_of: "2026-11-21T12:00:00.000Z" });
      await later(30_000);
    }
    expect(state(client)).toBe("connected");
    stop();
    await later(30_100);
    expect([state(client), server.sockets.length]).toEqual(["parked", 1]);
  });

  it("a return within the lease finds the connection as it was (L2.9)", async () => {
    const client = await connected();
    client.enterBackground();
    await later(20_000);
    client.enterForeground();
    await later(20_000);
    expect([state(client), server.sockets.length]).toEqual(["connected", 1]);
  });

  it("a loss in it is final, and one in the foreground is not (L2.3, L2.7, L9.6)", async () => {
    const client = await connected();
    server.socket.breaks();
    await later(2_000);
    expect([state(client), server.sockets.length]).toEqual(["connected", 2]);
    client.enterBackground();
    server.socket.breaks();
    await later(10_000);
    expect([state(client), server.sockets.length]).toEqual(["parked", 2]);
    client.enterForeground();
    await later(60_000);
    expect([state(client), server.sockets.length]).toEqual(["offline", 2]);
  });

  it("a connect in it begins a lease (L2.11)", async () => {
    const client = await connected();
    client.enterBackground();
    await later(31_000);
    await done(client.connect());
    expect(appStates()).toMatchObject([{ state: "background", lease_ms: expect.any(Number) }]);
    await later(29_000);
    expect(state(client)).toBe("connected");
    await later(1_500);
    expect(state(client)).toBe("parked");
  });

  it("connectUser is a wish and connects; a close by the server for the lease is one, too (L2.2, L7.15)", async () => {
    const client = await connected();
    client.enterBackground();
    server.socket.breaks(4008);
    await later(10_000);
    expect([state(client), client.connection.get().code]).toEqual(["parked", 4008]);
    await done(client.connectUser("alice", "token"));
    expect(state(client)).toBe("connected");
  });
});

describe("sleep", () => {
  it("is noticed by the clocks: the link has to answer at once, and a fresh token is asked for before a new one (L6.8, L6.26, L9.10)", async () => {
    let asked = 0;
    const client = server.client();
    await done(client.connectUser("alice", () => `token-${++asked}`));
    const { socket } = server;
    socket.send = () => {};
    // The clock that never steps back stood still.
    vi.setSystemTime(Date.now() + 3_600_000);
    await later(5_000 + 3_000);
    expect(socket.closedWith).toBe(4900);
    await later(1_000);
    expect([state(client), server.sockets.length, asked]).toEqual(["connected", 2, 2]);
    expect(server.socket.heard[0]).toMatchObject({ token: "token-2" });
  });

  it("after a login the provider is asked then, too", async () => {
    let asked = 0;
    const client = server.client();
    await done(client.login(() => `token-${++asked}`));
    expect(asked).toBe(1);
    client.enterBackground();
    await later(10);
    client.enterForeground();
    await later(20);
    expect([state(client), asked]).toEqual(["connected", 2]);
  });

  it("a clock that is set a little changes nothing", async () => {
    const client = await server.connected();
    vi.setSystemTime(Date.now() + 9_000);
    await later(5_000);
    vi.setSystemTime(Date.now() - 3_600_000);
    await later(5_000);
    expect(server.socket.heard.filter(({ type }) => type === "ping")).toEqual([]);
    expect(state(client)).toBe("connected");
  });
});

describe("the network", () => {
  it("that is another one is looked at (L6.8)", async () => {
    const client = await server.connected();
    client.networkChanged("cafe");
    expect(server.socket.heard.at(-1)).toEqual({ type: "ping", id: 0 });
    await later(10_000);
    expect(server.sockets.length).toBe(1);
  });

  it("what was told before there is a user holds for the user who comes (L1.19)", async () => {
    const client = server.client();
    client.setNetwork("down");
    server.refusesDials = true;
    void client.connectUser("alice", "token").catch(() => {});
    await later(20);
    expect(state(client)).toBe("no_network");
    server.refusesDials = false;
    client.setNetwork("up");
    await later(400);
    expect(state(client)).toBe("connected");
  });
});

it("servers may be named by their regions (L1.1)", async () => {
  const client = server.client({ url: "eu", regions: { eu: server.url, us: "https://us.example.com" } });
  expect(client.url).toBe(server.url);
  expect(() => server.client({ url: "asia", regions: { eu: server.url } })).toThrowError(
    expect.objectContaining({ code: "invalid_input" }),
  );
});

it("no token stands in any URL (L4.5, L9.18)", async () => {
  const urls: string[] = [];
  const { webSocket, fetch } = server.options;
  const client = server.client({
    webSocket: function (url: string) {
      urls.push(url);
      return new webSocket!(url);
    } as never,
    fetch: ((url: string, init: RequestInit) => {
      urls.push(url);
      return fetch!(url, init);
    }) as never,
  });
  await done(client.login("the-secret-token"));
  await done(client.channel("messaging", "general").send("hello"));
  await done(client.logout());
  expect(urls.length).toBe(3);
  expect(urls.join()).not.toContain("secret");
});
