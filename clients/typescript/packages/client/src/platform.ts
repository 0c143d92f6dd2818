// What a browser says of the page and of the network. Elsewhere nothing is known, and nothing assumed.

import type { AppLevel, NetworkLevel } from "./connection.js";

interface Platform {
  name: string;
  /** Tells the levels as they are now, and each change, until the returned function is called. */
  watch(app: (level: AppLevel) => void, network: (level: NetworkLevel) => void): () => void;
}

function nameOf(): string {
  if (typeof navigator !== "undefined" && navigator.product === "ReactNative") return "react-native";
  if (typeof document !== "undefined") return "browser";
  const { process } = globalThis as { process?: { versions?: { node?: string } } };
  return process?.versions?.node ? `node ${process.versions.node}` : "other";
}

export const PLATFORM: Platform = {
  name: nameOf(),
  watch(app, network) {
    if (typeof document === "undefined" || typeof window === "undefined" || !window.addEventListener) {
      return () => {};
    }
    const seen = () => app(document.visibilityState === "hidden" ? "hidden" : "foreground");
    // Only "offline" is believed at the beginning: pages are told "online" where nobody knows.
    const up = () => network("up");
    const down = () => network("down");
    document.addEventListener("visibilitychange", seen);
    window.addEventListener("online", up);
    window.addEventListener("offline", down);
    seen();
    if (navigator.onLine === false) down();
    return () => {
      document.removeEventListener("visibilitychange", seen);
      window.removeEventListener("online", up);
      window.removeEventListener("offline", down);
    };
  },
};
