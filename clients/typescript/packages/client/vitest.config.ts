import { defineConfig } from "vitest/config";

export default defineConfig({
  // What an example imports is the source that stands here.
  resolve: { conditions: ["parlour-source"] },
  ssr: { resolve: { conditions: ["parlour-source"] } },
  test: { include: ["tests/**/*.test.ts", "../../examples/**/*.test.ts"] },
});
