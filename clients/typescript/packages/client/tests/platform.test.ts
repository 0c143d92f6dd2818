// What a browser and React Native tell of the app and of the network, and what the client does then.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Client } from "../src/index.js";
import { reactNative } from "../src/react_native.js";
import { FakeServer } from "./fake_server.js";

let server: FakeServer;
beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});
afterEach(() => {
  vi.clearAllTimers();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const later = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const state = (client: Client) => client.connection.get().state;
const appStates = () => server.socket.heard.flatMap((frame) => (frame.type === "app_state" ? [frame.state] : []));
const hello = () => server.socket.heard[0]! as { app_state: string };
const probes = () => server.socket.heard.filter((frame) => frame.type === "ping" && frame.id === 0).length;

describe("a browser", () => {
  class Page extends EventTarget {
    visibilityState = "visible";
  }
  let page: Page;
  let view: EventTarget;
  let way: EventTarget & { type?: string };
  let online: boolean;

  beforeEach(() => {
    page = new Page();
    view = new EventTarget();
    way = new EventTarget();
    online = true;
    vi.stubGlobal("document", page);
    vi.stubGlobal("window", view);
    vi.stubGlobal("navigator", {
      get onLine() {
        return online;
      },
      connection: way,
    });
  });

  const happens = (target: EventTarget, type: string) => target.dispatchEvent(new Event(type));
  function isSeen(seen: boolean): void {
    page.visibilityState = seen ? "visible" : "hidden";
    happens(page, "visibilitychange");
  }

  it("that hides the page leaves it connected, and the server is told (L2.5, L1.20)", async () => {
    const client = await server.connected();
    isSeen(false);
    await later(20_000);
    expect([state(client), appStates(), server.sockets.length]).toEqual(["connected", ["hidden"], 1]);
    isSeen(true);
    expect(appStates()).toEqual(["hidden", "foreground"]);
    // Nobody knows what happened meanwhile.
    expect(probes()).toBe(1);
  });

  it.each([
    ["freezes it", () => happens(page, "freeze"), () => happens(page, "resume")],
    ["keeps it for the way back", () => happens(view, "pagehide"), () => happens(view, "pageshow")],
  ])("that %s parks it at once, and brings it back with a fresh token (L1.20, L2.5, L6.26)", async (_, leave, comeBack) => {
    let asked = 0;
    const client = server.client();
    void client.connectUser("alice", () => `token-${++asked}`);
    await later(10);
    leave();
    expect(server.socket.heard.at(-1)).toEqual({ type: "bye", intent: "park" });
    expect(server.socket.closedWith).toBe(4900);
    await later(600_000);
    expect([state(client), server.sockets.length]).toEqual(["parked", 1]);
    comeBack();
    await later(20);
    expect([state(client), server.sockets.length, asked]).toEqual(["connected", 2, 2]);
  });

  it("that thaws a hidden page connects it as hidden", async () => {
    const client = await server.connected();
    isSeen(false);
    happens(page, "freeze");
    await later(100);
    happens(page, "resume");
    await later(20);
    expect([state(client), hello().app_state]).toEqual(["connected", "hidden"]);
  });

  it("that opens the page in the background says so when it connects", async () => {
    page.visibilityState = "hidden";
    const client = server.client();
    await later(10);
    void client.connectUser("alice", "token");
    await later(20);
    expect([hello().app_state, ...appStates()].at(-1)).toBe("hidden");
  });

  it("that loses the network and finds it again is dialled soon (L6.12)", async () => {
    const client = await server.connected();
    happens(view, "offline");
    server.refusesDials = true;
    server.socket.breaks();
    await later(10);
    expect(state(client)).toBe("no_network");
    server.refusesDials = false;
    happens(view, "online");
    await later(400);
    expect(state(client)).toBe("connected");
  });

  it("that begins without a network is believed", async () => {
    online = false;
    server.refusesDials = true;
    const client = server.client();
    void client.connectUser("alice", "token").catch(() => {});
    await later(100);
    expect(state(client)).toBe("no_network");
  });

  it("that goes another way is looked at, and not for every change of speed (L6.8)", async () => {
    way.type = "wifi";
    await server.connected();
    happens(way, "change");
    expect(probes()).toBe(0);
    way.type = "cellular";
    happens(way, "change");
    expect(probes()).toBe(1);
  });

  it("is listened to while there is a user, and no longer", async () => {
    const client = await server.connected();
    void client.disconnectUser();
    await later(100);
    isSeen(false);
    await later(100);
    expect(state(client)).toBe("closed");
    expect(appStates()).toEqual([]);
  });
});

describe("React Native", () => {
  let current: string | null;
  type Net = { type: string; isConnected: boolean | null };
  let app: Set<(state: string) => void>;
  let net: Set<(state: Net) => void>;
  const AppState = {
    get currentState() {
      return current;
    },
    addEventListener(_: "change", listener: (state: string) => void) {
      app.add(listener);
      return { remove: () => void app.delete(listener) };
    },
  };
  const NetInfo = {
    addEventListener(listener: (state: Net) => void) {
      net.add(listener);
      listener({ type: "wifi", isConnected: true });
      return () => void net.delete(listener);
    },
  };
  beforeEach(() => {
    current = "active";
    app = new Set();
    net = new Set();
  });

  const turns = (state: string) => {
    current = state;
    for (const listener of app) listener(state);
  };
  const network = (type: string, isConnected: boolean | null) => {
    for (const listener of net) listener({ type, isConnected });
  };

  it("parks in the background, comes back in the foreground, and does not mind what is between (L1.20, L9.4)", async () => {
    const client = await server.connected({ platform: reactNative({ AppState }) });
    turns("inactive");
    await later(1_000);
    expect(state(client)).toBe("connected");
    turns("background");
    await later(10);
    expect(state(client)).toBe("parked");
    turns("inactive");
    turns("active");
    await later(20);
    expect([state(client), server.sockets.length]).toEqual(["connected", 2]);
  });

  it("that begins in the background connects where the app asks for it, and says where it stands (L2.10)", async () => {
    current = "background";
    const client = server.client({ platform: reactNative({ AppState }) });
    void client.connectUser("alice", "token").catch(() => {});
    await later(20);
    // It was asked for by the app, and holds until the app goes there.
    expect([hello().app_state, ...appStates()].at(-1)).toBe("background");
    turns("active");
    await later(20);
    expect([state(client), appStates().at(-1)]).toEqual(["connected", "foreground"]);
  });

  it("tells of the network, and of another way to it", async () => {
    const client = await server.connected({ platform: reactNative({ AppState, NetInfo }) });
    expect(probes()).toBe(0);
    network("none", false);
    server.socket.breaks();
    await later(10);
    expect(state(client)).toBe("no_network");
    network("cellular", true);
    await later(400);
    expect(state(client)).toBe("connected");
    network("cellular", true);
    expect(probes()).toBe(0);
    network("wifi", true);
    expect(probes()).toBe(1);
    network("unknown", null);
    expect(state(client)).toBe("connected");
  });

  it("is listened to while there is a user, and no longer", async () => {
    const client = await server.connected({ platform: reactNative({ AppState, NetInfo }) });
    expect([app.size, net.size]).toEqual([1, 1]);
    void client.disconnectUser();
    await later(100);
    expect([app.size, net.size]).toEqual([0, 0]);
  });

  it("is named to the server", async () => {
    await server.connected({ platform: { ...reactNative({ AppState }), name: "react-native android" } });
    expect(hello()).toMatchObject({ client: { platform: "react-native android" } });
  });
});
