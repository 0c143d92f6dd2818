// What sharing needs of the page: a lock, a channel, and whether anybody looks.

import { nameOf, type Word } from "./words.js";

/** Tells this page from others. */
const PAGE = crypto.randomUUID();

export interface Page {
  /** Tells this page from others. */
  readonly id: string;
  readonly isVisible: boolean;
  /** The lock is held until the promise that `granted` returns resolves; rejects when it was stolen. */
  request(options: LockOptions, granted: () => Promise<void>): Promise<void>;
  /** Whether somebody holds the lock. */
  isLed(): Promise<boolean>;
  /**
   * Says that a tab is there, from when `seated` resolves until `rise` is called or the page is gone. Who is told of the
   * tab earlier would find that it is gone.
   */
  sit(tab: string): { seated: Promise<unknown>; rise: () => void };
  /** Resolves when a tab is not there any more. */
  gone(tab: string): Promise<unknown>;
  /** Resolves when all that had happened to the lock has been told. */
  settled(): Promise<unknown>;
  post(word: Word): void;
  /** Calls `tick` so often, until the returned function is called. */
  every(ms: number, tick: () => void): () => void;
  /** Tells what others post, and when the page stops (it is frozen, or left) and goes on. */
  watch(heard: (word: Word) => void, stops: () => void, goesOn: () => void, looked: () => void): () => void;
}

/** The page, or the worker, that this code runs in; `user` names what is shared: the address, the app key and the user. */
export function pageOf(user: string): Page {
  const name = nameOf(user);
  const channel = new BroadcastChannel(name);
  return {
    id: PAGE,
    get isVisible() {
      return globalThis.document?.visibilityState === "visible";
    },
    request: (options, granted) => navigator.locks.request(name, options, granted),
    isLed: async () => (await navigator.locks.query()).held?.some((lock) => lock.name === name) ?? false,
    sit(tab) {
      let rise!: () => void;
      const sits = new Promise<void>((resolve) => (rise = resolve));
      const seated = new Promise<void>((resolve) => {
        const granted = () => {
          resolve();
          return sits;
        };
        // Where there are no locks to be had, nobody is told of the tab.
        navigator.locks.request(`${name}\n${tab}`, granted).catch(() => resolve());
      });
      return { seated, rise };
    },
    gone: (tab) => navigator.locks.request(`${name}\n${tab}`, () => {}).catch(() => new Promise<never>(() => {})),
    settled: () => navigator.locks.query(),
    post: (word) => channel.postMessage(word),
    every(ms, tick) {
      const timer = setInterval(tick, ms);
      return () => clearInterval(timer);
    },
    watch(heard, stops, goesOn, looked) {
      const control = new AbortController();
      const { signal } = control;
      channel.addEventListener("message", ({ data }: MessageEvent<Word>) => heard(data), { signal });
      const { document } = globalThis as { document?: Document };
      document?.addEventListener("freeze", stops, { signal });
      document?.addEventListener("resume", goesOn, { signal });
      document?.addEventListener("visibilitychange", looked, { signal });
      addEventListener("pagehide", stops, { signal });
      addEventListener("pageshow", goesOn, { signal });
      return () => {
        control.abort();
        channel.close();
      };
    },
  };
}
