// Where the code by which tabs share one connection begins to be loaded: in most bundles a file of its own.

import { bounded } from "./address.js";
import type { Driver } from "./driver.js";

/** When that code is not there within this, the tab has a connection of its own. */
const TIMEOUT = { timeoutMs: 2_500 };

/** Joins the others where there can be some, in a browser's page. */
export const loadTabs = (driver: Driver): unknown =>
  globalThis.document &&
  navigator.locks &&
  bounded(driver.options.endpoint, "", TIMEOUT, () => import("./tabs.js")).then(({ join }) => join(driver), () => {});
