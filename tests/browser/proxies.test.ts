// A page in a real browser reaches the real server through real proxies that are in the way, and says what was.

import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";

import { browser, type Browser, eventually, Fixture, pause, Tab, TestServer } from "./kit.js";
import { Line, TestProxy } from "./proxies.js";

/** By when a message has come and gone, whatever stands in the way. */
const SOON_MS = 5_000;
const SAY_EVERY_MS = 100;

type Ending = Pick<TestContext, "onTestFinished">;

let server: TestServer;
let fixture: Fixture;
let chrome: Browser;

beforeAll(async () => {
  server = await TestServer.start();
  chrome = await browser();
  fixture = await Fixture.serve();
  await server.backend.upsertUsers([{ id: "bob" }]);
  // What the pages are made of is made once, and not in anybody's five seconds.
  const first = await Alice.begin("first", server.url);
  await first.connects();
});
afterAll(() => Promise.all([server?.end(), fixture?.end(), chrome?.close()]));

const STREAM = { from: "web_socket", to: "event_stream" };
const POLL = { from: "event_stream", to: "long_poll" };

describe.concurrent("a page gets through, says what is in the way, and climbs once it is gone", () => {
  it.sequential("where squid denies tunnels (L6.16)", async (test) => {
    const squid = await start(test, "squid", server.url, { obstacle: "denies" });
    await getsThrough(test, await Alice.begin("denied", server.url, squid.url), squid, [STREAM]);
  });

  const ways = ["refuses", "strips", "drops"] as const;
  it.sequential.for(ways)("where HAProxy %s the upgrade (L1.21, L6.14)", async (obstacle, test) => {
    const proxy = await start(test, "haproxy", server.url, { obstacle });
    await getsThrough(test, await Alice.begin(obstacle, proxy.url), proxy, [STREAM]);
  });

  it.sequential("where nginx knows no upgrade and keeps streams back", async (test) => {
    const proxy = await start(test, "nginx", server.url, { obstacle: "keeps" });
    await getsThrough(test, await Alice.begin("kept", proxy.url), proxy, [STREAM, POLL]);
  });
});

describe.concurrent("a line that is cut when it is silent", { timeout: 200_000 }, () => {
  it.for([3, 20])("for %d seconds is cut twice, and then held by heartbeats (L6.2)", async (idle, test) => {
    const proxy = await start(test, "haproxy", server.url, { obstacle: "passes", idle: `${idle}s` });
    const alice = await Alice.begin(`cut-${idle}`, proxy.url);
    await alice.connects();
    const quietMs = 3 * idle * 1_000;
    const cuts = async () => (await alice.seen()).breaks.length;
    for (let since = Date.now(), before = 0; Date.now() - since < quietMs; await pause(250)) {
      const now = await cuts();
      // Two, where time passes evenly: silences that differ by more than a tenth are not the same.
      expect(now).toBeLessThan(12);
      if (now > before) since = Date.now();
      before = now;
    }
    await alice.isThere("web_socket");
    expect(await cuts()).toBeGreaterThan(1);
    const { breaks, resets } = await alice.seen();
    expect([new Set(breaks), resets]).toEqual([new Set(["transport_closed"]), []]);
  });

  it("for 60 seconds is never cut", async (test) => {
    const proxy = await start(test, "haproxy", server.url, { obstacle: "passes", idle: "60s" });
    const alice = await Alice.begin("cut-60", proxy.url);
    await alice.connects();
    await pause(65_000);
    await alice.isThere("web_socket");
    expect(await alice.seen()).toMatchObject({ breaks: [] });
  });
});

describe.concurrent("a line that swallows everything is replaced", () => {
  it("within 35 seconds while the page is looked at (L9.10)", async (test) => {
    expect(await isReplaced(test, "seen", async () => {})).toBeLessThan(36_000);
  });

  it("within three seconds once the page is looked at again (L9.10)", async (test) => {
    expect(await isReplaced(test, "unseen", (tab) => tab.blink())).toBeLessThan(4_000);
  });
});

/** One that ends with the test. */
async function start({ onTestFinished }: Ending, ...how: Parameters<typeof TestProxy.start>): Promise<TestProxy> {
  const proxy = await TestProxy.start(...how);
  onTestFinished(() => proxy.end());
  return proxy;
}

async function getsThrough(test: Ending, alice: Alice, proxy: TestProxy, falls: object[]): Promise<void> {
  const began = Date.now();
  await alice.connects();
  await Promise.all([alice.says("hello"), alice.room.send({ text: "hi" })]);
  await alice.hears("hello");
  await alice.hears("hi");
  expect(Date.now() - began).toBeLessThan(SOON_MS);
  const { fellBack } = await alice.seen();
  expect(fellBack).toMatchObject(falls);
  for (const { because } of fellBack) expect(because).not.toBe("");
  const { transport, fellBack: last } = await alice.connection();
  expect(transport).toBe(fellBack.at(-1)!.to);
  expect(last).toMatchObject(falls.at(-1)!);

  const bob = new Bob(alice);
  test.onTestFinished(async () => void (await bob.rest(0)));
  await alice.hears("5");
  proxy.becomes("passes");
  await alice.until(({ transport }) => transport === "web_socket");
  const said = await bob.rest(5);
  await alice.hears(said.at(-1)!);
  expect((await alice.seen()).texts.slice(2)).toEqual(said);
  expect(await alice.seen()).toMatchObject({ breaks: [], resets: [] });
  await alice.says("bye");
  await alice.hears("bye");
}

/** A connected page's line swallows everything. How long until the page has another one. */
async function isReplaced(test: Ending, name: string, meanwhile: (tab: Tab) => Promise<void>): Promise<number> {
  const line = await Line.start(server.url);
  test.onTestFinished(() => line.end());
  const alice = await Alice.begin(name, line.url);
  await alice.connects();
  await alice.isThere("web_socket");
  const { connectionId } = await alice.connection();
  line.swallow();
  const began = Date.now();
  await alice.room.send({ text: "into the void" });
  await meanwhile(alice.tab);
  const other = async () => {
    const now = await alice.connection();
    return now.state === "connected" && now.connectionId !== connectionId;
  };
  await eventually(other, "another connection", 60_000);
  const took = Date.now() - began;
  await alice.hears("into the void");
  expect((await alice.seen()).texts).toEqual(["still there", "into the void"]);
  expect((await alice.seen()).breaks).toEqual(["dead_link"]);
  return took;
}

type Room = ReturnType<ReturnType<TestServer["backend"]["asUser"]>["channel"]>;

/** A page, and what its client has seen. */
class Alice {
  readonly room: Room;
  readonly tab: Tab;

  private constructor(room: Room, tab: Tab) {
    this.room = room;
    this.tab = tab;
  }

  /** Opens a page whose client dials this server, through this proxy if there is one. */
  static async begin(user: string, url: string, proxy?: string): Promise<Alice> {
    await server.backend.upsertUsers([{ id: user }]);
    const room = server.backend.asUser("bob").channel("messaging", user);
    await room.getOrCreate({ members: [user, "bob"] });
    const token = await server.backend.createToken(user);
    const query = new URLSearchParams({ url, app: server.appKey, user, token });
    return new Alice(room, await Tab.open(chrome, `${fixture.url}line.html?${query}`, proxy));
  }

  async connects(): Promise<void> {
    await this.tab.evaluate(() => connect());
    await this.until(({ state }) => state === "connected");
  }

  connection() {
    return this.tab.evaluate(() => client.connection.get());
  }

  seen() {
    return this.tab.evaluate(() => seen);
  }

  async until(test: (status: Awaited<ReturnType<Alice["connection"]>>) => boolean): Promise<void> {
    await eventually(async () => test(await this.connection()), "the connection");
  }

  async says(text: string): Promise<void> {
    await this.tab.evaluate(([cid, text]) => void client.channelAt(cid!).send(text!), [this.room.cid, text]);
  }

  async hears(text: string): Promise<void> {
    await eventually(async () => (await this.seen()).texts.includes(text), `"${text}"`);
  }

  /** Hears, and by this transport. */
  async isThere(transport: string): Promise<void> {
    await this.room.send({ text: "still there" });
    await this.hears("still there");
    expect((await this.connection()).transport).toBe(transport);
  }
}

/** Says a number every 100 ms. */
class Bob {
  readonly #said: string[] = [];
  #last = Infinity;
  readonly #over: Promise<void>;

  constructor(alice: Alice) {
    this.#over = this.#speak(alice);
  }

  /** Says as many more, and answers with all that was said. */
  async rest(more: number): Promise<string[]> {
    this.#last = this.#said.length + more;
    await this.#over;
    return this.#said;
  }

  async #speak({ room }: Alice): Promise<void> {
    while (this.#said.length < this.#last) {
      const text = String(this.#said.length + 1);
      await Promise.all([room.send({ text }), pause(SAY_EVERY_MS)]);
      this.#said.push(text);
    }
  }
}
