// A page has one socket, whatever is done to it: counted by the browser's own protocol and by the server.

import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";

import { browser, type Browser, complaints, eventually, Fixture, type Page, Sockets, TestServer } from "./kit.js";

let server: TestServer;
let fixture: Fixture;
let chrome: Browser;
let page: Page;
let sockets: Sockets;
let said: string[];

beforeAll(async () => {
  // One after the other: what is there is ended also where the next does not come.
  server = await TestServer.start();
  chrome = await browser();
  fixture = await Fixture.serve();
  await server.backend.upsertUsers([{ id: "alice" }, { id: "bob" }]);
  await server.backend.asUser("alice").channel("livestream", "stage").getOrCreate();
});
afterAll(() => Promise.all([server?.end(), fixture?.end(), chrome?.close()]));

beforeEach(async () => {
  page = await chrome.newPage();
  said = complaints(page);
  sockets = await Sockets.of(page, server.url);
});
afterEach(async () => {
  await page.close();
  await eventually(async () => (await server.connections()) === 0, "the end of all connections");
  expect(said).toEqual([]);
});

async function open(name: string): Promise<void> {
  const [alice, bob] = await Promise.all(["alice", "bob"].map((id) => server.backend.createToken(id)));
  const tokens = JSON.stringify({ alice, bob });
  const query = new URLSearchParams({ page: name, url: server.url, app: server.appKey, tokens });
  await page.goto(`${fixture.url}?${query}`);
}

const shows = (text: string) => page.getByRole("status").getByText(text).waitFor();

it("in StrictMode it opens one, and the page chats over it (L1.30, L9.2)", async () => {
  await open("Strict");
  await shows("alice connected");
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByRole("listitem").getByText("hello").waitFor();
  expect(sockets).toMatchObject({ opened: 1, live: 1 });
  expect(await server.connections()).toBe(1);
});

it("mounted and unmounted twenty times it never has two, and none in the end", async () => {
  await open("Toggle");
  await shows("alice connected");
  for (let n = 0; n < 20; n++) {
    await page.getByRole("button", { name: "Toggle" }).click();
    await page.getByRole("status").waitFor({ state: "detached" });
    // Every second time long enough for the socket to close.
    if (n % 2) await eventually(() => sockets.live === 0, "the end of the socket");
    await page.getByRole("button", { name: "Toggle" }).click();
    await shows("alice connected");
    expect(await server.connections()).toBeLessThanOrEqual(1);
  }
  await page.getByRole("button", { name: "Toggle" }).click();
  await eventually(() => sockets.live === 0, "the end of the socket");
  expect(sockets).toMatchObject({ most: 1, opened: 11 });
});

it("navigated away from and back twenty times it never leaves one behind", async () => {
  await open("Strict");
  for (let n = 0; n < 20; n++) {
    await shows("alice connected");
    await eventually(async () => (await server.connections()) === 1, "one connection");
    if (n % 2) {
      await page.goto(`${fixture.url}elsewhere.html`);
      await page.goBack();
    } else {
      await page.reload();
    }
  }
  await shows("alice connected");
  expect(sockets.most).toBe(1);
});

it("hot-reloaded twenty times it never has two", async () => {
  await open("Strict");
  await shows("alice connected");
  for (let n = 1; n <= 20; n++) {
    fixture.edit("pages.tsx", (text) => text.replace(/"Send.*"|>Send[^<]*</, `>Send ${n}<`));
    await page.getByRole("button", { name: `Send ${n}`, exact: true }).waitFor();
    await shows("alice connected");
    expect(sockets.live).toBe(1);
  }
  expect(sockets.most).toBe(1);
  expect(await server.connections()).toBe(1);
});

it("a page that makes a new client at every render has one (L1.32)", async () => {
  await open("PerRender");
  for (let n = 1; n <= 30; n++) await page.getByRole("button", { name: `Rendered ${n} times` }).click();
  await eventually(() => sockets.live === 1, "the socket");
  expect(sockets).toMatchObject({ opened: 1, live: 1 });
  expect(await server.connections()).toBe(1);
});

it("the next user after a disconnect that nobody awaited is the right one, on one socket (L1.26, L9.21)", async () => {
  await open("NextUser");
  await shows("alice connected");
  for (const user of ["bob", "alice", "bob", "alice"]) {
    await page.getByRole("button", { name: "Next" }).click();
    await shows(`${user} connected`);
    expect(sockets).toMatchObject({ most: 1, live: 1 });
  }
  // Clicked faster than anything can follow.
  for (let n = 0; n < 7; n++) await page.getByRole("button", { name: "Next" }).click();
  await shows("bob connected");
  await eventually(() => sockets.live === 1, "one socket");
  expect(sockets.most).toBe(1);
});
