// Ids made from what people type. The server's rules stand in spec/protocol.md, section 1.

const CID = /^[a-z0-9_-]{1,64}:[a-zA-Z0-9_!-]{1,128}$/;
const USER_ID = /^[a-z0-9@_-]{1,128}$/;

/** Leaves room for a suffix below the 128 characters of an id. */
const STEM_MAX = 100;

/** Whether the server takes it as the id of a user. */
export function isUserId(text: string): boolean {
  return USER_ID.test(text);
}

/** Whether it can be the full name of a channel, `type:id`. An address may hold anything. */
export function isCid(text: string | undefined): text is string {
  return text !== undefined && CID.test(text);
}

/**
 * An id for somebody new: the name in the letters that ids have, with a suffix where that is taken or
 * nothing.
 */
export function userIdFrom(name: string, taken: ReadonlySet<string>, suffix: () => string): string {
  const stem = stemOf(name, /[^a-z0-9@_-]+/g);
  if (stem === "") return `guest-${suffix()}`;
  return taken.has(stem) ? `${stem}-${suffix()}` : stem;
}

/** The id of a livestream: the same name always means the same stream, so that others find it. */
export function livestreamIdFrom(name: string, suffix: () => string): string {
  return stemOf(name, /[^a-z0-9_-]+/g) || suffix();
}

/** The id of a channel for its members: names may repeat, ids may not. */
export function channelIdFrom(name: string, suffix: () => string): string {
  return [stemOf(name, /[^a-z0-9_-]+/g), suffix()].filter(Boolean).join("-");
}

/** The ids in what somebody typed into one field: separated by commas, semicolons or white space. */
export function idsIn(text: string): string[] {
  return [
    ...new Set(
      text
        .toLowerCase()
        .split(/[\s,;]+/)
        .filter(Boolean),
    ),
  ];
}

/** Six characters that make an id differ. */
export function randomSuffix(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  return Array.from(bytes, (byte) => (byte % 36).toString(36)).join("");
}

function stemOf(name: string, others: RegExp): string {
  const letters = name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  return letters
    .replace(others, "-")
    .slice(0, STEM_MAX)
    .replace(/^-+|-+$/g, "");
}
