import type { Observable } from "@parlour/client";
import { useCallback, useSyncExternalStore } from "react";

/** The value of an observable, now and after every change. */
export function useObservable<T>(observable: Observable<T>): T {
  const subscribe = useCallback((listener: () => void) => observable.subscribe(listener), [observable]);
  return useSyncExternalStore(subscribe, () => observable.get());
}
