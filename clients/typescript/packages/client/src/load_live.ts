// Where the code that shows channels and lists begins to be loaded: in most bundles a file of its own.

import type * as live from "./live.js";

export const loadLive = (): Promise<typeof live> => import("./live.js");
