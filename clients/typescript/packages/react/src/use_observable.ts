// The one way in which a hook reads what changes.

import type { Observable } from "@parlour/client";
import { useSyncExternalStore } from "react";

const nothing = () => () => {};

/**
 * The observable's value. On a server, and while a page that came from one is made live, it is `initial`: what is
 * there then is not known to both.
 */
export function useObservable<T>(observable: Observable<T> | undefined, initial: T): T {
  const get = observable ? () => observable.get() : () => initial;
  return useSyncExternalStore(observable?.subscribe ?? nothing, get, () => initial);
}
