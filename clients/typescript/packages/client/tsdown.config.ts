import { defineConfig } from "tsdown";

export default defineConfig({
  entry: ["src/index.ts", "src/server.ts", "src/server_in_browser.ts", "src/react_native.ts", "src/testing.ts", "src/tokens.ts", "src/worker.ts"],
  format: ["esm", "cjs"],
  // For browsers, Node and React Native alike: none of their names is resolved here.
  platform: "neutral",
  deps: { neverBundle: /^node:/ },
  target: "es2022",
  dts: true,
  sourcemap: true,
  copy: "../../../../LICENSE-*",
  // What a page has at once is one file, beside what backends share: bundlers that split by file would cut it into
  // pieces, and those compress worse.
  outputOptions: {
    codeSplitting: {
      groups: [
        { name: "errors", test: /src[\\/](address|errors)\.ts$/, priority: 1 },
        { name: "core", test: /src[\\/]client\.ts$/ },
      ],
    },
  },
  // The making of the types leaves a file behind that nothing imports.
  plugins: [
    {
      name: "no-runtime",
      generateBundle(_, bundle) {
        for (const name of Object.keys(bundle)) if (/^rolldown-runtime-/.test(name)) delete bundle[name];
      },
    },
  ],
  // A build with a doubt is none.
  failOnWarn: true,
  checks: { pluginTimings: false },
});
