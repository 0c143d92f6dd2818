// A real server for the stories of this folder: the binary that PARLOUR_BIN names, on a free port.

import { WebSocket } from "ws";

import { Client, type ClientOptions, type Observable, type WebSocketConstructor } from "../../src/index.js";
import { Binary } from "./binary.js";

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

export class TestServer extends Binary {
  readonly #clients = new Set<Client>();

  static async start(): Promise<TestServer> {
    const server = new TestServer();
    await server.start();
    return server;
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

  override async end(): Promise<void> {
    await Promise.all([...this.#clients].map((client) => client.disconnectUser()));
    await super.end();
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
