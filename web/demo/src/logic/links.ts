// Finds what may be clicked in a text that somebody else wrote.
//
// Not a sanitiser: the pieces are shown as text, and only a piece with `href` becomes a link. What is in
// doubt stays text.

export interface Piece {
  text: string;
  /** An absolute http or https address, as the browser itself writes it. */
  href?: string;
}

// Quotes and brackets end an address, as people write `<https://…>`. So do controls and the marks that turn
// the direction of writing: with them an address reads differently from what it opens.
const ADDRESS =
  /(?<![\p{L}\p{N}_@])https?:\/\/[^\s<>"'`\\^{|}\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+/giu;
const TRAILING = ".,:;!?…*_~";
const OPENING: Readonly<Record<string, string>> = { ")": "(", "]": "[" };

/** The text in pieces; together they are the whole text. */
export function splitLinks(text: string): Piece[] {
  const pieces: Piece[] = [];
  let done = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const address = withoutTrailing(match[0]);
    const href = safeHref(address);
    if (href === undefined) continue;
    if (match.index > done) pieces.push({ text: text.slice(done, match.index) });
    pieces.push({ text: address, href });
    done = match.index + address.length;
  }
  if (done < text.length) pieces.push({ text: text.slice(done) });
  return pieces;
}

/**
 * An address that may stand in `href`; undefined for everything that is not plainly http or https. An address
 * with a user name in it is refused: `https://bank.example@evil.example` opens the latter.
 */
export function safeHref(address: string): string | undefined {
  if (!/^https?:\/\//i.test(address) || !URL.canParse(address)) return undefined;
  const url = new URL(address);
  return url.username === "" && url.password === "" ? url.href : undefined;
}

/** The address of an image that may be shown: https alone. */
export function safeImage(address: unknown): string | undefined {
  const href = typeof address === "string" ? safeHref(address) : undefined;
  return href?.startsWith("https:") ? href : undefined;
}

/** Punctuation after an address belongs to the sentence; so does a bracket that the address did not open. */
function withoutTrailing(address: string): string {
  const open = new Map([...Object.keys(OPENING)].map((close) => [close, surplus(address, close)]));
  let end = address.length;
  for (; end > 0; end--) {
    const last = address.charAt(end - 1);
    const closes = open.get(last);
    if (closes !== undefined && closes > 0) open.set(last, closes - 1);
    else if (!TRAILING.includes(last)) break;
  }
  return address.slice(0, end);
}

/** How many more of a closing bracket there are than of its opening one. */
function surplus(address: string, close: string): number {
  let count = 0;
  for (const char of address) {
    if (char === close) count++;
    else if (char === OPENING[close]) count--;
  }
  return count;
}
