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
  /** Told when the first listener comes (`true`) and when the last one goes (`false`). */
  #watched: ((watched: boolean) => void) | undefined;

  constructor(value: T, watched?: (watched: boolean) => void) {
    this.#value = value;
    this.#watched = watched;
  }

  get = (): T => this.#value;

  subscribe = (listener: () => void): (() => void) => {
    // A wrapper of its own, so that one function subscribed twice is two subscriptions.
    const own = () => listener();
    this.#listeners.add(own);
    if (this.#listeners.size === 1) this.#watched?.(true);
    return () => {
      if (this.#listeners.delete(own) && this.#listeners.size === 0) this.#watched?.(false);
    };
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
export function follow<S>(from: Observable<S>, attach: (source: S) => () => void): () => void {
  let detach = attach(from.get());
  const stop = from.subscribe(() => {
    detach();
    detach = attach(from.get());
  });
  return () => {
    stop();
    detach();
  };
}

/** What `pick` finds in whatever `from` holds at the moment. */
export function switched<S, T>(from: Observable<S>, pick: (source: S) => Observable<T>): Observable<T> {
  return {
    get: () => pick(from.get()).get(),
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

/** Resolves with the first value that `test` accepts; rejects when `signal` aborts. */
export function until<T, U extends T>(
  observable: Observable<T>,
  test: (value: T) => value is U,
  signal?: AbortSignal,
): Promise<U> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      off();
      signal?.removeEventListener("abort", aborted);
      settle();
    };
    const look = () => {
      const value = observable.get();
      if (test(value)) end(() => resolve(value));
    };
    const aborted = () => end(() => reject(signal?.reason));
    const off = observable.subscribe(look);
    signal?.addEventListener("abort", aborted);
    if (signal?.aborted) aborted();
    else look();
  });
}
