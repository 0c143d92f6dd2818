import { describe, expect, it } from "vitest";
import { emojiCount } from "../src/logic/emoji.js";

describe("a text of nothing but emoji", () => {
  it.each([
    ["🎉", 1],
    ["👍👍", 2],
    [" 🙂 🙃 ", 2],
    ["👩‍👩‍👧‍👦", 1],
    ["✌🏽", 1],
    ["❤️", 1],
    ["🏳️‍🌈🇩🇪", 2],
    ["🏴󠁧󠁢󠁥󠁮󠁧󠁿", 1],
    ["1️⃣", 1],
  ])("counts what is seen: %s", (text, count) => {
    expect(emojiCount(text)).toBe(count);
  });

  it.each(["", " ", "ok 👍", "123", "#", "©", "❤", "🎉".repeat(7), "a".repeat(5_000)])(
    "is not %j",
    (text) => {
      expect(emojiCount(text)).toBe(0);
    },
  );

  it("is told from hostile ones without long thinking", () => {
    for (const unit of ["⭐️", "👍🏽", "🇩", "✌🏽\u200d"]) {
      expect(emojiCount(`${unit.repeat(Math.floor(63 / unit.length))}a`)).toBe(0);
    }
  });
});
