import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Client, type ConnectionStatus } from "../src/index.js";
import { FakeServer, message, Refusal } from "./fake_server.js";

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});
afterEach(() => vi.useRealTimers());

const soon = (ms = 10) => vi.advanceTimersByTimeAsync(ms);
const later = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe("connectUser", () => {
  it("called many times at once is one dial, and one answer for all (L1.24)", async () => {
    const client = server.client();
    const calls = Array.from({ length: 5 }, () => client.connectUser({ id: "alice" }, "token"));
    await soon();
    const [me, ...others] = await Promise.all(calls);
    expect(others.every((other) => other === me)).toBe(true);
    expect(server.sockets.length).toBe(1);
    expect(await client.connectUser("alice", "token")).toBe(client.me.get());
  });

  it("gives up waiting after its timeout, with the reason, and goes on dialling", async () => {
    server.refusesDials = true;
    const client = server.client({ callTimeoutMs: 3_000 });
    const failed = expect(client.connectUser("alice", "token")).rejects.toMatchObject({ code: "network" });
    await later(3_000);
    await failed;
    expect(client.connection.get()).toMatchObject({ state: "reconnecting", attempt: expect.any(Number) });
    server.refusesDials = false;
    const again = client.connectUser("alice", "token");
    await later(20_000);
    expect(await again).toMatchObject({ id: "alice" });
  });

  it("that nobody answers is a timeout", async () => {
    server.silent = true;
    const failed = expect(server.client().connectUser("alice", "token", { timeoutMs: 500 })).rejects;
    const told = failed.toMatchObject({ code: "timeout" });
    await later(500);
    await told;
  });

  it("is cancelled by its signal, and by a disconnect", async () => {
    server.silent = true;
    const client = server.client();
    const ended = new AbortController();
    const first = expect(client.connectUser("alice", "t", { signal: ended.signal })).rejects;
    const told = first.toMatchObject({ code: "cancelled" });
    ended.abort();
    await told;
    const second = expect(client.connectUser("alice", "t")).rejects.toMatchObject({ code: "cancelled" });
    void client.disconnect();
    await soon();
    await second;
    expect(client.connection.get().state).toBe("offline");
  });

  it("checks the id before anything is opened", async () => {
    for (const user of ["No Spaces", "", { id: undefined }, { name: "nobody" }]) {
      const refused = server.client().connectUser(user as never, "t");
      await expect(refused).rejects.toMatchObject({ code: "invalid_id" });
    }
    await later(1_000);
    expect(server.sockets).toEqual([]);
  });

  it("says what to do where there is no WebSocket", async () => {
    vi.stubGlobal("WebSocket", undefined);
    const client = new Client({ url: server.url, appKey: "dev", transports: ["web_socket"] });
    await expect(client.connectUser("alice", "t")).rejects.toMatchObject({ message: expect.stringContaining("webSocket") });
    vi.unstubAllGlobals();
  });

  it("a token provider that fails is asked again with backoff, unless it says that it is over", async () => {
    const client = server.client();
    let asked = 0;
    const up = client.connectUser("alice", () => {
      if (asked++ < 3) throw new Error("the network of the app");
      return "token";
    });
    await later(9_000);
    expect((await up).id).toBe("alice");
    expect(asked).toBe(4);
    const other = server.client();
    const over = other.connectUser("bob", () => Promise.reject(Object.assign(new Error("signed out"), { permanent: true })));
    await expect(over).rejects.toMatchObject({ code: "token_missing", message: expect.stringContaining("signed out") });
    expect(other.connection.get()).toMatchObject({ state: "failed", uiStatus: "needs_action" });
  });
});

describe("calls", () => {
  it("wait for the user, with a timeout that includes the wait (L1.23)", async () => {
    server.on(/^GET users/, () => ({ users: [{ id: "bob" }] }));
    server.silent = true;
    const client = server.client();
    client.connectUser("alice", "t").catch(() => {});
    const late = expect(client.users(["bob"], { timeoutMs: 200 })).rejects.toMatchObject({ code: "timeout" });
    const users = client.users(["bob"]);
    await later(300);
    await late;
    expect(server.asked).toEqual([]);
    server.socket.says({ type: "ready", ...server.ready() });
    expect(await users).toEqual([{ id: "bob" }]);
  });

  it("that wait fail with the reason when the server refuses the user", async () => {
    server.silent = true;
    const client = server.client();
    client.connectUser("alice", "t").catch(() => {});
    const refused = expect(client.users(["bob"])).rejects.toMatchObject({ code: "user_banned" });
    await soon();
    const error = { code: "user_banned", status: 403, message: "", hint: "", retryable: false, docs: "/docs/errors/user_banned" };
    server.socket.says({ type: "error", error });
    server.socket.breaks(4003);
    await refused;
  });

  it("that wait fail with the close code where the server does not say more", async () => {
    server.silent = true;
    const client = server.client();
    client.connectUser("alice", "t").catch(() => {});
    const docs = `${server.url}/docs/errors/close-4003`;
    const refused = expect(client.users(["bob"])).rejects.toMatchObject({ code: "not_connected", docs });
    await soon();
    server.socket.breaks(4003);
    await refused;
  });

  it("go through while the connection is away, once the server has answered for the user", async () => {
    const client = await server.connected();
    server.refusesDials = true;
    server.socket.breaks();
    server.on(/^GET users/, () => ({ users: [] }));
    expect(await client.users(["bob"])).toEqual([]);
    void client.disconnectUser();
    await expect(client.users(["bob"])).rejects.toMatchObject({ code: "not_logged_in" });
  });

  it("of a channel and a list reject where there is no user, and none throws (L1.13)", async () => {
    const client = server.client();
    const [channel, list] = [client.channel("messaging", "general"), client.channels()];
    const calls = [
      () => channel.load(),
      () => channel.getOrCreate(),
      () => channel.send("hello"),
      () => channel.retry("m1"),
      () => channel.discard("m1"),
      () => channel.edit("m1", "hi"),
      () => channel.delete("m1"),
      () => channel.loadOlder(),
      () => channel.loadNewer(),
      () => channel.loadLatest(),
      () => channel.loadAround("m1"),
      () => channel.markRead(),
      () => list.loadMore(),
      () => list.reload(),
      () => client.connect(),
    ];
    for (const call of calls) await expect(call(), String(call)).rejects.toMatchObject({ code: "not_logged_in" });
  });

  it("that need another token when the user leaves get none", async () => {
    const client = await server.connected();
    server.on(/^GET users/, () => {
      throw new Refusal(401, "token_expired");
    });
    const users = expect(client.users(["bob"])).rejects.toMatchObject({ code: "not_logged_in" });
    void client.disconnectUser();
    await soon();
    await users;
    expect(server.asked.length).toBe(1);
  });
});

describe("the status", () => {
  it("shows a downtime only after two seconds, and its end at once (L3.11)", async () => {
    const client = await server.connected();
    const shown: ConnectionStatus["uiStatus"][] = [];
    client.connection.subscribe(() => shown.push(client.connection.get().uiStatus));
    server.refusesDials = true;
    server.socket.breaks();
    await later(1_900);
    expect(new Set(shown)).toEqual(new Set(["online"]));
    await later(200);
    expect(client.connection.get().uiStatus).toBe("reconnecting");
    server.refusesDials = false;
    client.retryNow();
    await later(400);
    expect(client.connection.get()).toMatchObject({ state: "connected", uiStatus: "online", attempt: 0 });
  });

  it("says when the next dial comes, on the wall's clock (L1.21, L3.12)", async () => {
    const client = await server.connected();
    server.refusesDials = true;
    server.socket.breaks();
    await later(5_000);
    const { retryAt } = client.connection.get();
    expect(retryAt).toBeGreaterThan(Date.now() - 1);
    const dials = server.sockets.length;
    await later(retryAt! - Date.now() - 5);
    expect(server.sockets.length).toBe(dials);
    await later(10);
    expect(server.sockets.length).toBe(dials + 1);
  });

  it("of a blip its observers see each state once, and what came back is told (L4.25, L9.16)", async () => {
    const client = await server.connected();
    const states: string[] = [];
    const back = vi.fn();
    client.on("connection.changed", ({ from, to }) => from.state !== to.state && states.push(to.state));
    client.on("connection.recovered", back);
    server.socket.breaks();
    await later(1_000);
    expect(states).toEqual(["reconnecting", "connected"]);
    expect(back).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ resumed: "resumed" }));
    expect(back.mock.calls[0]![0].downtimeMs).toBeLessThan(1_000);
  });

  it("is the same object until it changes", async () => {
    const client = await server.connected();
    const before = client.connection.get();
    server.socket.says({ type: "ping", as_of: "2026-11-21T12:00:01.000Z" });
    expect(client.connection.get()).toBe(before);
  });

  it("a listener that throws stops nobody else", async () => {
    const client = await server.connected();
    const heard = vi.fn();
    client.connection.subscribe(() => {
      throw new Error("the app's own");
    });
    client.connection.subscribe(heard);
    server.socket.breaks();
    expect(heard).toHaveBeenCalled();
    expect(() => vi.runOnlyPendingTimers()).toThrow("the app's own");
    vi.clearAllTimers();
  });

  it("a wish that a listener has while it is told comes after what is told", async () => {
    const client = await server.connected();
    client.on("connection.changed", ({ to }) => to.state === "reconnecting" && void client.disconnect());
    server.socket.breaks();
    await later(5_000);
    expect(client.connection.get().state).toBe("offline");
    expect(server.live).toBe(0);
  });
});

describe("leaving", () => {
  it("tells the server, and resolves when the socket is gone (L1.16, L7.6)", async () => {
    const client = await server.connected();
    server.answersCloses = false;
    const left = vi.fn();
    void client.disconnectUser().then(left);
    expect(server.socket.heard.at(-1)).toEqual({ type: "bye", intent: "leave" });
    expect(server.socket.closedWith).toBe(1000);
    await later(100);
    expect(left).not.toHaveBeenCalled();
    server.socket.breaks(1000);
    await soon();
    expect(left).toHaveBeenCalled();
    expect(client.connection.get()).toMatchObject({ state: "closed", uiStatus: "signed_out" });
  });

  it("a socket that never says that it is closed holds the next user up for five seconds, not for ever", async () => {
    const client = await server.connected();
    server.answersCloses = false;
    void client.disconnectUser();
    const next = client.connectUser("bob", "t");
    expect(client.connection.get().state).toBe("connecting");
    await later(4_900);
    expect(server.sockets.length).toBe(1);
    await later(200);
    await next;
    expect(server.sockets.length).toBe(2);
  });

  it("the next users may come and go while the first one's socket is still closing (L1.26)", async () => {
    const client = await server.connected();
    server.answersCloses = false;
    void client.disconnectUser();
    for (const id of ["bob", "carol", "dora"]) {
      const up = expect(client.connectUser(id, "t")).rejects.toMatchObject({ code: "cancelled" });
      // Said twice, it is still one wish.
      const again = expect(client.connectUser(id, "t")).rejects.toMatchObject({ code: "cancelled" });
      void client.disconnectUser();
      await Promise.all([up, again]);
    }
    const last = client.connectUser("erin", "t");
    await soon();
    expect(server.sockets.length).toBe(1);
    server.socket.breaks(1000);
    await soon();
    await last;
    expect(server.sockets.map(({ heard }) => heard[0])).toMatchObject([{ user: { id: "alice" } }, { user: { id: "erin" } }]);
  });

  it("a disconnect while another user's socket is closing holds, until connect", async () => {
    const client = await server.connected();
    server.answersCloses = false;
    void client.disconnectUser();
    client.connectUser("bob", "t").catch(() => {});
    void client.disconnect();
    server.socket.breaks(1000);
    await later(1_000);
    expect(client.connection.get().state).toBe("offline");
    expect(server.sockets.length).toBe(1);
    const up = client.connect();
    await soon();
    await up;
    expect(server.sockets.length).toBe(2);
  });

  it("nothing of the user stays to be seen", async () => {
    server.more = { presence: [{ user_id: "bob", online: true }] };
    const client = await server.connected();
    expect(client.presence("bob").get()).toMatchObject({ online: true });
    void client.disconnectUser();
    expect([client.me.get(), client.presence("bob").get(), client.userId]).toEqual([undefined, undefined, undefined]);
    expect(client.unread.get()).toEqual({ totalUnreadCount: 0, unreadChannels: 0, settled: true });
  });

  it("the last client that is closed closes the socket, 250 ms later, to come back (L1.29, L6.45)", async () => {
    const [one, two] = [await server.connected(), await server.connected()];
    expect(server.sockets.length).toBe(1);
    one.close();
    await later(1_000);
    expect(server.live).toBe(1);
    two.close();
    await later(249);
    expect(server.live).toBe(1);
    await later(2);
    expect(server.socket.closedWith).toBe(4900);
    // Nothing dials again, and no timer is left that could.
    await later(60_000);
    expect(server.sockets.length).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("one of two that disconnects the user disconnects both, and either may connect again", async () => {
    const [one, two] = [await server.connected(), await server.connected()];
    void one.disconnectUser();
    await soon();
    expect(two.connection.get().state).toBe("closed");
    const back = two.connectUser("alice", "t");
    await soon();
    await back;
    expect([one.connection.get().state, two.connection.get().state]).toEqual(["closed", "connected"]);
    expect(server.live).toBe(1);
  });
});

describe("what a page is told", () => {
  it("a ping has its round trip, and fails where there is no connection (L1.15)", async () => {
    const client = await server.connected();
    expect(await client.ping()).toBeGreaterThanOrEqual(0);
    server.refusesDials = true;
    server.socket.breaks();
    await expect(client.ping()).rejects.toMatchObject({ code: "not_connected" });
  });

  it("presence follows changes and snapshots", async () => {
    const client = await server.connected({ presence: "friends" });
    const says = (type: "user.presence.changed" | "user.presence.snapshot", ...ids: string[]) =>
      server.socket.says({ type: "signal", signal: { type, users: ids.map((user_id) => ({ user_id, online: true })) } });
    const there = (id: string) => client.presence(id).get()?.online === true;
    says("user.presence.changed", "bob");
    says("user.presence.changed", "carol");
    expect([there("bob"), there("carol")]).toEqual([true, true]);
    says("user.presence.snapshot", "carol");
    expect([there("bob"), there("carol")]).toEqual([false, true]);
    client.setPresence("none");
    expect(server.socket.heard.at(-1)).toEqual({ type: "presence", subscription: "none" });
  });

  it("what was lost of presence is asked for after the next digest (L5.21)", async () => {
    server.more = { presence: [{ user_id: "erin", online: true }, { user_id: "bob", online: true, away: true }] };
    const client = await server.connected({ presence: "all" });
    const asks = () => server.socket.heard.filter(({ type }) => type === "presence");
    const digest = (online: number, away: number, sum: number) =>
      server.socket.says({ type: "signal", signal: { type: "user.presence.digest", online, away, sum } });
    const bobIsAway = 0xcb14e4c7;
    digest(2, 1, (1_285_410_844 + bobIsAway) % 2 ** 32);
    expect(asks()).toEqual([]);
    const users = [{ user_id: "bob", online: false }];
    server.socket.says({ type: "signal", signal: { type: "user.presence.changed", users } });
    expect(client.presence("bob").get()).toMatchObject({ online: false });
    digest(1, 0, 1_285_410_844);
    expect(asks()).toEqual([]);
    expect(client.presence("bob").get()).toBe(undefined);
    // As many, and others.
    digest(1, 0, 1_285_410_845);
    expect(asks()).toEqual([{ type: "presence" }]);
  });

  it("of too many who are there it is told how many (F4.15)", async () => {
    server.more = { presence: [], presence_others: { online: 4_000, away: 30 } };
    const client = await server.connected({ presence: "all" });
    expect(client.attendance.get()?.others).toEqual({ online: 4_000, away: 30 });
    const says = (others?: { online: number; away: number }) => {
      const users = others ? [] : [{ user_id: "bob", online: true }];
      server.socket.says({ type: "signal", signal: { type: "user.presence.snapshot", users, ...(others && { others }) } });
    };
    says({ online: 4_001, away: 31 });
    expect(client.attendance.get()?.others?.online).toBe(4_001);
    says();
    expect([client.attendance.get()?.others, client.attendance.get()?.size]).toEqual([undefined, 1]);
    expect(client.presence("bob").get()).toMatchObject({ online: true });
  });

  it("refusals and pauses of the server are events", async () => {
    const client = await server.connected();
    const heard: unknown[] = [];
    client.on("refused", ({ error, topic }) => heard.push(error.code, topic));
    client.on("throttled", ({ feature, retryAfterMs }) => heard.push(feature, retryAfterMs));
    const error = { code: "not_found", status: 404, message: "", hint: "", retryable: false, docs: "/docs/errors/x" };
    server.socket.says({ type: "error", error, topic: "channel:messaging:x" });
    server.socket.says({ type: "throttle", feature: "typing", retry_after_ms: 500 });
    expect(heard).toEqual(["not_found", "channel:messaging:x", "typing", 500]);
  });

  it("what the server wants left alone is shown beside the state until then, and not used (L3.13)", async () => {
    const client = await server.connected();
    const paused = () => client.connection.get().throttled?.map(({ feature }) => feature);
    const typed = () => server.socket.heard.filter(({ type }) => type === "signal").length;
    server.socket.says({ type: "throttle", feature: "typing", retry_after_ms: 4_000 });
    expect(client.connection.get()).toMatchObject({ state: "connected", throttled: [{ feature: "typing" }] });
    expect(client.connection.get().throttled![0]!.until - Date.now()).toBe(4_000);
    client.channel("messaging", "general").keystroke();
    expect(typed()).toBe(0);
    server.on(/^POST .*messages$/, () => {
      throw new Refusal(429, "rate_limited", 2);
    });
    void client.channel("messaging", "general").send("too many").catch(() => {});
    await soon(100);
    expect(paused()).toEqual(["typing", "messages"]);
    await soon(3_950);
    expect(paused()).not.toContain("typing");
    client.channel("messaging", "general").keystroke();
    expect(typed()).toBe(1);
    server.on(/^POST .*messages$/, () => ({ message: message("messaging:general", 1) }));
    await soon(10_000);
    expect(paused()).toBeUndefined();
  });

  it("what a newer server says is passed on, and breaks nothing", async () => {
    const client = await server.connected();
    const heard: string[] = [];
    client.on("all", ({ type }) => heard.push(type));
    server.socket.says({ type: "hologram" } as never);
    server.happens("messaging:x", 1, { type: "message.sung" } as never);
    server.socket.says({ type: "signal", signal: { type: "weather" } } as never);
    expect(heard).toEqual(["message.sung", "weather"]);
    expect(client.connection.get().state).toBe("connected");
  });

  it("something that is no frame ends the socket, and the next one goes on", async () => {
    const client = await server.connected();
    server.socket.onmessage?.({ data: "{" } as never);
    expect(server.sockets[0]!.closedWith).toBe(4900);
    await later(1_000);
    expect(client.connection.get().state).toBe("connected");
    expect(server.sockets.length).toBe(2);
  });

  it("own fields change on any device, and the counts stay", async () => {
    server.more = { me: { ...server.ready().me, total_unread_count: 2, unread_channels: 1, mutes: ["bob"] } };
    server.on(/^GET unread/, () => ({
      channels: [{ cid: "messaging:a", last_read_seq: 0, unread_messages: 2, head: 2 }],
      total_unread_count: 2,
      unread_channels: 1,
    }));
    const client = await server.connected();
    const user = { id: "alice", role: "user", name: "Alice B.", created_at: "", updated_at: "" };
    const event = { type: "user.updated", created_at: "", user } as const;
    server.socket.says({ type: "event", topic: "user:alice", seq: 1, event });
    expect(client.me.get()).toMatchObject({ name: "Alice B.", total_unread_count: 2, unread_channels: 1, mutes: ["bob"] });
  });
});
