// Where a client keeps what the next page, or the next run of the app, needs.

/** A place for texts: what browsers call a `Storage`, and React Native's `AsyncStorage`. */
export interface TextStorage {
  getItem(key: string): string | null | undefined | Promise<string | null | undefined>;
  setItem(key: string, text: string): unknown;
  removeItem(key: string): unknown;
}

/**
 * `local`: the browser's `localStorage`; `session`: its `sessionStorage`, which ends with the tab. What is kept
 * includes the user's token: a storage is as private as the user's other credentials.
 */
export type StorageOption = "local" | "session" | TextStorage;

/** Keeps until the page or the process ends: for clients that are made anew within it, and for tests. */
export function memoryStorage(): TextStorage {
  const texts = new Map<string, string>();
  return {
    getItem: (key) => texts.get(key),
    setItem: (key, text) => texts.set(key, text),
    removeItem: (key) => texts.delete(key),
  };
}
