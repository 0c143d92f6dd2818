// What the stories of this folder stand on: a real server, a real browser, and pages that it serves.

import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { type Browser, type BrowserContext, type CDPSession, chromium, type Page } from "playwright-core";
import { createServer, type ViteDevServer } from "vite";

import { Binary } from "../../clients/typescript/packages/client/tests/live/binary.js";

/** What has to come comes within this. */
const SOON_MS = 15_000;
const CHROMIUM = process.env.PARLOUR_CHROMIUM ?? "/usr/bin/chromium";

/** Resolves when `look` gives something true. */
export async function eventually<T>(
  look: () => T | Promise<T>,
  what: string,
  withinMs = SOON_MS,
): Promise<T> {
  const until = Date.now() + withinMs;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() > until) throw new Error(`${what}: it did not come`);
    await pause(25);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The real server, begun. */
export class TestServer extends Binary {
  static async start(): Promise<TestServer> {
    const server = new TestServer();
    await server.start();
    return server;
  }
}

export async function browser(): Promise<Browser> {
  if (!existsSync(CHROMIUM)) throw new Error(`there is no browser at ${CHROMIUM}; name one in PARLOUR_CHROMIUM`);
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** The WebSockets of one page to a server, as the browser's own protocol counts them. */
export class Sockets {
  live = 0;
  most = 0;
  opened = 0;

  static async of(page: Page, url: string): Promise<Sockets> {
    const sockets = new Sockets();
    const ours = new Set<string>();
    const protocol = await page.context().newCDPSession(page);
    await protocol.send("Network.enable");
    protocol.on("Network.webSocketCreated", ({ requestId, url: to }) => {
      if (!to.startsWith(url.replace(/^http/, "ws"))) return;
      ours.add(requestId);
      sockets.opened++;
      sockets.most = Math.max(sockets.most, (sockets.live = ours.size));
    });
    protocol.on("Network.webSocketClosed", ({ requestId }) => {
      ours.delete(requestId);
      sockets.live = ours.size;
    });
    // A page that is left takes its sockets along, and says nothing of them.
    page.on("framenavigated", (frame) => {
      if (frame !== page.mainFrame()) return;
      ours.clear();
      sockets.live = 0;
    });
    return sockets;
  }
}

/**
 * A page in a tab among others, which is hidden while another one is looked at. (Playwright tells each of its own pages
 * that it is looked at; so this is none of them.)
 */
export class Tab {
  readonly #protocol: CDPSession;
  readonly #window: string;
  readonly #target: string;
  readonly #session: string;
  #asked = 0;

  private constructor(protocol: CDPSession, window: string, target: string, session: string) {
    this.#protocol = protocol;
    this.#window = window;
    this.#target = target;
    this.#session = session;
  }

  /** Opens a page in a window of its own. Everything but the page itself comes through the proxy, if there is one. */
  static async open(chrome: Browser, url: string, proxy?: string): Promise<Tab> {
    const protocol = await chrome.newBrowserCDPSession();
    // Without being told otherwise the browser dials this machine by itself.
    const proxyBypassList = `<-loopback>;${new URL(url).host}`;
    const through = proxy ? { proxyServer: proxy, proxyBypassList } : {};
    const { browserContextId } = await protocol.send("Target.createBrowserContext", through);
    const { targetId } = await protocol.send("Target.createTarget", { url, browserContextId });
    const { sessionId } = await protocol.send("Target.attachToTarget", { targetId });
    const tab = new Tab(protocol, browserContextId, targetId, sessionId);
    const isThere = () => location.href !== "about:blank" && document.readyState === "complete";
    // What is asked while the page comes may be lost with the blank one before.
    await eventually(() => tab.evaluate(isThere).catch(() => false), "the page");
    return tab;
  }

  /** What `look` gives in the page. */
  async evaluate<R, A>(look: (given: A) => R, given?: A): Promise<R> {
    const id = ++this.#asked;
    const answer = new Promise<string>((resolve) => {
      const take = ({ sessionId, message }: { sessionId: string; message: string }) => {
        if (sessionId !== this.#session || JSON.parse(message).id !== id) return;
        this.#protocol.off("Target.receivedMessageFromTarget", take);
        resolve(message);
      };
      this.#protocol.on("Target.receivedMessageFromTarget", take);
    });
    const expression = `(${look})(${JSON.stringify(given)})`;
    const params = { expression, returnByValue: true, awaitPromise: true };
    const message = JSON.stringify({ id, method: "Runtime.evaluate", params });
    await this.#protocol.send("Target.sendMessageToTarget", { sessionId: this.#session, message });
    const { result, error } = JSON.parse(await answer);
    if (error) throw new Error(error.message);
    if (result.exceptionDetails) throw new Error(result.exceptionDetails.exception.description);
    return result.result.value;
  }

  /** Somebody looks at another tab, and then at this one again. */
  async blink(): Promise<void> {
    const hidden = async (expected: boolean) => (await this.evaluate(() => document.hidden)) === expected;
    const browserContextId = this.#window;
    await this.#protocol.send("Target.createTarget", { url: "about:blank", browserContextId });
    await eventually(() => hidden(true), "the other tab");
    await this.#protocol.send("Target.activateTarget", { targetId: this.#target });
    await eventually(() => hidden(false), "the tab");
  }

  async close(): Promise<void> {
    const browserContextId = this.#window;
    await this.#protocol.send("Target.disposeBrowserContext", { browserContextId });
    await this.#protocol.detach();
  }
}

/** What a page says in its console that it should not. */
export function complaints(page: Page): string[] {
  const said: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") said.push(message.text());
  });
  page.on("pageerror", (error) => said.push(String(error)));
  return said;
}

/** The pages in `fixture`, served from a copy that a story may change while they are open. */
export class Fixture {
  url = "";
  readonly #vite: ViteDevServer;
  readonly #folder: string;

  private constructor(vite: ViteDevServer, folder: string) {
    this.#vite = vite;
    this.#folder = folder;
    this.url = vite.resolvedUrls!.local[0]!;
  }

  static async serve(): Promise<Fixture> {
    // Within the tree, because that is where the packages are found.
    const folder = mkdtempSync(fileURLToPath(new URL("./.fixture-", import.meta.url)));
    cpSync(fileURLToPath(new URL("./fixture", import.meta.url)), folder, { recursive: true });
    const vite = await createServer({
      root: folder,
      configFile: join(folder, "vite.config.ts"),
      cacheDir: join(folder, ".vite"),
      logLevel: "error",
      server: { host: "127.0.0.1", port: 0 },
    });
    await vite.listen();
    return new Fixture(vite, folder);
  }

  /** Changes a file, as a developer does who saves it. */
  edit(name: string, change: (text: string) => string): void {
    const path = join(this.#folder, name);
    writeFileSync(path, change(readFileSync(path, "utf8")));
  }

  async end(): Promise<void> {
    await this.#vite.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export type { Browser, BrowserContext, Page };
