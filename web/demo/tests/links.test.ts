import { describe, expect, it } from "vitest";
import { safeHref, safeImage, splitLinks } from "../src/logic/links.js";

const links = (text: string) => splitLinks(text).flatMap((piece) => piece.href ?? []);
const whole = (text: string) =>
  splitLinks(text)
    .map((piece) => piece.text)
    .join("");

describe("links in a text", () => {
  it("are the addresses, and the rest stays text", () => {
    expect(splitLinks("see https://a.example/b?c=d#e and tell")).toEqual([
      { text: "see " },
      { text: "https://a.example/b?c=d#e", href: "https://a.example/b?c=d#e" },
      { text: " and tell" },
    ]);
  });

  it.each([
    ["https://a.example.", "https://a.example"],
    ["(https://a.example/b)", "https://a.example/b"],
    ["https://a.example/b_(c)", "https://a.example/b_(c)"],
    ["[https://a.example/b].", "https://a.example/b"],
    ["https://a.example?!…", "https://a.example"],
    ["<https://a.example>", "https://a.example"],
    ["'https://a.example'", "https://a.example"],
    ["**https://a.example**", "https://a.example"],
  ])("leave the sentence its punctuation: %s", (text, address) => {
    expect(splitLinks(text).find((piece) => piece.href)?.text).toBe(address);
    expect(whole(text)).toBe(text);
  });

  it("are found where two stand in one text", () => {
    expect(links("http://127.0.0.1:8790/docs, HTTPS://B.EXAMPLE")).toEqual([
      "http://127.0.0.1:8790/docs",
      "https://b.example/",
    ]);
  });

  it.each([
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:https-x",
    "//evil.example",
    "www.example.com",
    "http://",
    "https://.",
    "https:///",
    "http:/evil.example",
    "xhttps://evil.example",
    "https://bank.example@evil.example/",
    "https://user:pass@evil.example/",
    "https://[bad",
    "https://a.example:99999",
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
  ])("are not made of %j", (text) => {
    expect(links(text)).toEqual([]);
    expect(whole(text)).toBe(text);
  });

  it("cannot carry a script behind an address", () => {
    expect(links("javascript:https://a.example/%0aalert(1)")).toEqual(["https://a.example/%0aalert(1)"]);
  });

  it("end where the direction of writing is turned", () => {
    const text = "https://a.example/\u202egpj.exe";
    expect(links(text)).toEqual(["https://a.example/"]);
    expect(whole(text)).toBe(text);
  });

  it("open what a look-alike host really is", () => {
    expect(links("https://\u0430pple.example")).toEqual(["https://xn--pple-43d.example/"]);
  });

  it("are found in hostile texts without long thinking", () => {
    for (const text of ["https://" + ")".repeat(100_000), "https://a".repeat(20_000), "(".repeat(100_000)]) {
      const begun = performance.now();
      expect(whole(text)).toBe(text);
      expect(performance.now() - begun).toBeLessThan(1_000);
    }
  });
});

describe("an address from somebody else", () => {
  it("is taken only if it begins as http or https", () => {
    expect(safeHref("https://a.example/x")).toBe("https://a.example/x");
    expect(safeHref(" javascript:alert(1)")).toBeUndefined();
    expect(safeHref("/docs")).toBeUndefined();
  });

  it("is an image only by https", () => {
    expect(safeImage("https://a.example/a.png")).toBe("https://a.example/a.png");
    for (const bad of [
      "http://a.example/a.png",
      "data:image/svg+xml,<svg/>",
      7,
      undefined,
      { href: "https://a" },
    ]) {
      expect(safeImage(bad)).toBeUndefined();
    }
  });
});
