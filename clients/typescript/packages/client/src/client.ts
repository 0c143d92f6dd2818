// The public handle of one user's client, and which handles share a connection.
//
// Handles of one page with the same address, app key and user share everything: even an app that makes a client
// per render holds one socket. What is shared is the driver; a handle only shows whichever it is attached to.

import { type CallOptions, code, type Endpoint, endpointOf, splitCid } from "./address.js";
import type { Attendance } from "./attendance.js";
import { Channel } from "./channel.js";
import { ChannelList } from "./channel_list.js";
import type { NetworkLevel, Transport } from "./connection.js";
import type { WebSocketConstructor } from "./dial.js";
import { Driver, NOTHING_UNREAD } from "./driver.js";
import { type ClientEvent, type ClientEventOf, type ClientEventType, iterate } from "./events.js";
import { PAGE, uuid } from "./ids.js";
import type { ChannelListQuery } from "./live_list.js";
import { loadDesk } from "./load_desk.js";
import { loadKeeper } from "./load_keeper.js";
import { loadTabs } from "./load_tabs.js";
import { follow, kept, type Observable, Source, switched } from "./observable.js";
import { type Platform, platformName, type PlatformNews } from "./platform.js";
import { type ConnectionStatus, IDLE } from "./status.js";
import type { StorageOption } from "./storage.js";
import { type TokenProvider, TokenSource } from "./token.js";
import type { UnreadCounts } from "./unread.js";
import type {
  ChannelsResponse,
  GetOrCreateChannel,
  Me,
  PartialUpdate,
  Presence,
  PresenceSubscription,
  QueryChannels,
  User,
  UserInput,
} from "./wire.js";

/** The version of the protocol that this client speaks. */
const PROTOCOL_VERSION = 1;
/** When the last handle of a connection was closed this long ago, its socket is: React mounts twice. */
const LINGER_MS = 250;
/** A lease in the background lasts 30 seconds. */
const KEEP_ALIVE_MS = 25_000;
/** The best one first. */
const TRANSPORTS: readonly Transport[] = ["web_socket", "event_stream", "long_poll"];

/** How a client is made. */
export interface ClientOptions {
  /** The server's address: `http://127.0.0.1:8790`, `https://chat.example.com`; or one of the `regions`. */
  url: string;
  /** Servers by the names of their regions. */
  regions?: Readonly<Record<string, string>>;
  /** Which app of the server. It is no secret. */
  appKey: string;
  /**
   * Whether the client connects by itself: after a login, with a stored session, and when the app comes back to the
   * foreground. Default: true. With `false`, `connect` and `connectUser` alone connect it, and in the background it
   * has a lease of 30 seconds, which each `ping` renews.
   */
  autoConnect?: boolean;
  /** Whether the background ends the connection. Default: `park`, it does. */
  background?: "park" | "keep";
  /** How long the client stays connected in the background, where it connects by itself. Default: 0. */
  backgroundGraceMs?: number;
  /** The transports that may be used, the best first. Default: all, `web_socket`, `event_stream`, `long_poll`. */
  transports?: readonly Transport[];
  /** While a worse transport is in use, the better ones are tried again this often. Default: 600,000. */
  climbEveryMs?: number;
  /**
   * Where the session, the place in each topic and messages that are not sent are kept for the next page or run of the
   * app. Default: nowhere. With a stored session the client is logged in when it is made, and connects if it does so
   * by itself.
   */
  storage?: StorageOption;
  /** Where tokens come from for a stored session. Default: the stored one, for as long as the server takes it. */
  tokenProvider?: TokenProvider;
  /** Who tells of the background, of the network and of sleep. Default: the browser, where there is one. */
  platform?: Platform;
  /** Whose presence is told. Default: nobody's. */
  presence?: PresenceSubscription;
  /** The device's name, shown to the user's other devices. */
  device?: string;
  /** When a call has no answer for this long, it fails with `timeout`. Default: 10,000. Messages have no such end. */
  callTimeoutMs?: number;
  /** A WebSocket for where there is none, such as Node 20: `import { WebSocket } from "ws"`. */
  webSocket?: WebSocketConstructor;
  /** Another `fetch` than the global one. */
  fetch?: typeof fetch;
  /**
   * Whether the tabs of a browser that have the same address, app key and user share one connection, as far as they
   * are of one origin. Default: true.
   */
  shareConnection?: boolean;
  /**
   * Makes a SharedWorker of this name, with a script of the page's own origin that calls `serve` of
   * `@parlour/client/worker`. It has the connection of all tabs then; where it does not begin, one of the tabs has it.
   */
  worker?: ((name: string) => SharedWorker) | undefined;
}

/** A user: all of it where the server has said it, and at least the id. */
export type KnownUser = Pick<Me, "id"> & Partial<Me>;

/** By address, app key and user. */
const drivers = new Map<string, Driver>();

/**
 * One user's client: connects, listens, asks.
 *
 * For end users' devices: it has no place for an app's secret (that is `ServerClient` of
 * `@parlour/client/server`). Making one opens nothing, unless it has a storage with a session in it.
 *
 * ```ts
 * const client = new Client({ url: "http://127.0.0.1:8790", appKey: "dev" });
 * await client.connectUser({ id: "alice", name: "Alice" }, token);
 * const channel = client.channel("messaging", "general");
 * await channel.getOrCreate();
 * client.on("message.new", ({ message }) => console.log(`${message.user.id}: ${message.text}`));
 * await channel.send("hello");
 * ```
 */
export class Client {
  /** Where the connection stands. */
  readonly connection: Observable<ConnectionStatus>;
  /** The connected user's own view of itself, with the unread totals of now. */
  readonly me: Observable<Me | undefined>;
  /** The unread totals, kept current from events by the server's own rule. */
  readonly unread: Observable<UnreadCounts>;
  readonly #endpoint: Endpoint;
  readonly #options: ClientOptions;
  readonly #instance = uuid();
  readonly #driver = new Source<Driver | undefined>(undefined);
  #channels = new Map<string, Channel>();
  #lists = new Map<string, ChannelList>();
  #presence: PresenceSubscription;
  /** Resolves when it is known who was logged in, and she is. */
  #restored: Promise<void> | undefined;
  /** What the app has told of itself and of the network, for a user who comes later. */
  #news = new Map<string, PlatformNews>();

  /** Throws `invalid_input` for an address that is none, `invalid_id` for an app key that is none. */
  constructor(options: ClientOptions) {
    const { url, regions, storage } = options;
    this.#endpoint = endpointOf({ ...options, url: regions?.[url] ?? url });
    this.#options = options;
    this.#presence = options.presence ?? "none";
    this.connection = switched(this.#driver, (driver) => driver.connection, IDLE);
    this.me = switched(this.#driver, (driver) => driver.me, undefined);
    this.unread = switched(this.#driver, (driver) => driver.unreadCounts, NOTHING_UNREAD);
    this.#restored = storage && this.#restore(storage).catch(() => {});
  }

  /** The server's address, without a slash at its end. */
  get url(): string {
    return this.#endpoint.url;
  }

  /** Which user this client is for; undefined before she comes and after she left. */
  get userId(): string | undefined {
    return this.#current()?.userId;
  }

  /**
   * Logs in, connects, makes the user or merges the given fields into it, and answers with the user's own view of
   * itself.
   *
   * For the same user while connected or connecting it joins the one in progress, and opens nothing. While a
   * `disconnectUser` is running it waits for its end. After a `timeout` or `network` error the client goes on
   * dialling; call again to wait again.
   *
   * Fails with `already_connected_as`, which names the other user; `network` and `timeout` after the call timeout;
   * what the server refuses, as it says it; `cancelled` if a `disconnect` came in between.
   */
  async connectUser(user: UserInput | string, token: TokenProvider, options?: CallOptions): Promise<Me> {
    const input = typeof user === "string" ? { id: user } : { ...user };
    if (typeof input.id !== "string" || !/^[a-z0-9@_-]{1,128}$/.test(input.id)) {
      throw this.#endpoint.error("invalid_id", `"${input.id}" is no user id: those are 1-128 of a-z 0-9 @ _ -`);
    }
    const { driver, after } = this.#attach(input.id);
    driver.connectUser(input, new TokenSource(token, this.#endpoint), after);
    return driver.up(options);
  }

  /**
   * Logs in without connecting by itself: asks the server whether it takes the token, and keeps the session. It makes
   * no user and counts nobody. Where the client connects by itself (the default), it begins to.
   *
   * Fails with `already_connected_as`, which names the other user; what the server refuses, as it says it; `network`
   * and `timeout`.
   */
  async login(token: TokenProvider, options?: CallOptions): Promise<KnownUser> {
    const { whoIs } = await code(this.#endpoint, loadDesk);
    const source = new TokenSource(token, this.#endpoint);
    const user = await whoIs(this.#endpoint, source, options);
    const { driver, after } = this.#attach(user.id);
    driver.logIn(source, user, after);
    return user;
  }

  /** Who is logged in, also if on an earlier page. */
  async loggedInUser(): Promise<KnownUser | undefined> {
    await this.#restored;
    const driver = this.#current();
    return driver && (driver.me.get() ?? { id: driver.userId });
  }

  /**
   * Connects again, after `disconnect` or a failure, or in the background; where the client does not connect by
   * itself, this is what connects it. Fails with `not_logged_in` without a user; else as `connectUser`.
   */
  async connect(options?: CallOptions): Promise<Me> {
    const driver = this.#current() ?? (await this.#whoever());
    driver.connect();
    return driver.up(options);
  }

  /**
   * Closes the connection and keeps the user; holds until `connect`, `connectUser` or `login`. Begins when called: the
   * promise only tells when the socket is gone. Fails with `not_logged_in` without a user.
   */
  async disconnect(): Promise<void> {
    const driver = this.#current() ?? (await this.#whoever());
    await driver.disconnect();
  }

  /**
   * Closes the connection, goes offline at once and forgets the user, for all clients of this page that share it;
   * what is not sent waits 48 hours for the user's return. Begins when called: the next user's `connectUser` may be
   * called right away, and waits for it.
   */
  async disconnectUser(): Promise<void> {
    if (!this.#driver.get()) await this.#restored;
    await this.#driver.get()?.disconnectUser("outbox");
  }

  /**
   * As `disconnectUser`, and erases everything that is kept of the user. Answers how many messages were not sent: they
   * are gone.
   */
  async logout(): Promise<number> {
    if (!this.#driver.get()) await this.#restored;
    return this.#current()?.logOut() ?? 0;
  }

  /**
   * Lets go: for when a component goes away. The connection closes 250 ms after the last client of this page that
   * shared it was closed; the user is not logged out. `connectUser` opens this client again.
   */
  close(): void {
    this.#restored = undefined;
    const driver = this.#driver.get();
    this.#driver.set(undefined);
    if (driver && --driver.handles === 0) driver.linger = setTimeout(() => driver.drop(), LINGER_MS);
  }

  /**
   * The round trip to the server and back, in milliseconds; renews the lease in the background. Fails with
   * `not_connected`, `not_logged_in`, `timeout`.
   */
  async ping(options?: CallOptions): Promise<number> {
    return this.driver.ping(options);
  }

  /**
   * Pings now and every 25 seconds, until the returned function is called: holds a connection in the background beyond
   * its lease.
   */
  keepAlive(): () => void {
    const ping = () => void this.ping().catch(() => {});
    ping();
    const timer = setInterval(ping, KEEP_ALIVE_MS);
    return () => clearInterval(timer);
  }

  /** The app is not seen any more: for where the platform does not tell. See `autoConnect` for what that means. */
  enterBackground(): void {
    this.#tell({ type: "app", level: "background" });
  }

  /** The app is seen again. */
  enterForeground(): void {
    this.#tell({ type: "app", level: "foreground" });
  }

  /** Whether there is a network, for where the platform does not tell. While there is none, it is tried every 30 s. */
  setNetwork(level: NetworkLevel): void {
    this.#tell({ type: "network", level });
  }

  /**
   * The way to the network is another one. `network` is its name, where there is one: which transport got through in
   * it is remembered under that.
   */
  networkChanged(network?: string): void {
    this.#tell({ type: "path", network: network ?? null });
  }

  /** Dials now rather than at `retryAt`. */
  retryNow(): void {
    const driver = this.#driver.get();
    driver?.runner.tabs?.retry();
    driver?.input({ type: "retry_now" });
  }

  /** Changes whose presence is told, now and after every reconnect. */
  setPresence(subscription: PresenceSubscription): void {
    this.#presence = subscription;
    this.#driver.get()?.input({ type: "presence", subscription });
  }

  /** Whether a user is there, as far as the presence subscription tells. */
  presence(userId: string): Observable<Presence | undefined> {
    const all = this.attendance;
    return { subscribe: all.subscribe, get: () => all.get()?.get(userId) };
  }

  /** Everybody who is there, as far as the presence subscription tells, and how many where they are too many to be named. */
  get attendance(): Observable<Attendance | undefined> {
    return switched(this.#driver, (driver) => driver.presence, undefined);
  }

  /** The channel `type:id`; always the same handle. Asks nothing yet. */
  channel(type: string, id: string): Channel {
    return this.channelAt(`${type}:${id}`);
  }

  /** The channel with this full name; always the same handle. Asks nothing yet. Throws `invalid_id`. */
  channelAt(cid: string): Channel {
    return kept(this.#channels, cid, () => new Channel(this, this.#driver, ...splitCid(cid, this.url)));
  }

  /**
   * The channel that is made of exactly these members and the user, in whatever order: the one that is there, or a
   * new one with this data.
   */
  async createDistinct(
    type: string,
    members: string[],
    data?: NonNullable<GetOrCreateChannel["data"]>,
    options?: CallOptions,
  ): Promise<Channel> {
    const request = { members, messages: 0, ...(data && { data }) };
    const { channel } = await this.driver.ask((to) => to.distinctChannel(type, request), options);
    return this.channelAt(channel.cid);
  }

  /** Channels that match, live; those of which the user is a member where no filter is given. */
  channels(query: ChannelListQuery = {}): ChannelList {
    const { filter, sort, limit } = query;
    const json = JSON.stringify({ filter, sort, limit });
    return kept(this.#lists, json, () => new ChannelList(this, this.#driver, json));
  }

  /** The channels that match, of those that the user may see: one page, once. */
  async queryChannels(query: QueryChannels, options?: CallOptions): Promise<ChannelsResponse> {
    return this.driver.ask((to) => to.queryChannels(query), options);
  }

  /** Users by their ids. */
  async users(ids: readonly string[], options?: CallOptions): Promise<User[]> {
    return this.driver.ask((to) => to.users(ids), options);
  }

  /** Sets some of the user's own fields, and removes others. */
  async updateMe(update: PartialUpdate, options?: CallOptions): Promise<User> {
    const { driver } = this;
    return driver.ask((to) => to.updateUser(driver.userId, update), options);
  }

  /** Calls `listener` with every event of a type (`"all"`: of every type), until the returned function is called. */
  on<K extends ClientEventType>(type: K, listener: (event: ClientEventOf<K>) => void): () => void {
    return follow(this.#driver, (driver) => driver.listeners.on(type, listener));
  }

  /** Every event from now on, until `signal` aborts or the loop is left. */
  events({ signal }: { signal?: AbortSignal } = {}): AsyncGenerator<ClientEvent, void, void> {
    return iterate((listener) => this.on("all", listener), signal);
  }

  /** @internal Whoever is connected. Throws `not_logged_in`. */
  get driver(): Driver {
    const driver = this.#current();
    if (!driver) throw this.#endpoint.error("not_logged_in", "the client has no user: call connectUser or login first");
    return driver;
  }

  /** Whoever is connected, and not just leaving. */
  #current(): Driver | undefined {
    const driver = this.#driver.get();
    return driver?.isLeaving ? undefined : driver;
  }

  /** Whoever was logged in, where that is not known yet. Throws `not_logged_in`. */
  async #whoever(): Promise<Driver> {
    await this.#restored;
    return this.driver;
  }

  /** Logs in whoever was when the app ran last, unless the app has somebody by then. */
  async #restore(storage: StorageOption): Promise<void> {
    const { storedSession } = await loadKeeper();
    const session = await storedSession(storage, this.#endpoint);
    // `close` forgets this.
    if (!session || !this.#restored || this.#driver.get()) return;
    const { driver, after } = this.#attach(session.user);
    const token = new TokenSource(this.#options.tokenProvider ?? session.token, this.#endpoint);
    driver.logIn(token.reuse(session.token), undefined, after);
  }

  #tell(news: PlatformNews): void {
    if (news.type !== "path") this.#news.set(news.type, news);
    this.#driver.get()?.input(news);
  }

  /** Finds or makes the driver of a user, and says what it has to wait for. */
  #attach(userId: string): { driver: Driver; after: Promise<unknown> | undefined } {
    const current = this.#current();
    if (current) {
      if (current.userId === userId) return { driver: current, after: undefined };
      const how = "disconnectUser first, or use a second client";
      throw this.#endpoint.error("already_connected_as", `the client is connected as ${current.userId}: ${how}`);
    }
    const { url, appKey } = this.#endpoint;
    const key = [url, appKey, userId].join("\n");
    let driver = drivers.get(key);
    // Another handle may just be logging the same user out.
    const leaving = [this.#driver.get(), driver].filter((driver) => driver?.isLeaving);
    const after = leaving.length ? Promise.all(leaving.map((driver) => driver!.gone)) : undefined;
    if (!driver || driver.isLeaving) drivers.set(key, (driver = this.#makeDriver(userId, key)));
    clearTimeout(driver.linger);
    driver.handles++;
    this.#driver.set(driver);
    for (const news of this.#news.values()) driver.input(news);
    return { driver, after };
  }

  #makeDriver(userId: string, key: string): Driver {
    const { device = null, autoConnect = true, background = "park", backgroundGraceMs = 0, storage } = this.#options;
    const { transports = TRANSPORTS, climbEveryMs = 600_000, platform } = this.#options;
    const webSocket = this.#options.webSocket ?? (globalThis.WebSocket as WebSocketConstructor | undefined);
    const usable = transports.filter((transport) => webSocket || transport !== "web_socket");
    if (!usable.length) {
      const message = "no WebSocket here: give one as `webSocket`, from the package ws";
      throw this.#endpoint.error("invalid_input", message);
    }
    const driver = new Driver({
      userId,
      endpoint: this.#endpoint,
      webSocket,
      config: {
        app_key: this.#endpoint.appKey,
        client: {
          instance: this.#instance,
          page: PAGE,
          sdk: "typescript",
          version: PROTOCOL_VERSION,
          platform: platform?.name ?? platformName(),
        },
        device,
        presence: this.#presence,
        mode: autoConnect ? "auto" : "manual",
        background,
        background_grace_ms: backgroundGraceMs,
        lease_ms: 30_000,
        transports: usable,
        stall_ms: 2_500,
        climb_ms: climbEveryMs,
        wake_jump_ms: 10_000,
        wake_probe_ms: 3_000,
        dial_timeout_ms: 10_000,
        dead_link_ms: 35_000,
        stable_after_ms: 10_000,
        backoff: { base_ms: 500, cap_ms: 20_000 },
        retry_now_spread_ms: 300,
        spread_ms: 5_000,
        ui_grace_ms: 2_000,
      },
      platform,
      storage,
      worker: this.#options.worker,
    });
    if (this.#options.shareConnection !== false) driver.runner.joined = loadTabs(driver);
    void driver.gone.then(() => {
      if (drivers.get(key) === driver) drivers.delete(key);
    });
    return driver;
  }
}
