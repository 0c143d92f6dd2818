// What outlives the page: who is logged in, under the server's address and the app key; and where she stood and what
// she has not sent, under these and her id.
//
// Loaded where a client has a storage. A storage that fails, or holds what nobody understands, stops nothing: the
// client begins anew, and tells. Not here: when a user is known, and what becomes of what was kept (driver.ts).

import type { Endpoint } from "./address.js";
import { parsed } from "./answers.js";
import type { Saved } from "./connection.js";
import type { Driver } from "./driver.js";
import { textOf } from "./errors.js";
import type { KeptMessage } from "./outbox.js";
import type { StorageOption, TextStorage } from "./storage.js";

/** While things change they are written this often, and the first change at once. */
const WRITE_EVERY_MS = 1_000;

/** Who was logged in. */
export interface Session {
  readonly user: string;
  readonly token: string;
}

/** What there is to keep of a user. */
export interface Lasting {
  /** Absent before the server has taken it. */
  token: string | undefined;
  saved: Saved | null;
  /** Absent before what was kept has been taken up. */
  outbox: readonly KeptMessage[] | undefined;
}

const keys = ({ url, appKey }: Endpoint, user = "") => ({
  session: `parlour ${url} ${appKey} session`,
  state: `parlour ${url} ${appKey} user ${user}`,
});

function storageOf(storage: StorageOption): TextStorage {
  if (typeof storage === "object") return storage;
  return storage === "session" ? sessionStorage : localStorage;
}

/** What is being written, by storage and key: whoever comes next, a later user's keeper too, comes after that. */
const writing = new WeakMap<TextStorage, Map<string, Promise<void>>>();

function writes(storage: TextStorage): Map<string, Promise<void>> {
  const underWay = writing.get(storage) ?? new Map<string, Promise<void>>();
  writing.set(storage, underWay);
  return underWay;
}

async function read(option: StorageOption, key: string): Promise<string | null | undefined> {
  const storage = storageOf(option);
  await writes(storage).get(key);
  return storage.getItem(key);
}

/** Sets or removes what stands under a key; one after the other, where the storage takes its time. */
async function write(option: StorageOption, key: string, text: string | undefined): Promise<void> {
  const storage = storageOf(option);
  const underWay = writes(storage);
  const put = async () => void (await (text === undefined ? storage.removeItem(key) : storage.setItem(key, text)));
  const before = underWay.get(key);
  // Begins at once where nothing is under way: the page may be about to end.
  const written = before ? before.then(put) : put();
  const settled = written.catch(() => {}).then(() => void (underWay.get(key) === settled && underWay.delete(key)));
  underWay.set(key, settled);
  return written;
}

/** Who was logged in when the app ran last, if that is known. */
export async function storedSession(storage: StorageOption, endpoint: Endpoint): Promise<Session | undefined> {
  try {
    return sessionOf(await read(storage, keys(endpoint).session));
  } catch {
    // Told when there is a user to tell it to: nothing else can be kept then, either.
    return undefined;
  }
}

function sessionOf(text: string | null | undefined): Session | undefined {
  const { user, token } = parsed(text ?? "{}") ?? {};
  return typeof user === "string" && typeof token === "string" ? { user, token } : undefined;
}

/** One user's place in a storage, while her client is there. */
export class Keeper {
  readonly #storage: StorageOption;
  readonly #keys: ReturnType<typeof keys>;
  readonly #driver: Driver;
  /** What was kept. */
  saved: Saved | null = null;
  outbox: readonly KeptMessage[] = [];
  /** What stands in the storage, as far as it is known. */
  readonly #written = new Map<string, string | undefined>();
  #writtenAt = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #toldOf: string | undefined;

  constructor(storage: StorageOption, endpoint: Endpoint, driver: Driver) {
    this.#storage = storage;
    this.#keys = keys(endpoint, driver.userId);
    this.#driver = driver;
  }

  /** Takes up what was kept of the user. */
  async open(): Promise<this> {
    try {
      const text = await read(this.#storage, this.#keys.state);
      const state = stateOf(text ?? "{}");
      if (state) Object.assign(this, state);
      else this.#tell("what was kept is not understood");
    } catch (error) {
      this.#tell(`what was kept could not be read: ${textOf(error)}`);
    }
    return this;
  }

  /** Something may have changed. `atOnce`: there may be no later. */
  touch(atOnce: boolean): void {
    const wait = this.#writtenAt + WRITE_EVERY_MS - performance.now();
    if (atOnce || wait <= 0) this.#write();
    else this.#timer ??= setTimeout(() => this.#write(), wait);
  }

  /** The user's time is over: what is to stay of her is her outbox, or nothing. */
  end(keeps: "outbox" | "nothing"): void {
    const { outbox = this.outbox } = this.#driver.lasting();
    this.#stop();
    const stays = keeps === "outbox" && outbox.length > 0;
    this.#put(this.#keys.state, stays ? JSON.stringify({ saved: null, outbox }) : undefined);
    void this.#forgetSession();
  }

  /** Nobody holds the client any more, and nobody has left. */
  close(): void {
    this.#write();
    this.#stop();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.touch = () => {};
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writtenAt = performance.now();
    const { token, saved, outbox = this.outbox } = this.#driver.lasting();
    if (token) this.#put(this.#keys.session, JSON.stringify({ user: this.#driver.userId, token }));
    this.#put(this.#keys.state, JSON.stringify({ saved: saved ?? this.saved, outbox }));
  }

  /** Somebody else may have logged in meanwhile. */
  async #forgetSession(): Promise<void> {
    const { session } = this.#keys;
    try {
      const stored = sessionOf(await read(this.#storage, session));
      if (stored?.user === this.#driver.userId) this.#put(session, undefined);
    } catch (error) {
      this.#tell(`what was kept could not be erased: ${textOf(error)}`);
    }
  }

  #put(key: string, text: string | undefined): void {
    if (this.#written.has(key) && this.#written.get(key) === text) return;
    this.#written.set(key, text);
    write(this.#storage, key, text).then(
      () => (this.#toldOf = undefined),
      (error: unknown) => {
        this.#written.delete(key);
        this.#tell(`nothing could be kept: ${textOf(error)}`);
      },
    );
  }

  /** The same again is no news. */
  #tell(message: string): void {
    if (message !== this.#toldOf) this.#driver.listeners.tell({ type: "storage.failed", message });
    this.#toldOf = message;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

/** What was kept of a user, if it is that. */
function stateOf(text: string): { saved: Saved | null; outbox: KeptMessage[] } | undefined {
  const state = parsed(text);
  if (!isObject(state)) return undefined;
  const { saved = null, outbox = [] } = state;
  const isSaved =
    saved === null ||
    (isObject(saved) &&
      typeof saved["epoch"] === "string" &&
      typeof saved["as_of"] === "string" &&
      isObject(saved["cursors"]) &&
      Object.values(saved["cursors"]).every(Number.isSafeInteger) &&
      isObject(saved["worked_in"]));
  const isOutbox = Array.isArray(outbox) && outbox.every(isMessage);
  return isSaved && isOutbox ? { saved: saved as Saved | null, outbox } : undefined;
}

function isMessage(value: unknown): value is KeptMessage {
  if (!isObject(value)) return false;
  const { cid, id, draft, queuedAt, error } = value;
  const isNamed = typeof cid === "string" && typeof id === "string";
  const isWhole = isNamed && isObject(draft) && typeof queuedAt === "number";
  return isWhole && (error === undefined || (isObject(error) && typeof error["docs"] === "string"));
}
