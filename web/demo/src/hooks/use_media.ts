import { useCallback, useSyncExternalStore } from "react";

/** One screen at a time: the same width as in the style sheets. */
export const PHONE = "(max-width: 679px)";
/** Fingers. */
export const COARSE = "(pointer: coarse)";

/** Whether a media query holds. */
export function useMedia(query: string): boolean {
  const subscribe = useCallback(
    (listener: () => void) => {
      const list = matchMedia(query);
      list.addEventListener("change", listener);
      return () => list.removeEventListener("change", listener);
    },
    [query],
  );
  return useSyncExternalStore(subscribe, () => matchMedia(query).matches);
}
