// What a browser tells of the page and of the network. Elsewhere nothing is known, and nothing assumed, unless the app
// gives a platform (react_native.ts).

import type { PlatformNews } from "./platform.js";

/** What `navigator.connection` is, where there is one. */
type NetworkInformation = EventTarget & { readonly type?: string };

/** Tells how things stand now, and each change, until the returned function is called. */
export function watchBrowser(tell: (news: PlatformNews) => void): () => void {
  if (typeof document === "undefined" || typeof window === "undefined" || !window.addEventListener) {
    return () => {};
  }
  const ended = new AbortController();
  const on = (target: EventTarget | undefined, types: string, listener: () => void) => {
    for (const type of types.split(" ")) target?.addEventListener(type, listener, { signal: ended.signal });
  };
  const seen = () => tell({ type: "app", level: document.visibilityState === "hidden" ? "hidden" : "foreground" });
  // A page that is left may be kept, and come back; while it is kept, no code runs.
  const frozen = () => tell({ type: "app", level: "frozen" });
  const down = () => tell({ type: "network", level: "down" });
  const { connection } = navigator as Navigator & { connection?: NetworkInformation };
  on(document, "visibilitychange resume", seen);
  on(document, "freeze", frozen);
  on(window, "pagehide", frozen);
  on(window, "pageshow", seen);
  on(window, "online", () => tell({ type: "network", level: "up" }));
  on(window, "offline", down);
  let way = connection?.type;
  on(connection, "change", () => {
    // It is told of speeds, too.
    if (connection?.type !== way) tell({ type: "path", network: (way = connection?.type) ?? null });
  });
  seen();
  // Only "offline" is believed at the beginning: pages are told "online" where nobody knows.
  if (navigator.onLine === false) down();
  return () => ended.abort();
}
