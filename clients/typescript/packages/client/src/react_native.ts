// Where the app stands and which network it has, as React Native tells.
//
// An entry of its own, and nothing of React Native is imported: the app gives what it has.

import type { NetworkLevel } from "./connection.js";
import type { Platform } from "./platform.js";

export type { Platform, PlatformNews } from "./platform.js";

/** React Native's `AppState`. */
export interface AppStateLike {
  readonly currentState: string | null;
  addEventListener(type: "change", listener: (state: string) => void): { remove(): void };
}

/** `@react-native-community/netinfo`, or what does the same. */
export interface NetInfoLike {
  addEventListener(listener: (state: { type: string; isConnected: boolean | null }) => void): () => void;
}

/**
 * The platform of a client in React Native: in the background it parks (or has its lease), in the foreground it comes
 * back, and a change of network is looked at.
 *
 * ```ts
 * import NetInfo from "@react-native-community/netinfo";
 * import { AppState } from "react-native";
 *
 * const client = new Client({ url, appKey, platform: reactNative({ AppState, NetInfo }) });
 * ```
 */
export function reactNative({ AppState, NetInfo }: { AppState: AppStateLike; NetInfo?: NetInfoLike }): Platform {
  return {
    name: "react-native",
    watch(tell) {
      const app = (state: string | null) => {
        // What comes in between ("inactive": a call comes in, the list of apps is shown) is neither.
        if (state === "active") tell({ type: "app", level: "foreground" });
        if (state === "background") tell({ type: "app", level: "background" });
      };
      let way: string | undefined;
      const network = ({ type, isConnected }: { type: string; isConnected: boolean | null }) => {
        const level: NetworkLevel = isConnected === null ? "unknown" : isConnected ? "up" : "down";
        tell({ type: "network", level });
        if (!isConnected || type === way) return;
        // What is told first is where the app is, and no change.
        if (way) tell({ type: "path", network: type });
        way = type;
      };
      app(AppState.currentState);
      const subscription = AppState.addEventListener("change", app);
      const unsubscribe = NetInfo?.addEventListener(network);
      return () => {
        subscription.remove();
        unsubscribe?.();
      };
    },
  };
}
