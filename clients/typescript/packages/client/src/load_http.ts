// Where the code of the transports over HTTP begins to be loaded: in most bundles a file of its own.

import type * as http from "./transports/http.js";

export const loadHttp = (): Promise<typeof http> => import("./transports/http.js");
