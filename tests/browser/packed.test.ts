// The packages as npm has them, in apps that others' tools have made: a React page built by Vite, and a bundle as
// React Native makes it.

import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";

import { getDefaultConfig, mergeConfig } from "@react-native/metro-config";
import Metro from "metro";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { pack, run } from "../../clients/typescript/packages/client/tests/pack.js";
import { browser, type Browser, complaints, eventually, type Page, TestServer } from "./kit.js";

const require = createRequire(import.meta.url);
const folder = realpathSync(mkdtempSync(join(tmpdir(), "parlour-packed-")));
const app = join(folder, "app");

/** An app as `npm create vite` begins it, with the packed packages installed. */
beforeAll(() => {
  const create = join(dirname(require.resolve("create-vite/package.json")), "index.js");
  run(process.execPath, [create, "app", "--template", "react-ts", "--no-interactive"], folder);
  const tarballs = [pack("client", folder), pack("react", folder)];
  run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", ...tarballs], app);
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("a React page built by Vite", () => {
  let server: TestServer;
  let chrome: Browser;
  let preview: ChildProcess;
  let url: string;

  beforeAll(async () => {
    const example = new URL("../../clients/typescript/examples/react/App.tsx", import.meta.url);
    copyFileSync(fileURLToPath(example), join(app, "src/App.tsx"));
    writeFileSync(join(app, "src/main.tsx"), MAIN);
    run("npm", ["run", "build"], app);
    [server, chrome] = await Promise.all([TestServer.start(), browser()]);
    await server.backend.upsertUsers([{ id: "alice" }, { id: "bob" }]);
    const general = server.backend.asUser("alice").channel("messaging", "general");
    await general.getOrCreate({ members: ["bob"] });
    const vite = join(app, "node_modules/vite/bin/vite.js");
    preview = spawn(process.execPath, [vite, "preview", "--host", "127.0.0.1", "--port", "0"], {
      cwd: app,
      env: { ...process.env, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface({ input: preview.stdout! })) {
      const [found] = /http:\/\/127\.0\.0\.1:\d+\//.exec(line) ?? [];
      if (!found) continue;
      url = found;
      break;
    }
  }, 300_000);
  afterAll(async () => {
    preview?.kill();
    await Promise.all([server?.end(), chrome?.close()]);
  });

  it("lets two users chat", async () => {
    const [alice, bob] = await Promise.all(["alice", "bob"].map(open));
    await says(alice!, "hello");
    await shows(bob!, "alice: hello");
    await says(bob!, "hi");
    await shows(alice!, "bob: hi");
  });

  async function open(user: string): Promise<Page> {
    const page = await (await chrome.newContext()).newPage();
    const said = complaints(page);
    const token = await server.backend.createToken(user);
    await page.goto(`${url}?${new URLSearchParams({ url: server.url, appKey: server.appKey, user, token })}`);
    await page.getByLabel("Message").waitFor();
    expect(said).toEqual([]);
    return page;
  }

  async function says(page: Page, text: string): Promise<void> {
    await page.getByLabel("Message").fill(text);
    await page.keyboard.press("Enter");
    await shows(page, text);
  }

  const shows = (page: Page, text: string) => page.locator("p.sent").getByText(text).waitFor();
});

const MAIN = `
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.tsx";

const { url, appKey, user, token } = Object.fromEntries(new URLSearchParams(location.search));
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App url={url} appKey={appKey} user={user} token={async () => token} />
  </StrictMode>,
);
`;

describe("a bundle of React Native", () => {
  let config: ReturnType<typeof nativeConfig>;
  beforeAll(() => {
    writeFileSync(join(app, "index.js"), NATIVE);
    config = nativeConfig();
  });

  it.each([
    ["that reads what a package exports", true],
    ["of before, that reads its main fields", false],
  ])("has each package once, in one format, and nothing for servers, by a Metro %s", async (_, exports) => {
    const asked = mergeConfig(config, { resolver: { unstable_enablePackageExports: exports } });
    const options = { entries: [join(app, "index.js")], dev: false, minify: false, platform: "ios" };
    const { dependencies } = await Metro.buildGraph(asked, options);
    const paths = [...dependencies.keys()].map((path) => path.split("/@parlour/")[1] ?? "");
    const entries = paths.filter((path) => path && !/-[\w-]{8}\.js$/.test(path)).sort();
    // Each file in the other format would be another copy of what an app has once.
    expect(entries).toEqual(["client/dist/index.js", "client/dist/server_in_browser.js", "react/dist/index.js"]);
  }, 120_000);

  it("runs where there is no page, and dials", async () => {
    const out = join(app, "native.bundle.js");
    await Metro.runBuild(config, { entry: "index.js", dev: false, minify: false, platform: "ios", out });
    const bundle = readFileSync(out, "utf8");
    expect(bundle).not.toMatch(/__require\b|Dynamic require/);
    const phone = fakePhone();
    runInContext(bundle, createContext(phone));
    expect(phone.seen).toEqual({ state: "idle", hooks: "function", refused: "invalid_input" });
    await eventually(() => phone.dialled.length > 0, "a dial");
    expect(phone.dialled).toEqual(["ws://127.0.0.1:8790/v1/connect"]);
    // What shows channels is in the same bundle, and is found in it.
    await eventually(() => phone.shown === "loading", "a channel");
  }, 120_000);

  /** As an app of React Native has it, without what is React Native itself. */
  function nativeConfig() {
    // What comes with React Native: the helpers of what Babel makes, and Metro's own beginning of a bundle.
    const [helpers, runtime] = ["@babel/runtime", "metro-runtime"].map((name) =>
      dirname(require.resolve(`${name}/package.json`)),
    ) as [string, string];
    return mergeConfig(getDefaultConfig(app), {
      resolver: { extraNodeModules: { "@babel/runtime": helpers } },
      watchFolders: [app, helpers, runtime],
      serializer: { getModulesRunBeforeMainModule: () => [], getPolyfills: () => [] },
      reporter: { update: () => {} },
      resetCache: true,
      maxWorkers: 1,
    });
  }
});

/** What is there on a phone: no page, no `crypto`. */
function fakePhone() {
  const dialled: string[] = [];
  class WebSocket {
    constructor(url: string) {
      dialled.push(url);
    }
    close() {}
  }
  const { AbortController, clearTimeout, console, performance, setTimeout } = globalThis;
  const given = { AbortController, clearTimeout, console, performance, setTimeout, WebSocket };
  return { ...given, navigator: { product: "ReactNative" }, dialled, seen: undefined as unknown, shown: "" };
}

const NATIVE = `
import { Client } from "@parlour/client";
import { useChannel } from "@parlour/react";

const client = new Client({ url: "http://127.0.0.1:8790", appKey: "dev" });
let refused;
try {
  require("@parlour/client/server");
} catch (error) {
  refused = error.code;
}
globalThis.seen = { state: client.connection.get().state, hooks: typeof useChannel, refused };
client.connectUser("alice", "token");
const channel = client.channel("messaging", "general");
channel.view.subscribe(() => (globalThis.shown = channel.view.get().status));
channel.open();
`;
