import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Each file has a browser and a server of its own; two cores carry one at a time.
    fileParallelism: false,
    // Where stories run side by side, it is because they wait.
    maxConcurrency: 10,
  },
});
