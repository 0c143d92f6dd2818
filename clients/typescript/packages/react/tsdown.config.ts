import { defineConfig } from "tsdown";

export default defineConfig({
  entry: ["src/index.ts"],
  format: ["esm", "cjs"],
  // For browsers, Node and React Native alike: none of their names is resolved here.
  platform: "neutral",
  deps: { neverBundle: /^node:/ },
  target: "es2022",
  dts: true,
  sourcemap: true,
  copy: "../../../../LICENSE-*",
  // A build with a doubt is none.
  failOnWarn: true,
  checks: { pluginTimings: false },
});
