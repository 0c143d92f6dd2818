// The real server, for all stories that need one.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { ServerClient } from "../../src/server.js";

/** The binary that PARLOUR_BIN names, in development mode, with its data in a folder of its own. */
export class Binary {
  url = "";
  appKey = "";
  secret = "";
  backend!: ServerClient;
  readonly #data = mkdtempSync(join(tmpdir(), "parlour-"));
  #process: ChildProcess | undefined;
  #port = 0;

    /** Starts it, on the same data and port as before. */
  async start(): Promise<void> {
    const binary = process.env.PARLOUR_BIN;
    if (!binary) throw new Error("PARLOUR_BIN has to name the server's binary; `cargo xtask test` sets it");
    const listen = `127.0.0.1:${this.#port}`;
    const child = spawn(binary, ["dev", "--listen", listen, "--json", "--data", this.#data], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    this.#process = child;
    for await (const line of createInterface({ input: child.stdout })) {
      const { url, app_key, secret } = JSON.parse(line);
      this.url = url;
      this.appKey = app_key;
      this.secret = secret;
      this.#port = Number(new URL(url).port);
      this.backend = new ServerClient({ url, appKey: app_key, secret });
      return;
    }
    throw new Error("the server ended before it said where it is");
  }

  /** Ends it without a word. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }

  /** Connections that the server counts now. */
  async connections(): Promise<number> {
    const { concurrent_connections } = await this.backend.usage();
    return concurrent_connections.current;
  }

  async end(): Promise<void> {
    await this.kill();
    rmSync(this.#data, { recursive: true, force: true });
  }
}
