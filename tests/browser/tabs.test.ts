// Tabs of one browser share one connection: counted by the browser's own protocol and by the server, while the tab that
// has it is closed, crashes, or stands still.

import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";

import { browser, type Browser, type BrowserContext, eventually, Fixture, type Page, Sockets, TestServer } from "./kit.js";

/** The longest time without a connection when another tab takes over. */
const TAKE_OVER_MS = 1_000;
/** Messages are sent this far apart. */
const PACE_MS = 20;

let server: TestServer;
let fixture: Fixture;
let chrome: Browser;
let context: BrowserContext;
let tabs: { page: Page; sockets: Sockets }[];
let room: ReturnType<ReturnType<TestServer["backend"]["asUser"]>["channel"]>;
let token: string;
let rooms = 0;
/** Which tabs gave a token, one after the other. */
let asked: Page[];

beforeAll(async () => {
  server = await TestServer.start();
  chrome = await browser();
  fixture = await Fixture.serve();
  await server.backend.upsertUsers([{ id: "alice" }, { id: "bob" }]);
  token = await server.backend.createToken("alice");
});
afterAll(() => Promise.all([server?.end(), fixture?.end(), chrome?.close()]));

beforeEach(async () => {
  room = server.backend.asUser("bob").channel("messaging", `room-${rooms++}`);
  await room.getOrCreate({ members: ["alice", "bob"] });
  context = await chrome.newContext();
  tabs = [];
  asked = [];
});
afterEach(async () => {
  await context.close();
  await eventually(async () => (await server.connections()) === 0, "the end of all connections");
});

/** `ttlSeconds`: the tabs are asked for tokens that live so long. */
async function open(count: number, share = "on", ttlSeconds?: number): Promise<void> {
  const query = new URLSearchParams({ url: server.url, app: server.appKey, share });
  if (ttlSeconds === undefined) query.set("token", token);
  for (let n = 0; n < count; n++) {
    const page = await context.newPage();
    await page.exposeFunction("giveToken", () => {
      asked.push(page);
      return server.backend.createToken("alice", { ttlSeconds });
    });
    tabs.push({ page, sockets: await Sockets.of(page, server.url) });
    await page.goto(`${fixture.url}tabs.html?${query}`);
  }
  await areConnected();
}

const areConnected = () =>
  Promise.all(tabs.map(({ page }) => page.getByRole("status").getByText("connected", { exact: true }).waitFor()));
const leader = () => tabs.find(({ sockets }) => sockets.live > 0)!;
const sockets = () => tabs.reduce((sum, { sockets }) => sum + sockets.live, 0);
const heard = (page: Page) => page.getByRole("listitem").allTextContents();

/** Sends messages one after the other while something is done; what was sent, with the time of that. */
async function talks(meanwhile: () => Promise<unknown>): Promise<{ texts: string[]; from: number }> {
  const texts: string[] = [];
  let isOver = false;
  const says = async () => {
    while (!isOver) {
      const text = `message ${texts.length}`;
      texts.push(text);
      await room.send({ text });
      await new Promise((resolve) => setTimeout(resolve, PACE_MS));
    }
  };
  const said = says();
  await eventually(() => texts.length > 10, "the first messages");
  const from = Date.now();
  await meanwhile();
  await new Promise((resolve) => setTimeout(resolve, 2 * TAKE_OVER_MS));
  isOver = true;
  await said;
  return { texts, from };
}

/** The longest time after `from` in which a tab heard nothing. */
async function silence(page: Page, from: number): Promise<number> {
  const times = await page.locator("li").evaluateAll((items) => items.map((item) => Number(item.dataset.at)));
  const later = [from, ...times.filter((at) => at > from)];
  return Math.max(...later.slice(1).map((at, n) => at - later[n]!));
}

async function haveAll(texts: string[]): Promise<void> {
  for (const { page } of tabs) {
    await eventually(async () => (await heard(page)).at(-1) === texts.at(-1), "the last message");
    expect(await heard(page)).toEqual(texts);
  }
}

it("ten tabs have one socket, and each hears everything once and in order (L8.1, L8.10, L8.11, L9.13)", async () => {
  await open(10);
  expect(sockets()).toBe(1);
  expect(await server.connections()).toBe(1);
  const { texts } = await talks(async () => {});
  await haveAll(texts);
  expect(tabs.reduce((sum, { sockets }) => sum + sockets.opened, 0)).toBe(1);
});

it("with the option off each has its own (L8.9)", async () => {
  await open(3, "off");
  expect(sockets()).toBe(3);
  expect(await server.connections()).toBe(3);
});

it("with a worker no tab has a socket, and none takes the connection along when it is closed (L8.2)", async () => {
  await open(4, "worker");
  expect(sockets()).toBe(0);
  expect(await server.connections()).toBe(1);
  const all = [...tabs];
  const { texts } = await talks(async () => {
    for (const { page } of tabs.splice(0, 3)) await page.close();
  });
  await haveAll(texts);
  expect(tabs.length).toBe(1);
  expect(all.reduce((sum, { sockets }) => sum + sockets.opened, 0)).toBe(0);
  expect(await tabs[0]!.page.locator("output").textContent()).toBe("connected");
});

it("a worker asks one of the tabs for tokens, and another when that one is gone (L8.3)", async () => {
  await open(3, "worker", 10);
  const [, , third] = tabs;
  const gave = () => new Set(asked.map((page) => tabs.findIndex((tab) => tab.page === page)));
  await eventually(() => asked.length > 3, "another token", 20_000);
  const before = asked.length;
  await third!.page.close();
  tabs.pop();
  await eventually(() => asked.length > before + 1, "a token of another tab", 40_000);
  expect([...gave()].length).toBeGreaterThan(1);
  await areConnected();
  expect(sockets()).toBe(0);
  const { texts } = await talks(async () => {});
  await haveAll(texts);
}, 90_000);

it("where the worker's script is not to be had one of the tabs has the connection (L8.2)", async () => {
  await open(3, "nowhere");
  expect(sockets()).toBe(1);
  expect(await server.connections()).toBe(1);
});

it("who logs out in one tab is logged out in all", async () => {
  await open(3);
  await tabs[2]!.page.mouse.click(1, 1);
  for (const { page } of tabs) await page.getByRole("status").getByText("closed").waitFor();
  await eventually(() => sockets() === 0, "the end of the socket");
});

/** No code of the page runs for a while. The browser itself freezes only pages that are hidden. */
async function standsStill(page: Page, warning?: string): Promise<void> {
  await page.evaluate((warning) => {
    if (warning) document.dispatchEvent(new Event(warning));
    // What it still has to say goes out before.
    setTimeout(() => {
      const until = Date.now() + 4_000;
      while (Date.now() < until);
    });
  }, warning);
}

const WAYS: [string, (page: Page) => Promise<unknown>][] = [
  ["is closed", (page) => page.close()],
  ["goes elsewhere", (page) => page.goto(`${fixture.url}elsewhere.html`)],
  [
    "crashes",
    async (page) => {
      const protocol = await context.newCDPSession(page);
      // It has no answer any more.
      void protocol.send("Page.crash").catch(() => {});
    },
  ],
  ["is told that it will be frozen, and is", (page) => standsStill(page, "freeze")],
  ["stands still without a warning", (page) => standsStill(page)],
];

it.each(WAYS)("when the leading tab %s another goes on within a second, without a gap (L8.8)", async (way, go) => {
  await open(4);
  const first = leader();
  const rest = tabs.filter((tab) => tab !== first);
  const { texts, from } = await talks(() => go(first.page));
  tabs = rest;
  await haveAll(texts);
  const silences = await Promise.all(rest.map(({ page }) => silence(page, from)));
  console.log(`the leading tab ${way}: the others heard nothing for ${silences.join(", ")} ms`);
  expect(Math.max(...silences)).toBeLessThan(TAKE_OVER_MS + 10 * PACE_MS);
  expect(sockets()).toBe(1);
});
