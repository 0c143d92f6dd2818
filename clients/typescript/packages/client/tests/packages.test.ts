// The packages as they would be published: what is promised of them to those who install them.

import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createContext, runInContext } from "node:vm";
import { brotliCompressSync } from "node:zlib";

import { build, type BuildOptions } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { App, PACKAGES, run } from "./pack.js";

/** The largest size of what a page loads of `@parlour/client` at once, minified and compressed. */
const CLIENT_BYTES_MAX = 15_000;
/**
 * The same of all that it may load later: while it connects for the first time, when it first shows a channel or a list,
 * where it has a storage or shares its connection with other tabs, and where no WebSocket gets through.
 */
const LATER_BYTES_MAX = 19_500;
/** The same of `@parlour/react`, without React and the client. */
const REACT_BYTES_MAX = 3_000;

const NAMES = ["client", "react"] as const;

let app: App;
beforeAll(() => void (app = new App()), 120_000);
afterAll(() => app.remove());

const BUNDLE = { bundle: true, format: "esm", target: "es2022", logLevel: "silent", write: false } as const;

/** What a bundler makes of a module that stands in the app. */
async function bundle(source: string, options: BuildOptions = {}): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: app.folder },
    ...BUNDLE,
    ...options,
    write: false,
  });
  return outputFiles[0]!.text;
}

const manifest = (name: string) => JSON.parse(readFileSync(join(app.installed(name as "client"), "package.json"), "utf8"));

describe.each(NAMES)("@parlour/%s", (name) => {
  it("has no fault that publint knows", () => {
    const said = run("npx", ["--no", "publint", app.tarballs[name], "--strict"], PACKAGES);
    expect(said).toContain("All good!");
  }, 60_000);

  it("has types that are right for every way of importing it", () => {
    run("npx", ["--no", "attw", app.tarballs[name], "--profile", "strict"], PACKAGES);
  }, 60_000);

  it("needs nothing else to run, and runs nothing when it is installed", () => {
    const { dependencies, scripts } = manifest(name);
    expect(dependencies).toBeUndefined();
    expect(Object.keys(scripts).filter((script) => /install|prepare/.test(script))).toEqual([]);
  });

  it("brings its licence, and no tests", () => {
    const files = run("tar", ["-tzf", app.tarballs[name]], app.folder);
    expect(files).toContain("package/dist/LICENSE-MIT");
    expect(files).toContain("package/dist/LICENSE-APACHE");
    expect(files).toContain("package/README.md");
    expect(files).not.toMatch(/tests|\.test\./);
  });
});

describe("in Node", () => {
  const entries = {
    "@parlour/client": ["Client", "ParlourError"],
    "@parlour/client/server": ["ServerClient", "ParlourError"],
    "@parlour/client/testing": ["FakeServer", "VirtualClock"],
    "@parlour/client/tokens": ["anonymousToken", "createGuest", "developmentToken"],
    "@parlour/client/worker": ["serve"],
    "@parlour/react": ["ParlourProvider", "useChannel", "useMessages"],
  };

  it.each(Object.entries(entries))("%s is there by import and by require, with the same names", (entry, names) => {
    const print = "console.log(JSON.stringify(Object.keys(it).filter((name) => it[name] !== undefined).sort()))";
    const imported = node(`import * as it from "${entry}"; ${print}`, "module");
    const required = node(`const it = require("${entry}"); ${print}`, "commonjs");
    expect(required).toEqual(imported);
    expect(imported).toEqual(expect.arrayContaining(names));
  });

  it("the entries of the client share one class of errors", () => {
    const same = "console.log(JSON.stringify(a.ParlourError === b.ParlourError))";
    const client = '"@parlour/client"';
    const server = '"@parlour/client/server"';
    expect(node(`import * as a from ${client}; import * as b from ${server}; ${same}`, "module")).toBe(true);
    expect(node(`const a = require(${client}), b = require(${server}); ${same}`, "commonjs")).toBe(true);
  });

  it.each([
    ["import", 'import { FakeServer, VirtualClock } from "@parlour/client/testing"; import { Client } from "@parlour/client"'],
    ["require", 'const { FakeServer, VirtualClock } = require("@parlour/client/testing"), { Client } = require("@parlour/client")'],
  ])("an app's client reaches a fake server, on a clock that the test moves, by %s", (how, use) => {
    const source = `
      ${use};
      (async () => {
        const [clock, server] = [new VirtualClock(), new FakeServer()];
        const client = new Client(server.options);
        client.connectUser("alice", "token");
        await clock.advance(10);
        server.goAway();
        await clock.advance(3_600_000);
        const away = client.connection.get().state;
        server.comeBack();
        await clock.advance(20_000);
        console.log(JSON.stringify([away, client.connection.get().state, server.seen.liveMax]));
        process.exit();
      })();
    `;
    expect(node(source, how === "import" ? "module" : "commonjs")).toEqual(["reconnecting", "connected", 1]);
  });

  it.each([
    ["import", 'import { Client } from "@parlour/client"', "module"],
    ["require", 'const { Client } = require("@parlour/client")', "commonjs"],
  ] as const)("what shows channels is loaded by %s, when the first is opened", (_, use, type) => {
    const source = `
      ${use};
      const webSocket = function () { this.readyState = 0; };
      const client = new Client({ url: "http://127.0.0.1:1", appKey: "dev", webSocket });
      client.connectUser("alice", "token").catch(() => {});
      const channel = client.channel("messaging", "general");
      const before = channel.view.get().status;
      channel.view.subscribe(() => {
        const { status } = channel.view.get();
        if (status === before) return;
        console.log(JSON.stringify([before, status]));
        process.exit();
      });
      channel.open();
    `;
    expect(node(source, type)).toEqual(["idle", "loading"]);
  });

  function node(source: string, type: "module" | "commonjs"): unknown {
    return JSON.parse(run("node", [`--input-type=${type}`, "--eval", source], app.folder));
  }
});

describe("types", () => {
  const source = `
    import { Client, type Message } from "@parlour/client";
    import { ServerClient } from "@parlour/client/server";
    import { FakeServer, VirtualClock } from "@parlour/client/testing";
    import { ParlourProvider, useMessages } from "@parlour/react";

    export const faked: Client = new FakeServer().client();
    export const passes: Promise<void> = new VirtualClock().advance(1_000);
    const client = new Client({ url: "http://127.0.0.1:8790", appKey: "dev" });
    export const sent: Promise<Message> = client.channel("messaging", "general").send("hello");
    export const token: Promise<string> = new ServerClient({ url: "", appKey: "", secret: "" }).createToken("alice");
    export const hooks = [ParlourProvider, useMessages];
    // @ts-expect-error No secret in a client for users' devices.
    new Client({ url: "", appKey: "dev", secret: "it" });
  `;
  const ways = [
    ["modules of a bundler", ["app.ts"], "esnext", "bundler"],
    ["both kinds of modules in Node", ["app.mts", "app.cts"], "nodenext", "nodenext"],
  ] as const;

  it.each(ways)("hold in %s, to their last line", (_, files, module, resolution) => {
    for (const file of files) writeFileSync(join(app.folder, file), source);
    const options = ["--strict", "--noEmit", "--exactOptionalPropertyTypes", "--target", "es2022", "--skipDefaultLibCheck"];
    const args = [...files, ...options, "--module", module, "--moduleResolution", resolution];
    run(process.execPath, [join(PACKAGES, "../../../node_modules/typescript/bin/tsc"), ...args], app.folder);
  }, 60_000);
});

describe("in a page", () => {
  it("the entry for servers refuses to begin, and the code that signs is not there", async () => {
    const source = `
      import { ServerClient } from "@parlour/client/server";
      new ServerClient({ url: "http://127.0.0.1:8790", appKey: "dev", secret: "the secret" });
    `;
    const text = await bundle(source, { platform: "browser", conditions: ["browser"], format: "iife" });
    expect(() => runInContext(text, createContext({}))).toThrowError(
      expect.objectContaining({ name: "ParlourError", code: "invalid_input", message: expect.stringContaining("secret") }),
    );
    expect(text).not.toContain("HS256");
  });

  it("the hooks say to frameworks that they are for clients", () => {
    for (const file of ["index.js", "index.cjs"]) {
      expect(readFileSync(join(app.installed("react"), "dist", file), "utf8")).toMatch(/^"use client";\n/);
    }
  });

  it("what is not used is not bundled", async () => {
    const text = await bundle('import { ParlourError } from "@parlour/client"; console.log(ParlourError)');
    expect(text).toContain("ParlourError");
    expect(text).not.toContain("WebSocket");
  });

  it("both are small, and what shows channels is not in the page before it is needed", async () => {
    const client = await sizes('export * from "@parlour/client"');
    const react = await sizes('export * from "@parlour/react"', ["react", "@parlour/client"]);
    const { initial, later } = client;
    const own = `@parlour/client ${initial} bytes and later ${later}`;
    console.log(`minified and compressed: ${own}, @parlour/react ${react.initial} bytes`);
    expect(initial).toBeLessThanOrEqual(CLIENT_BYTES_MAX);
    expect(later).toBeLessThanOrEqual(LATER_BYTES_MAX);
    expect(later).toBeGreaterThan(0);
    expect(react.initial).toBeLessThanOrEqual(REACT_BYTES_MAX);
    // The READMEs promise it.
    const readme = (name: "client" | "react") => readFileSync(join(app.installed(name), "README.md"), "utf8");
    const atMost = (bytes: number) => `at most ${Math.ceil(bytes / 1_000)} KB`;
    expect(readme("client")).toContain(atMost(CLIENT_BYTES_MAX));
    expect(readme("client")).toContain(`${atMost(LATER_BYTES_MAX)} more`);
    expect(readme("react")).toContain(atMost(REACT_BYTES_MAX));
  });

  /** What a page loads at once, and what it may load later, in bytes: each file is compressed by itself. */
  async function sizes(source: string, external: string[] = []): Promise<{ initial: number; later: number }> {
    const { outputFiles, metafile } = await build({
      stdin: { contents: source, resolveDir: app.folder },
      ...BUNDLE,
      // What files are called is the app's own affair: by a hash alone, of paths that are the same in every run.
      absWorkingDir: app.folder,
      chunkNames: "[hash]",
      splitting: true,
      outdir: join(app.folder, "bundled"),
      metafile: true,
      minify: true,
      platform: "browser",
      external,
    });
    const bytes = new Map(outputFiles.map(({ path, contents }) => [basename(path), brotliCompressSync(contents).length]));
    const outputs = new Map(Object.entries(metafile.outputs).map(([path, output]) => [basename(path), output]));
    const atOnce = new Set([...outputs].filter(([, { entryPoint }]) => entryPoint === "<stdin>").map(([name]) => name));
    for (const name of atOnce) {
      for (const { kind, path } of outputs.get(name)!.imports) {
        if (kind === "import-statement" && outputs.has(basename(path))) atOnce.add(basename(path));
      }
    }
    const sum = (names: string[]) => names.reduce((sum, name) => sum + bytes.get(name)!, 0);
    const names = [...bytes.keys()];
    return { initial: sum(names.filter((name) => atOnce.has(name))), later: sum(names.filter((name) => !atOnce.has(name))) };
  }
});
