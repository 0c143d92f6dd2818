// The connection of all tabs of a user in a SharedWorker, which no tab takes with it when it is closed.
//
// An entry of its own, for the script of that worker. To the tabs the worker is one of them, which is never looked at, is
// there while one of the others wants a connection, and has it (tabs/host.ts). It has no tokens of its own: it asks a tab.

import { endpointOf } from "./address.js";
import type { ConnectionConfig } from "./connection.js";
import { Driver } from "./driver.js";
import { Tabs } from "./tabs/tab.js";
import { type Page, pageOf } from "./tabs/page.js";
import { tabOf, type Word } from "./tabs/words.js";
import { TokenSource } from "./token.js";

/** A tab has this long to give a token, before another one is asked. */
const TOKEN_WAIT_MS = 3_000;

/** What a tab says first. */
export interface Begin {
  url: string;
  appKey: string;
  userId: string;
  config: ConnectionConfig;
}

type Scope = { onconnect: ((event: { ports: readonly MessagePort[] }) => void) | null };

/**
 * Serves the tabs that have made this worker. To be called once, at once, in the worker's script:
 *
 * ```ts
 * // worker.ts
 * import { serve } from "@parlour/client/worker";
 * serve();
 *
 * // in the page
 * const worker = (name: string) => new SharedWorker(new URL("./worker.ts", import.meta.url), { type: "module", name });
 * const client = new Client({ url, appKey, worker });
 * ```
 */
export function serve(): void {
  let served: Served | undefined;
  (globalThis as unknown as Scope).onconnect = ({ ports: [port] }) => {
    port!.onmessage = ({ data }: MessageEvent<Begin>) => {
      if (!served || served.isOver) served = new Served(data);
      port!.postMessage("served");
    };
  };
}

class Served {
  readonly #driver: Driver;
  readonly #page: Page;
  /** Tabs that want a connection; the latest that said so last. */
  readonly #tabs = new Set<string>();
  #tokenCame: (token: string) => void = () => {};

  constructor({ url, appKey, userId, config }: Begin) {
    const endpoint = endpointOf({ url, appKey });
    this.#page = pageOf([url, appKey, userId].join("\n"));
    const platform = { name: config.client.platform ?? "browser", watch: () => () => {} };
    const options = { userId, endpoint, webSocket: WebSocket, config, platform, storage: undefined, worker: undefined };
    this.#driver = new Driver(options);
    this.#driver.runner.tabs = new Tabs(this.#driver, this.#page, undefined, false);
    this.#page.watch((word) => this.#heard(word), () => {}, () => {}, () => {});
    // The tabs say whether somebody looks.
    this.#driver.input({ type: "app", level: "frozen" });
    this.#driver.connectUser({ id: userId }, new TokenSource(() => this.#token(), endpoint));
  }

  get isOver(): boolean {
    return this.#driver.isLeaving;
  }

  #heard(word: Word): void {
    if (word.type === "knock") this.#wants(tabOf(word.from));
    if (word.type === "rest") this.#rests(word.tab);
    if (word.type === "token") this.#tokenCame(word.token);
  }

  #wants(tab: string): void {
    if (!this.#tabs.has(tab)) void this.#page.gone(tab).then(() => this.#rests(tab));
    this.#tabs.delete(tab);
    this.#tabs.add(tab);
    this.#driver.input({ type: "app", level: "hidden" });
  }

  #rests(tab: string): void {
    this.#tabs.delete(tab);
    if (!this.#tabs.size) this.#driver.input({ type: "app", level: "frozen" });
  }

  /** From one of the tabs, and from another where that one does not answer. */
  async #token(): Promise<string> {
    const refused = this.#driver.runner.token?.current;
    for (const tab of [...this.#tabs].reverse()) {
      const token = await new Promise<string | undefined>((resolve) => {
        setTimeout(() => resolve(undefined), TOKEN_WAIT_MS);
        void this.#page.gone(tab).then(() => resolve(undefined));
        this.#tokenCame = (token) => token !== refused && resolve(token);
        this.#page.post({ type: "want_token", refused, of: tab });
      });
      if (token !== undefined) return token;
    }
    throw new Error("no tab has given one");
  }
}
