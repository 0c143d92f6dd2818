// Ids: those that the client makes, and what topics are named after.

function random(bytes: Uint8Array<ArrayBuffer>): Uint8Array {
  // React Native has no `crypto` of its own. Ids need to differ, not to be secret.
  const crypto = globalThis.crypto as Crypto | undefined;
  return crypto?.getRandomValues ? crypto.getRandomValues(bytes) : bytes.map(() => Math.random() * 256);
}

/** A UUID of version 7: sortable by time, so that databases keep fresh ids together. */
export function uuid(): string {
  const bytes = random(new Uint8Array(16));
  let ms = Date.now();
  for (let at = 5; at >= 0; at--, ms = Math.floor(ms / 256)) bytes[at] = ms % 256;
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Tells this page, or process, from others. */
export const PAGE = uuid();

/** The channel of a topic, if it is one of a channel. */
export function cidOf(topic: string): string | undefined {
  return topic.startsWith("channel:") ? topic.slice("channel:".length) : undefined;
}
