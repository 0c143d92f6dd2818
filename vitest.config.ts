// The tests of all packages in one run: each package is a project, with its own configuration where it has one.
// Those in a browser are not among them: they have a run of their own, see `cargo xtask test`.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { projects: ["clients/typescript/packages/*", "clients/typescript/react_18", "web/*"] },
});
