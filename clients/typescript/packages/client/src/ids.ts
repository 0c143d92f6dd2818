// Ids: those that the client makes, and what topics are named after.

/** So many digits, by chance. */
function hex(digits: number): string {
  // React Native has no `crypto` of its own. Ids need to differ, not to be secret.
  const crypto = globalThis.crypto as Crypto | undefined;
  const bytes = new Uint8Array(digits);
  const random = crypto?.getRandomValues ? crypto.getRandomValues(bytes) : bytes.map(() => Math.random() * 256);
  return Array.from(random, (byte) => (byte % 16).toString(16)).join("");
}

/** A UUID of version 7: sortable by time, so that databases keep fresh ids together. */
export function uuid(): string {
  const ms = Date.now().toString(16).padStart(12, "0");
  return `${ms.slice(0, 8)}-${ms.slice(8)}-7${hex(3)}-8${hex(3)}-${hex(12)}`;
}

/** Tells this page, or process, from others. */
export const PAGE = uuid();

/** The channel of a topic, if it is one of a channel. */
export function cidOf(topic: string): string | undefined {
  return topic.startsWith("channel:") ? topic.slice("channel:".length) : undefined;
}
