// The tests of @parlour/react once more, on the oldest React that it promises to run on.

import { fileURLToPath } from "node:url";

import { defineConfig, mergeConfig } from "vitest/config";

import react from "../packages/react/vitest.config.js";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default mergeConfig(
  react,
  defineConfig({
    resolve: { alias: [{ find: /^react(-dom)?(?=$|\/)/, replacement: here("node_modules/$&") }] },
    test: { name: "@parlour/react with React 18", dir: here("../packages/react") },
  }),
);
