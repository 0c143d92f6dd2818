// Tells texts of nothing but emoji, which are shown large.

// One emoji as a reader sees it: a flag, a keycap, or pictures joined to one, with skin tones and tags.
const TONE = "\\p{Emoji_Modifier}";
const DRAWN = `\\p{Emoji_Presentation}\\ufe0f?${TONE}?`;
// Signs such as ❤ and © are letters, unless something after them asks for the picture.
const ASKED_FOR = `\\p{Extended_Pictographic}(?:\\ufe0f${TONE}?|${TONE})`;
const PICTURE = `(?:${DRAWN}|${ASKED_FOR})`;
const JOINED = `${PICTURE}(?:\\u200d(?:${PICTURE}|\\p{Extended_Pictographic}))*[\\u{e0020}-\\u{e007f}]*`;
const ONE = `(?:\\p{Regional_Indicator}{2}|[0-9#*]\\ufe0f?\\u20e3|${JOINED})`;
const EACH = new RegExp(ONE, "gu");

/** Longer texts are not looked at: nobody reads forty emoji at a large size. */
const LENGTH_MAX = 64;
const SHOWN_LARGE_MAX = 6;

/** How many emoji a text is made of; 0 where it holds anything else, or more than are worth a large size. */
export function emojiCount(text: string): number {
  if (text.length > LENGTH_MAX) return 0;
  let count = 0;
  // One after the other, not as one pattern for all: that would try every way of parting them.
  const rest = text.replace(EACH, () => {
    count++;
    return "";
  });
  return rest.trim() === "" && count <= SHOWN_LARGE_MAX ? count : 0;
}
