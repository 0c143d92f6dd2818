// Where the code for what goes on beside a connection begins to be loaded: in most bundles a file of its own.

import type * as desk from "./desk.js";

export const loadDesk = (): Promise<typeof desk> => import("./desk.js");
