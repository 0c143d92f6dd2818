// Tabs of one browser share one connection, whatever happens to them.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { foremost, widest } from "../src/tabs/widest.js";
import { Browser, LogServer, soon, type Tab } from "./fake_browser.js";
import { message, Refusal } from "./fake_server.js";
import { Chance } from "./world.js";

const GENERAL = "channel:messaging:general";
const SHOW = "livestream:show";
const TOPICS = ["user:alice", GENERAL, "channel:messaging:other", "channel:messaging:new"];

let server: LogServer;
let browser: Browser;

beforeEach(() => {
  vi.useFakeTimers();
  begins();
});
afterEach(async () => {
  await ends();
  vi.useRealTimers();
});

function begins(): void {
  server = new LogServer();
  server.calls.on(/./, () => ({ channels: [] }));
  browser = new Browser(server);
}

async function ends(): Promise<void> {
  for (const tab of [...browser.tabs]) tab.dies();
  await soon(1_000);
}

async function opens(count: number): Promise<Tab[]> {
  const tabs: Tab[] = [];
  for (let n = 0; n < count; n++) {
    tabs.push(browser.opens());
    await soon();
  }
  return tabs;
}

/** That a tab was told each event since it came or was reset, once and in order. */
function hasAll(tab: Tab): void {
  const expected: Record<string, number[]> = {};
  const told: Record<string, number[]> = {};
  for (const [topic, head] of Object.entries(server.heads)) {
    const all = tab.told.filter((line) => line.startsWith(`${topic} `)).map((line) => Number(line.split(" ")[1]));
    const reset = all.map((seq) => seq < 0 || Object.is(seq, -0)).lastIndexOf(true);
    const from = reset < 0 ? (tab.begun![topic] ?? 0) : -all[reset]!;
    told[topic] = all.slice(reset + 1);
    expected[topic] = Array.from({ length: head - from }, (_, n) => from + 1 + n);
    resets += reset < 0 ? 0 : 1;
  }
  expect({ [tab.id]: told }).toEqual({ [tab.id]: expected });
}

/** Topics that were told anew because nobody knew what was missing. */
let resets = 0;

const states = (tabs: Iterable<Tab>) => new Set([...tabs].map(({ state }) => state));
const said = (type: string) => server.live[0]!.heard.filter((frame) => frame.type === type);

describe("five tabs", () => {
  let tabs: Tab[];
  let leader: Tab;
  let others: Tab[];

  beforeEach(async () => {
    tabs = await opens(5);
    [leader, ...others] = tabs as [Tab, ...Tab[]];
  });

  const happens = async (count = 3) => {
    for (let n = 0; n < count; n++) for (const topic of TOPICS) server.happens(topic);
    await soon();
  };
  const areWhole = () => {
    expect(states(browser.tabs)).toEqual(new Set(["connected"]));
    for (const tab of browser.tabs) hasAll(tab);
    expect(server.live.length).toBe(1);
  };

  it("have one socket, and each hears everything once and in order (L8.1, L8.4)", async () => {
    await happens();
    areWhole();
    expect(server.sockets.length).toBe(1);
    expect(leader.leads).toBe(true);
    expect(leader.told.length).toBe(12);
  });

  it("one that comes later begins where the others stand", async () => {
    await happens();
    const [late] = (await opens(1)) as [Tab];
    await happens();
    expect(late.begun![GENERAL]).toBe(8);
    areWhole();
  });

  it("tell the server how many they are, whenever that changes, and a new connection anew (F5.15)", async () => {
    expect(said("tabs").map((frame) => frame.type === "tabs" && frame.count)).toEqual([2, 3, 4, 5]);
    others[0]!.dies();
    await soon();
    expect(said("tabs").at(-1)).toEqual({ type: "tabs", count: 4 });
    leader.dies();
    await soon();
    areWhole();
    expect(said("tabs").at(-1)).toEqual({ type: "tabs", count: 3 });
  });

  it("when the leading one is closed another resumes at once", async () => {
    await happens();
    leader.stops();
    leader.dies();
    server.happens(GENERAL);
    await soon();
    areWhole();
    expect(server.sockets.length).toBe(2);
  });

  it("when the leading one crashes another resumes at once, in its place (L8.8)", async () => {
    await happens();
    leader.dies();
    await happens();
    areWhole();
    expect(server.live[0]!.heard[0]).toMatchObject({ type: "hello", replaces: "c0" });
  });

  it("when the leading one is frozen another resumes at once, and it comes back as one of the others", async () => {
    leader.freezes();
    await happens();
    expect(browser.leader).not.toBe(leader);
    expect(server.live.length).toBe(1);
    await happens();
    leader.thaws();
    await soon(1_000);
    areWhole();
  });

  it("when the leading one falls silent a visible one takes over within a second (L8.8)", async () => {
    leader.hangs();
    server.happens(GENERAL);
    await soon(1_000);
    for (const tab of others) hasAll(tab);
    expect(states(others)).toEqual(new Set(["connected"]));
    leader.thaws();
    expect(states(others)).toEqual(new Set(["connected"]));
    await soon(2_000);
    await happens();
    areWhole();
    expect(browser.leader).not.toBe(leader);
  });

  it("hidden ones do not judge it", async () => {
    for (const tab of others) tab.app("hidden");
    leader.hangs();
    await soon(5_000);
    expect(leader.leads).toBe(true);
    others[2]!.app("foreground");
    await soon(1_000);
    expect(others[2]!.leads).toBe(true);
    leader.thaws();
    await soon(2_000);
    await happens();
    areWhole();
  });

  it("a visible one leaves the lead to a hidden one that is well", async () => {
    leader.app("hidden");
    await soon(60_000);
    expect(leader.leads).toBe(true);
    expect(server.sockets.length).toBe(1);
  });

  it("one that stood still itself does not blame the leading one", async () => {
    others[0]!.hangs();
    await soon(5_000);
    others[0]!.thaws();
    await soon(1_000);
    expect(leader.leads).toBe(true);
    await happens();
    areWhole();
  });

  it("when the link is lost all are reconnecting, and the server is dialled by one at a time", async () => {
    server.isDown = true;
    server.live[0]!.ends(1006);
    await soon(10);
    expect(states(tabs)).toEqual(new Set(["reconnecting"]));
    const before = server.sockets.length;
    await soon(20_000);
    expect(server.sockets.length - before).toBeLessThan(15);
    server.isDown = false;
    server.happens(GENERAL);
    for (const tab of tabs) tab.driver.input({ type: "retry_now" });
    await soon(20_000);
    areWhole();
  });

  it("when the line has died in a sleep that shows within three seconds, once, and to all (L9.10)", async () => {
    const breaks: unknown[] = [];
    for (const { driver } of tabs) {
      driver.listeners.on("connection.changed", ({ from, to }) => from.state === "connected" && breaks.push(to.cause));
    }
    server.live[0]!.isDead = true;
    for (const tab of tabs) tab.app("hidden");
    for (const tab of tabs) tab.app("foreground");
    await soon(2_900);
    expect(breaks).toEqual([]);
    await soon(1_000);
    expect(breaks).toEqual(tabs.map(() => "dead_link"));
    await happens();
    expect(states(tabs)).toEqual(new Set(["connected"]));
    for (const tab of tabs) hasAll(tab);
  });

  it("when the server ends it for good, it is over for all", async () => {
    server.live[0]!.ends(4005);
    await soon();
    expect(states(tabs)).toEqual(new Set(["failed"]));
    expect(server.live.length).toBe(0);
    others[1]!.app("hidden");
    others[1]!.app("foreground");
    await soon(3_000);
    expect(others[1]!.state).toBe("connected");
  });

  it("a token that is refused is one tab's own affair", async () => {
    server.live[0]!.ends(4002);
    await soon();
    expect(leader.state).toBe("failed");
    await soon(1_000);
    expect(states(others)).toEqual(new Set(["connected"]));
    expect(server.live[0]!.heard[0]).toMatchObject({ token: expect.stringMatching(/of-tab-[1-4]/) });
  });

  it("one that disconnects leaves the others connected, also if it led", async () => {
    void leader.driver.disconnect();
    await soon();
    expect(leader.state).toBe("offline");
    await soon(1_000);
    expect(states(others)).toEqual(new Set(["connected"]));
    expect(server.sockets[0]!.heard.at(-1)).toMatchObject({ type: "bye", intent: "park" });
    leader.driver.connect();
    await soon();
    await happens();
    areWhole();
  });

  it("who logs out in one is logged out in all, and nobody dials", async () => {
    void others[2]!.driver.disconnectUser("outbox");
    await soon();
    expect(states(tabs)).toEqual(new Set(["closed"]));
    expect(server.live.length).toBe(0);
    expect(server.sockets.length).toBe(1);
    expect(server.sockets[0]!.heard.at(-1)).toMatchObject({ type: "bye", intent: "leave" });
  });

  it("who logs out in the leading one is logged out in all, and nobody dials", async () => {
    void leader.driver.disconnectUser("outbox");
    await soon();
    expect(states(tabs)).toEqual(new Set(["closed"]));
    expect(server.sockets.length).toBe(1);
    expect(server.sockets[0]!.heard.at(-1)).toMatchObject({ type: "bye", intent: "leave" });
  });

  it("are hidden when all of them are (L8.7)", async () => {
    for (const tab of tabs) tab.app("hidden");
    await soon();
    expect(said("app_state")).toEqual([{ type: "app_state", state: "hidden" }]);
    others[3]!.app("foreground");
    await soon();
    expect(said("app_state").at(-1)).toEqual({ type: "app_state", state: "foreground" });
    // It crashed, and is looked at no more.
    others[3]!.dies();
    await soon();
    expect(said("app_state").at(-1)).toEqual({ type: "app_state", state: "hidden" });
  });

  it("subscribe to the presence that the widest of them needs", async () => {
    others[0]!.driver.input({ type: "presence", subscription: "friends" });
    others[1]!.driver.input({ type: "presence", subscription: "all" });
    await soon();
    expect(said("presence").at(-1)).toEqual({ type: "presence", subscription: "all" });
    others[1]!.dies();
    await soon();
    expect(said("presence").at(-1)).toEqual({ type: "presence", subscription: "friends" });
    others[2]!.driver.input({ type: "presence", subscription: { friends_and: ["bob"] } });
    others[3]!.driver.input({ type: "presence", subscription: { friends_and: ["carol", "bob"] } });
    await soon();
    expect(said("presence").at(-1)).toEqual({ type: "presence", subscription: { friends_and: ["bob", "carol"] } });
    // One of them has lost something.
    others[3]!.driver.input({ type: "send", frame: { type: "presence" } });
    await soon();
    expect(said("presence").at(-1)).toEqual({ type: "presence" });
  });

  it("watch a channel as long as one of them does, and only those hear it", async () => {
    const topic = `channel:${SHOW}`;
    others[0]!.watches(SHOW, 0);
    others[1]!.watches(SHOW, 0);
    await soon();
    server.happens(topic);
    await soon();
    const heard = () => tabs.filter(({ told }) => told.includes(`${topic} ${server.heads[topic]}`));
    expect(heard()).toEqual([others[0], others[1]]);
    others[0]!.driver.input({ type: "unwatch", topic });
    await soon();
    server.happens(topic);
    await soon();
    expect(heard()).toEqual([others[1]]);
    others[1]!.driver.input({ type: "unwatch", topic });
    await soon();
    expect(said("unwatch")).toEqual([{ type: "unwatch", topics: [topic] }]);
    // The one that comes back begins where it says, and the other is not told again.
    others[1]!.watches(SHOW, 2);
    others[0]!.watches(SHOW, 1);
    server.happens(topic);
    await soon();
    expect(others[0]!.told).toEqual([1, 2, 3].map((seq) => `${topic} ${seq}`));
    expect(others[1]!.told).toEqual([1, 2, 3].map((seq) => `${topic} ${seq}`));
  });

  it("what is watched goes on being watched when the lead changes", async () => {
    others[0]!.watches(SHOW, 0);
    await soon();
    leader.dies();
    await soon(1_000);
    server.happens(`channel:${SHOW}`);
    await soon();
    expect(others[0]!.told).toEqual([`channel:${SHOW} 1`]);
  });

  it("each measures the way to the server, and gets its own answer", async () => {
    const pings = tabs.map(({ driver }) => driver.ping({}));
    await soon();
    for (const ms of await Promise.all(pings)) expect(ms).toBeGreaterThanOrEqual(4);
    expect(said("ping").length).toBe(5);
  });

  it("the token of those who listen goes nowhere", async () => {
    const heard = JSON.stringify(server.sockets.map(({ heard }) => heard));
    expect(heard).toContain("of-tab-0");
    expect(heard).not.toMatch(/of-tab-[1-4]/);
  });
});

describe("what tabs share beside the connection", () => {
  const asked = () => [...browser.tabs].reduce((sum, tab) => sum + tab.asked, 0);
  const writes = (tab: Tab, text: string) => void tab.writes("messaging:general", text).catch(() => {});
  let sent: string[];
  let isRefused = false;

  beforeEach(() => {
    sent = [];
    isRefused = false;
    server.calls.on(/^POST .*messages$/, ({ message: draft }: { message: { id: string; text: string } }) => {
      if (isRefused) throw new Refusal(503, "unavailable");
      sent.push(draft.text);
      return { message: message("messaging:general", sent.length, draft) };
    });
  });

  it("after a sleep one provider is asked once for all, and nothing fails (L9.12)", async () => {
    const tabs = await opens(10);
    const before = asked();
    const failed: string[] = [];
    for (const { driver } of tabs) driver.listeners.on("connection.changed", ({ to }) => failed.push(to.state));
    server.refuses = "token-1-of-tab-0";
    let calls = 0;
    server.calls.on(/GET .*channels/, (_: never, _path: string, token: string) => {
      calls++;
      if (token === server.refuses) throw new Refusal(401, "token_expired");
      return { channels: [] };
    });
    for (const socket of server.live) socket.ends(1006);
    for (const tab of tabs) tab.does(() => tab.driver.input({ type: "woke" }));
    await soon(1_000);
    const answers = tabs.map((tab) => tab.reads("messaging:general"));
    await soon(5_000);
    await Promise.all(answers);
    expect(calls).toBeGreaterThanOrEqual(10);
    expect(asked() - before).toBe(1);
    expect(failed).not.toContain("failed");
    expect(states(tabs)).toEqual(new Set(["connected"]));
    expect(server.live.length).toBe(1);
  });

  it("a message that a tab did not send before it crashed is sent by another, once (L8.6)", async () => {
    const tabs = await opens(3);
    isRefused = true;
    writes(tabs[2]!, "unsent");
    writes(tabs[0]!, "of the first");
    await soon(10);
    tabs[2]!.dies();
    await soon(10);
    tabs[0]!.dies();
    await soon(1_000);
    isRefused = false;
    await soon(30_000);
    expect(sent.sort()).toEqual(["of the first", "unsent"]);
    expect(tabs[1]!.driver.outbox.kept()).toEqual([]);
  });

  it("what a tab keeps holds the messages of all (L8.6)", async () => {
    const tabs = await opens(2);
    isRefused = true;
    writes(tabs[0]!, "one");
    writes(tabs[1]!, "two");
    await soon(10);
    const late = browser.opens();
    await soon(10);
    for (const tab of [...tabs, late]) {
      const texts = tab.driver.lasting().outbox!.map(({ draft }) => draft.text);
      expect(texts.sort()).toEqual(["one", "two"]);
    }
  });

  it("all tell by which way the connection goes, and which ones did not get through", async () => {
    const tabs = await opens(2);
    expect(tabs.map(({ driver }) => driver.connection.get().transport)).toEqual(["web_socket", "web_socket"]);
  });
});

it("where there are no locks to be had each tab has a connection of its own (L8.5)", async () => {
  browser.locks.isDenied = true;
  const tabs = await opens(3);
  expect(states(tabs)).toEqual(new Set(["connected"]));
  expect(server.live.length).toBe(3);
  server.happens(GENERAL);
  await soon();
  for (const tab of tabs) hasAll(tab);
  tabs[1]!.dies();
  await soon(1_000);
  expect(states(browser.tabs)).toEqual(new Set(["connected"]));
  expect(server.sockets.length).toBe(3);
});

it("tabs of unlike versions have a connection each", async () => {
  const old = [browser.opens(1), browser.opens(1)];
  const fresh = [browser.opens(2), browser.opens(2)];
  await soon();
  expect(states([...old, ...fresh])).toEqual(new Set(["connected"]));
  expect(server.live.length).toBe(2);
});

it("tabs that open while the server is away are all connected when it is back", async () => {
  server.isDown = true;
  for (let n = 0; n < 5; n++) browser.opens();
  await soon(5_000);
  server.isDown = false;
  await soon(25_000);
  expect(states(browser.tabs)).toEqual(new Set(["connected"]));
  expect(server.live.length).toBe(1);
});

it("a tab that logs in again right after a logout stays", async () => {
  const tabs = await opens(2);
  void tabs[0]!.driver.disconnectUser("outbox");
  await soon();
  const again = browser.opens();
  await soon(1_000);
  expect(again.state).toBe("connected");
});

it("what several tabs wish is one wish", () => {
  expect(foremost(["hidden", "background", undefined])).toBe("hidden");
  expect(foremost(["hidden", "foreground"])).toBe("foreground");
  expect(widest(["none", undefined])).toBe("none");
  expect(widest([{ roles: ["admin"] }, "none", { roles: ["admin", "guest"] }])).toEqual({ roles: ["admin", "guest"] });
  expect(widest([{ roles: ["admin"] }, "friends"])).toBe("all");
});

describe("no event is lost or told twice in any tab", () => {
  /** One takes a tenth of a second where nothing else runs. */
  const HISTORY_MS = 30_000;
  const [first = 1, last = 200] = (process.env["TAB_HISTORIES"] ?? "").split("-").filter(Boolean).map(Number);
  const SEEDS = Array.from({ length: last - first + 1 }, (_, n) => n + first);

  beforeEach(() => void (resets = 0));

  it.each(SEEDS)("in the history %i", async (seed) => {
    const chance = new Chance(seed);
    vi.spyOn(Math, "random").mockImplementation(() => chance.next());
    begins();
    browser.opens();
    await soon();
    for (let step = 0; step < 60; step++) {
      const { tabs, leader } = browser;
      const awake = [...tabs].filter(({ isFrozen }) => !isFrozen);
      const tab = chance.pick([...tabs]);
      chance.pick([
        () => server.happens(chance.pick(TOPICS)),
        () => server.happens(chance.pick(TOPICS)),
        () => server.happens(chance.pick(TOPICS)),
        () => server.happens(chance.pick(TOPICS)),
        () => tabs.size < 6 && browser.opens(),
        () => tabs.size > 1 && tab.dies(),
        () => awake.length > 1 && leader && !leader.isFrozen && leader.freezes(),
        () => awake.length > 1 && leader && !leader.isFrozen && leader.hangs(),
        () => tab.isFrozen && tab.thaws(),
        () => tab.isFrozen || tab.app(chance.pick(["hidden", "foreground"])),
        () => server.live.forEach((socket) => socket.ends(chance.pick([1006, 4200, 1012, 4100]))),
        () => (server.isDown = chance.below(3) === 0),
      ])();
      await soon(chance.pick([0, 1, 3, 10, 100, 700, 3_000]));
    }
    server.isDown = false;
    for (const tab of browser.tabs) {
      if (tab.isFrozen) tab.thaws();
      tab.app("foreground");
      tab.driver.input({ type: "retry_now" });
    }
    await soon(60_000);
    for (const topic of TOPICS) server.happens(topic);
    await soon(1_000);
    expect(states(browser.tabs)).toEqual(new Set(["connected"]));
    expect(server.live.length).toBe(1);
    for (const tab of browser.tabs) hasAll(tab);
    // The server keeps everything: nothing needs to be loaded anew.
    expect(resets).toBe(0);
    vi.restoreAllMocks();
  }, HISTORY_MS);
});
