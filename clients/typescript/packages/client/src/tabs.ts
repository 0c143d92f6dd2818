// How a page comes to share the connection of a user with other tabs (tabs/tab.ts), and with a worker (worker.ts).
//
// Loaded when a browser's page connects first.

import type { Driver } from "./driver.js";
import { pageOf } from "./tabs/page.js";
import { Tabs, WORKER_WAIT_MS } from "./tabs/tab.js";
import { nameOf } from "./tabs/words.js";
import type { Begin } from "./worker.js";

/** Shares the connection of this user with other tabs. */
export function join(driver: Driver): void {
  const { url, appKey } = driver.options.endpoint;
  const user = [url, appKey, driver.userId].join("\n");
  driver.runner.tabs = new Tabs(driver, pageOf(user), driver.options.worker && isServed(driver, user));
}

/** Begins a worker, and resolves with whether it has the connection. */
function isServed(driver: Driver, user: string): Promise<boolean> {
  const { worker, config, endpoint, userId } = driver.options;
  return new Promise((resolve) => {
    setTimeout(() => resolve(false), WORKER_WAIT_MS);
    try {
      const shared = worker!(nameOf(user));
      shared.onerror = () => resolve(false);
      shared.port.onmessage = () => resolve(true);
      const begin: Begin = { url: endpoint.url, appKey: endpoint.appKey, userId, config };
      shared.port.postMessage(begin);
      void driver.gone.then(() => shared.port.close());
    } catch {
      resolve(false);
    }
  });
}
