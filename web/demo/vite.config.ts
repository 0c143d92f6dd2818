// How the demo is built. The bundle is committed, so the same sources must give the same bytes on every
// machine: nothing here may depend on the time, the path or the environment.

import react from "@vitejs/plugin-react";
import { defaultClientConditions, defineConfig } from "vite";

const devServer = "http://127.0.0.1:8790";

export default defineConfig(({ command }) => {
  // Whatever the shell says, or the test that runs this: what is committed is the bundle for production.
  if (command === "build") process.env.NODE_ENV = "production";
  return {
    base: "/demo/",
    plugins: [react()],
    // The SDK's sources in place of its build: nothing has to be built before, and nothing stale gets in.
    resolve: { conditions: ["parlour-source", ...defaultClientConditions] },
    build: {
      // The browsers that know `light-dark()`.
      target: ["chrome123", "firefox120", "safari17.5"],
      // The page is served without `data:` in all but images, and one file less is not worth a second rule.
      assetsInlineLimit: 0,
      // The notices of what is bundled, as their licences ask.
      license: { fileName: "licenses.md" },
      modulePreload: { polyfill: false },
      reportCompressedSize: false,
    },
    server: {
      proxy: {
        "/v1": { target: devServer, ws: true },
        "/dev/": devServer,
        "/demo/config.json": devServer,
      },
    },
  };
});
