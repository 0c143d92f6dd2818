// A real server for the stories of this folder: the binary that PARLOUR_BIN names, on a free port.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { WebSocket } from "ws";

import { Client, type ClientOptions, type Observable, type WebSocketConstructor } from "../../src/index.js";
import { ServerClient } from "../../src/server.js";

/** What has to come comes within this. */
const SOON_MS = 10_000;

/** Resolves when `observable` has a value that `test` accepts; says what it had instead. */
export function eventually<T>(observable: Observable<T>, test: (value: T) => boolean, what = "it"): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      clearTimeout(timer);
      off();
      settle();
    };
    const look = () => {
      const value = observable.get();
      if (test(value)) end(() => resolve(value));
    };
    const timer = setTimeout(
      () => end(() => reject(new Error(`${what} did not come; there is ${JSON.stringify(observable.get())}`))),
      SOON_MS,
    );
    const off = observable.subscribe(look);
    look();
  });
}

export class TestServer {
  url = "";
  appKey = "";
  secret = "";
  backend!: ServerClient;
  readonly #data = mkdtempSync(join(tmpdir(), "parlour-"));
  readonly #clients = new Set<Client>();
  #process: ChildProcess | undefined;
  #port = 0;

  static async start(): Promise<TestServer> {
    const server = new TestServer();
    await server.start();
    return server;
  }

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
    const child = this.#process!;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }

  client(options: Partial<ClientOptions> = {}): Client {
    const webSocket = CountedSocket as unknown as WebSocketConstructor;
    const client = new Client({ url: this.url, appKey: this.appKey, webSocket, ...options });
    this.#clients.add(client);
    return client;
  }

  async connected(userId: string, options: Partial<ClientOptions> = {}): Promise<Client> {
    const client = this.client(options);
    await client.connectUser({ id: userId, name: userId }, () => this.backend.createToken(userId));
    return client;
  }

  /** Connections that the server counts now. */
  async connections(): Promise<number> {
    const { concurrent_connections } = await this.backend.usage(1);
    return concurrent_connections.current;
  }

  async end(): Promise<void> {
    await Promise.all([...this.#clients].map((client) => client.disconnectUser()));
    await this.kill();
    rmSync(this.#data, { recursive: true });
  }
}

/** Counts the sockets that are open or opening. */
export class CountedSocket extends WebSocket {
  static live = 0;
  static most = 0;

  constructor(url: string) {
    super(url);
    CountedSocket.live++;
    CountedSocket.most = Math.max(CountedSocket.most, CountedSocket.live);
    this.once("close", () => CountedSocket.live--);
  }

  static reset(): void {
    CountedSocket.most = CountedSocket.live;
  }
}
