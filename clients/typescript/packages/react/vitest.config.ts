import { defaultClientConditions } from "vite";
import { defineConfig } from "vitest/config";

/** The packages' sources: nothing has to be built before. */
const conditions = ["parlour-source", ...defaultClientConditions];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: { include: ["tests/**/*.test.{ts,tsx}"], environment: "happy-dom" },
});
