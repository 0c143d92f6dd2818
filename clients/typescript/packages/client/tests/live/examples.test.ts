// The examples, run as their readers would: as programs of their own, beside a real server.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";

import { TestServer } from "./kit.js";

let server: TestServer;
const folder = mkdtempSync(join(tmpdir(), "parlour-examples-"));
const programs: ChildProcess[] = [];

beforeAll(async () => void (server = await TestServer.start()));
afterEach(() => programs.splice(0).forEach((program) => program.kill()));
afterAll(async () => {
  await server.end();
  rmSync(folder, { recursive: true });
});

/** Starts an example; what it prints first. */
async function starts(example: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  const entry = fileURLToPath(new URL(`../../../../examples/${example}`, import.meta.url));
  const outfile = join(folder, `${example.replaceAll("/", "-")}.mjs`);
  const conditions = ["parlour-source"];
  await build({ entryPoints: [entry], outfile, bundle: true, platform: "node", format: "esm", conditions, logLevel: "error" });
  // Node 22 has a WebSocket; Node 20 has the same one, behind this.
  const program = spawn(process.execPath, ["--experimental-websocket", outfile, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  programs.push(program);
  for await (const line of createInterface({ input: program.stdout })) return line;
  throw new Error(`${example} ended without a word`);
}

it("alice says hello, and hears herself", async () => {
  const token = await server.backend.createToken("alice");
  expect(await starts("plain/chat.ts", [server.url, server.appKey, token])).toBe("alice: hello");
  const alice = server.backend.asUser("alice");
  const { messages } = await alice.channel("messaging", "general").messages();
  expect(messages.map(({ text }) => text)).toEqual(["hello"]);
}, 20_000);

it("a backend gives tokens to those who are signed in, and makes the channel", async () => {
  const url = await starts("node-server/server.ts", [], {
    PARLOUR_URL: server.url,
    PARLOUR_APP_KEY: server.appKey,
    PARLOUR_SECRET: server.secret,
  });
  expect((await fetch(url)).status).toBe(401);
  const answer = await fetch(url, { headers: { cookie: "session=of-alice" } });
  const client = server.client();
  expect(await client.connectUser("alice", await answer.text())).toMatchObject({ id: "alice", name: "Alice" });
  expect(await client.channel("messaging", "general").load()).toMatchObject({ status: "ready", data: { name: "General" } });
}, 20_000);
