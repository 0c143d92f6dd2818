// Values that change, as React's `useSyncExternalStore` and any other view layer can read them.
//
// Not here: what the values are. A listener hears that something changed and reads it by `get()`.

/** A value that changes. `get()` gives the very same value until it changes. */
export interface Observable<T> {
  get(): T;
  /** Calls `listener` after every change, until the returned function is called. */
  subscribe(listener: () => void): () => void;
}

/** Calls a listener of the app: what it throws is the app's, and must not stop us. */
export function call<A extends unknown[]>(listener: (...args: A) => void, ...args: A): void {
  try {
    listener(...args);
  } catch (error) {
    setTimeout(() => {
      throw error;
    });
  }
}

/** An observable that its owner sets. `get` and `subscribe` may be passed around without it. */
export class Source<T> implements Observable<T> {
  #value: T;
  #listeners = new Set<() => void>();
  #watched: (() => void) | undefined;

  /** `watched` is called when a listener has come. */
  constructor(value: T, watched?: () => void) {
    this.#value = value;
    this.#watched = watched;
  }

  get = (): T => this.#value;

  subscribe = (listener: () => void): (() => void) => {
    // A wrapper of its own, so that one function subscribed twice is two subscriptions.
    const own = () => listener();
    this.#listeners.add(own);
    this.#watched?.();
    return () => void this.#listeners.delete(own);
  };

  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const listener of [...this.#listeners]) call(listener);
  }

  /** Replaces some fields of an object, if any of them is another value. */
  patch(fields: Partial<T>): void {
    const old = this.#value;
    const keys = Object.keys(fields) as (keyof T)[];
    if (keys.some((key) => !Object.is(fields[key], old[key]))) this.set({ ...old, ...fields });
  }
}

/** Keeps something attached to whatever `from` holds at the moment, until the returned function is called. */
export function follow<S>(from: Observable<S | undefined>, attach: (source: S) => () => void): () => void {
  let detach: (() => void) | undefined;
  const again = () => {
    detach?.();
    const source = from.get();
    detach = source && attach(source);
  };
  again();
  const stop = from.subscribe(again);
  return () => {
    stop();
    detach?.();
  };
}

/** What `pick` finds in whatever `from` holds at the moment, and `initial` while that is nothing. */
export function switched<S, T>(
  from: Observable<S | undefined>,
  pick: (source: S) => Observable<T>,
  initial: T,
): Observable<T> {
  return {
    get: () => {
      const source = from.get();
      return source ? pick(source).get() : initial;
    },
    subscribe: (listener) => {
      const off = follow(from, (source) => pick(source).subscribe(listener));
      // The other value may differ.
      const offSwitch = from.subscribe(listener);
      return () => {
        off();
        offSwitch();
      };
    },
  };
}

/**
 * Resolves with the first thing that `look` finds, now or after a change, and rejects with what it throws. Looks no
 * more once `signal` has aborted.
 */
export function until<T>(
  changes: Observable<unknown>,
  look: () => T | undefined,
  signal?: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const again = () => {
      try {
        const found = look();
        if (found === undefined) return;
        resolve(found);
      } catch (error) {
        reject(error);
      }
      off();
    };
    const off = changes.subscribe(again);
    signal?.addEventListener("abort", off);
    again();
  });
}

/** What a map has for a key, made where there is nothing yet. */
export function kept<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
