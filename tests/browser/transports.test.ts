// The transports over HTTP in a real browser, from a page of another origin than the server's.

import { afterAll, beforeAll, expect, it } from "vitest";

import { browser, type Browser, complaints, eventually, Fixture, TestServer } from "./kit.js";

let server: TestServer;
let fixture: Fixture;
let chrome: Browser;

beforeAll(async () => {
  server = await TestServer.start();
  chrome = await browser();
  fixture = await Fixture.serve();
  await server.backend.upsertUsers([{ id: "alice" }, { id: "bob" }]);
});
afterAll(() => Promise.all([server?.end(), fixture?.end(), chrome?.close()]));

it.each(["event_stream", "long_poll"])("by %s a page hears, speaks, and says bye as it goes", async (kind) => {
  const room = server.backend.asUser("bob").channel("messaging", kind);
  await room.getOrCreate({ members: ["alice", "bob"] });
  const page = await chrome.newPage();
  const said = complaints(page);
  const urls: string[] = [];
  page.on("request", (request) => urls.push(request.url()));
  const token = await server.backend.createToken("alice");
  const query = new URLSearchParams({ kind, url: server.url, app: server.appKey, token });
  await page.goto(`${fixture.url}transports.html?${query}`);
  await page.getByRole("status").getByText("connected").waitFor();
  expect(await server.connections()).toBe(1);

  const texts = [1, 2, 3, 4, 5].map((n) => `message ${n}`);
  for (const text of texts) await room.send({ text });
  await page.getByText("message 5").waitFor();
  expect(await page.getByRole("listitem").allTextContents()).toEqual(texts);

  await page.mouse.click(1, 1);
  await page.getByRole("status").getByText("pong 7").waitFor();

  const before = Date.now();
  await page.goto("about:blank");
  await eventually(async () => (await server.connections()) === 0, "the end of the connection");
  // A poller who does not say bye is there for 15 seconds more.
  expect(Date.now() - before).toBeLessThan(5_000);
  expect(said).toEqual([]);
  const ours = urls.filter((url) => url.startsWith(server.url));
  expect(ours.length).toBeGreaterThan(1);
  expect(ours.filter((url) => url.includes(token) || url.includes("?"))).toEqual([]);
  await page.close();
});
