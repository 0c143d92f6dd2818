// Where the app runs, and what is told from there: by a browser (browser.ts), or by what the app gives.

import type { Input } from "./connection.js";

/** What a platform tells. */
export type PlatformNews = Extract<Input, { type: "app" | "network" | "path" | "woke" }>;

/** Where the app runs. */
export interface Platform {
  /** Told to the server: `browser`, `react-native ios`. */
  readonly name: string;
  /** Tells how things stand now, and each change, until the returned function is called. */
  watch(tell: (news: PlatformNews) => void): () => void;
}

/** The platform's name where the app gives none. */
export function platformName(): string {
  if (typeof navigator !== "undefined" && navigator.product === "ReactNative") return "react-native";
  if (typeof document !== "undefined") return "browser";
  const { process } = globalThis as { process?: { versions?: { node?: string } } };
  return process?.versions?.node ? `node ${process.versions.node}` : "other";
}
