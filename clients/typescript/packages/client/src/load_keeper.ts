// Where the code that keeps things beyond the page begins to be loaded: in most bundles a file of its own.

import type * as keeper from "./keeper.js";

export const loadKeeper = (): Promise<typeof keeper> => import("./keeper.js");
