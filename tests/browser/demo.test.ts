// The demo as people use it: two of them, in a real browser, on the pages that the binary serves.

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { AxeBuilder } from "@axe-core/playwright";
import type { Locator } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { browser, type Browser, type BrowserContext, complaints, eventually, type Page, Sockets, TestServer } from "./kit.js";

const SCREENSHOTS = fileURLToPath(new URL("../../target/screenshots/", import.meta.url));
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

let server: TestServer;
let chrome: Browser;
let users = 0;
/** What was opened by the story that runs. */
let open: { page: Page; context: BrowserContext; said: string[]; harmless: RegExp[] }[] = [];

beforeAll(async () => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  server = await TestServer.start();
  chrome = await browser();
});
afterAll(() => Promise.all([server?.end(), chrome?.close()]));
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") {
    // What it looked like, for whoever has to find out why.
    for (const [n, { page }] of open.entries()) {
      await page.screenshot({ path: `${SCREENSHOTS}failed-${n}.png` });
      console.log(`${task.name}, page ${n}: ${await page.locator("body").ariaSnapshot()}`);
    }
  }
  const said = open.flatMap(({ said, harmless }) => said.filter((text) => !harmless.some((one) => one.test(text))));
  await Promise.all(open.map(({ context }) => context.close()));
  open = [];
  expect(said).toEqual([]);
});

type Look = { viewport?: typeof DESKTOP; colorScheme?: "light" | "dark" };

/** A browser of its own on the demo. */
async function visit(query: string, look: Look = {}): Promise<Page> {
  const context = await chrome.newContext({
    viewport: DESKTOP,
    reducedMotion: "reduce",
    hasTouch: look.viewport === PHONE,
    permissions: ["clipboard-read", "clipboard-write"],
    ...look,
  });
  const page = await context.newPage();
  open.push({ page, context, said: complaints(page), harmless: [] });
  await page.goto(`${server.url}/demo/${query}`);
  return page;
}

/** Lets the console of a page say this, where a story makes the server refuse something or go away. */
function tolerate(page: Page, harmless: RegExp): void {
  open.find((one) => one.page === page)!.harmless.push(harmless);
}

/** Two people of this story alone, and a channel of both. */
async function two(): Promise<{ ann: string; ben: string; cid: string }> {
  const n = users++;
  const [ann, ben, id] = [`ann-${n}`, `ben-${n}`, `den-${n}`];
  await server.backend.upsertUsers([
    { id: ann, name: "Ann" },
    { id: ben, name: "Ben" },
  ]);
  await server.backend.asUser(ann).channel("messaging", id).getOrCreate({ members: [ben], data: { name: `Den ${n}` } });
  return { ann, ben, cid: `messaging:${id}` };
}

async function both(look?: Look): Promise<{ ann: Page; ben: Page; cid: string; ids: { ann: string; ben: string } }> {
  const { ann, ben, cid } = await two();
  const [a, b] = await Promise.all([visit(`?user=${ann}&channel=${cid}`, look), visit(`?user=${ben}&channel=${cid}`, look)]);
  await Promise.all([composer(a).waitFor(), composer(b).waitFor()]);
  return { ann: a, ben: b, cid, ids: { ann, ben } };
}

const composer = (page: Page) => page.getByRole("textbox", { name: /^(Message|Edit message)$/ });
const log = (page: Page) => page.getByRole("log");
const articles = (page: Page) => log(page).getByRole("article");
const article = (page: Page, text: string) => articles(page).filter({ hasText: text });
const channels = (page: Page) => page.getByRole("navigation", { name: "Chats" });

async function say(page: Page, text: string): Promise<void> {
  await composer(page).fill(text);
  await composer(page).press("Enter");
}

/** Points at a message, or touches it where there is no pointer: then it shows what can be done with it. */
async function reach(message: Locator): Promise<void> {
  await message.hover();
  if (open.at(-1)!.page.viewportSize()!.width < 700) await message.tap();
}

/** The messages that are shown, as they follow one another. */
async function texts(page: Page, pattern: RegExp): Promise<string[]> {
  const all = await articles(page).allInnerTexts();
  return all.flatMap((text) => pattern.exec(text)?.[0] ?? []);
}

async function isAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  expect(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)).toEqual([]);
}

describe("chatting", () => {
  it("what one says the other reads, with marks of having read, and each sees the other type", async () => {
    const { ann, ben } = await both();
    await say(ann, "Hello Ben");
    await article(ben, "Hello Ben").waitFor();
    await log(ann).getByRole("img", { name: /Read by Ben/ }).first().waitFor();
    await composer(ben).pressSequentially("I am typ");
    await ann.getByText("Ben is typing…").first().waitFor();
    await say(ben, "Hello Ann");
    await article(ann, "Hello Ann").waitFor();
    await eventually(async () => (await ann.getByText("Ben is typing…").count()) === 0, "the end of the typing");
    await log(ann).getByRole("separator", { name: "Today" }).waitFor();
    await log(ann).getByRole("article", { name: /^You, / }).waitFor();
    await log(ann).getByRole("article", { name: /^Ben, / }).waitFor();
  });

  it("a message is edited by the arrow key, and taken back after a question", async () => {
    const { ann, ben } = await both();
    await say(ann, "Good mornin");
    await article(ben, "Good mornin").waitFor();
    await composer(ann).press("ArrowUp");
    await eventually(async () => (await composer(ann).inputValue()) === "Good mornin", "the text in the composer");
    await composer(ann).press("Escape");
    expect(await composer(ann).inputValue()).toBe("");
    await composer(ann).press("ArrowUp");
    await composer(ann).fill("Good morning");
    await composer(ann).press("Enter");
    await article(ben, "Good morning").getByText(/edited/i).waitFor();
    await article(ann, "Good morning").hover();
    await article(ann, "Good morning").getByRole("button", { name: "Delete" }).click();
    const dialog = ann.getByRole("dialog", { name: "Delete this message?" });
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await article(ann, "Good morning").waitFor();
    await article(ann, "Good morning").hover();
    await article(ann, "Good morning").getByRole("button", { name: "Delete" }).click();
    await dialog.getByRole("button", { name: "Delete" }).click();
    await article(ben, "Good morning").waitFor({ state: "detached" });
    await log(ben).getByText(/deleted/i).waitFor();
  });

  it("a message is copied as it was written", async () => {
    const { ann } = await both();
    await say(ann, "take me along");
    await article(ann, "take me along").hover();
    await article(ann, "take me along").getByRole("button", { name: "Copy" }).click();
    await eventually(
      async () => (await ann.evaluate(() => navigator.clipboard.readText())) === "take me along",
      "the text in the clipboard",
    );
  });

  it("what people write is text and nothing else, and only web addresses are links", async () => {
    const { ann, ben } = await both();
    const hostile = `<img src=x onerror="document.title='owned'"> javascript:alert(1) https://example.com/a?b=1`;
    await say(ann, hostile);
    const shown = article(ben, "<img src=x");
    await shown.waitFor();
    await shown.getByRole("link").waitFor();
    const addresses = await shown.getByRole("link").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
    expect(addresses).toEqual(["https://example.com/a?b=1"]);
    expect(await shown.getByRole("link").getAttribute("rel")).toContain("noopener");
    expect(await ben.title()).not.toBe("owned");
  });

  it("a refused message stays with its reason, until it is sent again or discarded", async () => {
    const { ann, ben } = await both();
    const refuse = { code: "not_allowed", status: 403, message: "Not just now.", hint: "", retryable: false, docs: "/docs/errors/not_allowed" };
    await ann.route("**/messages", (route) => route.fulfill({ status: 403, json: { error: refuse } }));
    tolerate(ann, /status of 403/);
    await say(ann, "first try");
    await say(ann, "second thoughts");
    await log(ann).getByText("Not sent. Not just now.").nth(1).waitFor();
    await ann.unroute("**/messages");
    await article(ann, "first try").getByRole("button", { name: "Retry" }).click();
    await article(ben, "first try").waitFor();
    await article(ann, "second thoughts").getByRole("button", { name: "Discard" }).click();
    await article(ann, "second thoughts").waitFor({ state: "detached" });
    expect(await article(ben, "second thoughts").count()).toBe(0);
  });

  it("a channel that is not open counts what is unread, comes to the top, and is read when it is opened", async () => {
    const { ann, ben, cid, ids } = await both();
    const other = server.backend.asUser(ids.ann).channel("messaging", `${cid.split(":")[1]}-other`);
    await other.getOrCreate({ members: [ids.ben], data: { name: "Elsewhere" } });
    await other.send("one");
    await other.send("two");
    const row = channels(ben).getByRole("link", { name: /Elsewhere/ });
    await row.getByText("2").first().waitFor();
    expect(await channels(ben).getByRole("link").first().innerText()).toContain("Elsewhere");
    await eventually(async () => /^\(2\)/.test(await ben.title()), "the count in the title");
    await row.click();
    await article(ben, "two").waitFor();
    await log(ben).getByRole("separator", { name: "New messages" }).waitFor();
    await eventually(async () => !/^\(/.test(await ben.title()), "the end of the count");
    await eventually(async () => (await other.state(0)).reads.some(({ user_id }) => user_id === ids.ben), "the read mark");
    await ann.bringToFront();
  });

  it("older messages come as one scrolls up, and one finds the way back down to new ones", async () => {
    const { ann, ben, cid } = await two();
    const channel = server.backend.asUser(ben).channelAt(cid);
    for (let n = 1; n <= 150; n++) await channel.send(`number ${n}.`);
    await server.backend.asUser(ann).channelAt(cid).markRead();
    const page = await visit(`?user=${ann}&channel=${cid}`);
    await article(page, "number 150.").waitFor();
    await articles(page).last().hover();
    await eventually(async () => {
      await page.mouse.wheel(0, -2_000);
      return (await article(page, "number 1.").count()) > 0;
    }, "the first message");
    // Far from the end a new one does not move what is read; a button tells of it.
    await channel.send("number 151.");
    const jump = page.getByRole("button", { name: /Jump to latest, 1 new message/ });
    await jump.waitFor();
    expect(await article(page, "number 1.").isVisible()).toBe(true);
    await jump.click();
    await article(page, "number 151.").waitFor();
    await eventually(async () => {
      const shown = await texts(page, /number \d+\./);
      return shown.at(-1) === "number 151." && shown.every((text, n) => text === `number ${152 - shown.length + n}.`);
    }, "the latest in their order");
  });
});

describe("finding one's way", () => {
  it("somebody new joins by a name, and begins a chat of two", async () => {
    await server.backend.upsertUsers([{ id: "bob", name: "Bob" }]);
    const page = await visit("");
    const sockets = await Sockets.of(page, server.url);
    await page.getByRole("link", { name: "Continue as Alice" }).waitFor();
    await isAccessible(page);
    await page.screenshot({ path: `${SCREENSHOTS}sign-in.png` });
    await page.getByLabel("Or as somebody new").fill("Zoë Müller");
    await page.getByRole("button", { name: "Join" }).click();
    await page.getByRole("heading", { name: /Hello, Zoë Müller/ }).waitFor();
    expect(new URL(page.url()).searchParams.get("user")).toMatch(/^[a-z0-9@_-]+$/);
    await page.getByRole("button", { name: "Chat with Bob" }).click();
    await composer(page).waitFor();
    await say(page, "Nice to meet you");
    const bob = await visit("?user=bob");
    await channels(bob).getByRole("link", { name: /Zoë Müller/ }).getByText("Nice to meet you").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("link", { name: "Continue as Alice" }).waitFor();
    await eventually(() => sockets.live === 0, "the end of the socket");
    expect(sockets.most).toBe(1);
  });

  it("a channel is made with a name and members, by the keyboard alone", async () => {
    const { ann, ben } = await two();
    const page = await visit(`?user=${ann}`);
    await page.getByRole("button", { name: "New chat" }).focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: "New chat" });
    await dialog.waitFor();
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await page.keyboard.press("Enter");
    await dialog.getByRole("radio", { name: "Channel" }).focus();
    await page.keyboard.press("Space");
    await isAccessible(page);
    await page.screenshot({ path: `${SCREENSHOTS}new-chat.png` });
    await dialog.getByRole("textbox", { name: "Name" }).fill("Plans");
    await dialog.getByRole("textbox", { name: "Members" }).fill(ben);
    // The first takes the member, the second makes the channel.
    await page.keyboard.press("Enter");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Plans", level: 1 }).waitFor();
    await say(page, "by the keyboard");
    const other = await visit(`?user=${ben}`);
    await channels(other).getByRole("link", { name: /Plans/ }).waitFor();
  });

  it("on a phone the list and the channel are two screens, and back leads back", async () => {
    const { ann, cid } = await two();
    const page = await visit(`?user=${ann}`, { viewport: PHONE });
    await channels(page).getByRole("link", { name: /Den/ }).click();
    await composer(page).waitFor();
    expect(await channels(page).isVisible()).toBe(false);
    expect(new URL(page.url()).searchParams.get("channel")).toBe(cid);
    await page.goBack();
    await channels(page).getByRole("link", { name: /Den/ }).click();
    await page.getByRole("button", { name: /back/i }).or(page.getByRole("link", { name: /back/i })).click();
    await eventually(() => channels(page).isVisible(), "the list");
    expect(await composer(page).isVisible()).toBe(false);
    const tooWide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    expect(tooWide).toBe(false);
  });

  it("two users stand side by side by a link, each with a connection of its own", async () => {
    const { ann, ben, cid } = await two();
    const page = await visit(`?side=${ann},${ben}&channel=${cid}`);
    const [left, right] = [page.frameLocator("iframe").first(), page.frameLocator("iframe").last()];
    const box = left.getByRole("textbox", { name: "Message", exact: true });
    await box.fill("over to you");
    await box.press("Enter");
    await right.getByRole("log").getByRole("article").filter({ hasText: "over to you" }).waitFor();
    await page.screenshot({ path: `${SCREENSHOTS}side-by-side.png` });
  });

  it("presence shows who is there", async () => {
    const { ann, ben } = await two();
    const page = await visit(`?user=${ann}`);
    await page.getByRole("button", { name: "New chat" }).click();
    const dialog = page.getByRole("dialog", { name: "New chat" });
    await dialog.getByRole("textbox").first().fill(ben);
    await page.keyboard.press("Enter");
    await composer(page).waitFor();
    const other = await visit(`?user=${ben}`);
    await page.getByRole("main").getByText(/^online$/i).first().waitFor();
    await other.getByRole("button", { name: "Sign out" }).click();
    await eventually(
      async () => (await page.getByRole("main").getByText(/^online$/i).count()) === 0,
      "the end of the presence",
    );
  });
});

describe("when the server goes away", () => {
  it("a banner tells it, and afterwards everything is there once and in order", async () => {
    const { ann, ben, ids, cid } = await both();
    const counted = await Sockets.of(ann, server.url);
    for (const page of [ann, ben]) tolerate(page, /ERR_CONNECTION|WebSocket connection|Failed to load resource/);
    for (let n = 1; n <= 5; n++) await say(ann, `before ${n};`);
    await article(ben, "before 5;").waitFor();
    await server.kill();
    await ann.getByRole("status", { name: "Connection" }).getByText("Connection lost").waitFor();
    await ann.getByRole("button", { name: "Try now" }).waitFor();
    await isAccessible(ann);
    await ann.screenshot({ path: `${SCREENSHOTS}reconnecting.png` });
    for (let n = 1; n <= 5; n++) await say(ann, `during ${n};`);
    await say(ben, "from the other side;");
    await article(ann, "during 5;").getByRole("img", { name: /sending|waiting|pending/i }).waitFor();
    await server.start();
    await ann.getByRole("button", { name: "Try now" }).click({ timeout: 2_000 }).catch(() => {});
    await Promise.all([article(ben, "during 5;").waitFor(), article(ann, "from the other side;").waitFor()]);
    await eventually(
      async () => (await ann.getByRole("status", { name: "Connection" }).innerText()) === "",
      "the end of the banner",
    );
    const pattern = /(before|during) \d;|from the other side;/;
    await eventually(async () => (await texts(ann, pattern)).join() === (await texts(ben, pattern)).join(), "one order");
    const ofAnn = (await texts(ann, pattern)).filter((text) => !text.startsWith("from"));
    const five = [1, 2, 3, 4, 5];
    expect(ofAnn).toEqual([...five.map((n) => `before ${n};`), ...five.map((n) => `during ${n};`)]);
    const stored = await server.backend.asUser(ids.ann).channelAt(cid).messages({ limit: 100 });
    expect(stored.messages.length).toBe(11);
    expect(counted.most).toBeLessThanOrEqual(1);
  });
});

describe("with ten thousand messages", () => {
  it("it scrolls through all of them without a pause that one would feel", async () => {
    const { ann, ben, cid } = await two();
    const channel = server.backend.asUser(ben).channelAt(cid);
    for (let n = 0; n < 10_000; n += 50) {
      // One after the other within a batch would take long, and the order among fifty does not matter here.
      await Promise.all(Array.from({ length: 50 }, (_, m) => channel.send(`message ${n + m + 1}: some words to read`)));
    }
    const page = await visit(`?user=${ann}&channel=${cid}`);
    await articles(page).last().waitFor();
    await articles(page).last().hover();
    await page.evaluate(() => {
      const pauses: number[] = [];
      Object.assign(window, { pauses });
      new PerformanceObserver((list) => pauses.push(...list.getEntries().map(({ duration }) => duration))).observe({
        type: "longtask",
      });
    });
    const until = Date.now() + 100_000;
    while ((await page.getByText("This is where the channel begins.").count()) === 0) {
      if (Date.now() > until) throw new Error("the first message did not come");
      await page.mouse.wheel(0, -20_000);
    }
    // All are loaded; only some are in the page.
    expect(await articles(page).count()).toBeLessThan(200);
    const pauses = await page.evaluate(() => (window as unknown as { pauses: number[] }).pauses.sort((a, b) => a - b));
    console.log(`long tasks: ${pauses.length}, the longest ${pauses.at(-1) ?? 0} ms`);
    // Far above what a person feels, because test machines are busy: it is for a list that does all rows anew.
    expect(pauses.at(-1) ?? 0).toBeLessThan(2_000);
    await page.getByRole("button", { name: /Jump to latest/ }).click();
    await say(page, "and one more");
    await article(page, "and one more").waitFor();
  });
});

describe("how it looks", () => {
  const looks = (["light", "dark"] as const).flatMap((colorScheme) =>
    Object.entries({ desktop: DESKTOP, phone: PHONE }).map(([name, viewport]) => ({ name: `${name}-${colorScheme}`, viewport, colorScheme })),
  );

  it.each(looks)("$name: every state is written down for a person to look at, and accessible", async ({ name, ...look }) => {
    const { ann, ben, cid } = await two();
    const list = await visit(`?user=${ann}`, look);
    await channels(list).getByRole("link", { name: /Den/ }).waitFor();
    const shot = async (page: Page, state: string) => {
      await isAccessible(page);
      await page.screenshot({ path: `${SCREENSHOTS}${name}-${state}.png` });
    };
    await shot(list, "list");
    const a = await visit(`?user=${ann}&channel=${cid}`, look);
    const b = await visit(`?user=${ben}&channel=${cid}`, look);
    await composer(a).waitFor();
    await shot(a, "empty");
    await say(a, "Hello! Did you see https://example.com/a-rather-long-address/that-does-not-end?");
    await say(b, "I did 🎉");
    await say(b, "🎉🎉");
    await say(b, "A long answer, so that the bubble has more than one line to break, as answers of people who explain things tend to have.");
    await say(a, "to be taken back");
    await article(b, "to be taken back").waitFor();
    await reach(article(a, "to be taken back"));
    await article(a, "to be taken back").getByRole("button", { name: "Delete" }).click();
    await shot(a, "delete");
    await a.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await log(a).getByText(/deleted/i).waitFor();
    await composer(b).pressSequentially("ty");
    await a.getByText("Ben is typing…").first().waitFor();
    await shot(a, "chat");
    tolerate(a, /status of 403/);
    const refuse = { code: "not_allowed", status: 403, message: "Not just now.", hint: "", retryable: false, docs: "" };
    await a.route("**/messages", (route) => route.fulfill({ status: 403, json: { error: refuse } }));
    await say(a, "this will not go through");
    await log(a).getByText("Not sent. Not just now.").waitFor();
    await shot(a, "failed");
  });
});
