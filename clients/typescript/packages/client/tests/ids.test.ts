import { afterEach, expect, it, vi } from "vitest";

import { uuid } from "../src/ids.js";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const VERSION_7 = /^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;

it("an id of the client is a UUID of version 7, also where there is no crypto", () => {
  for (const crypto of [globalThis.crypto, undefined, {}]) {
    vi.stubGlobal("crypto", crypto);
    const ids = Array.from({ length: 1_000 }, uuid);
    for (const id of ids) expect(id).toMatch(VERSION_7);
    expect(new Set(ids).size).toBe(1_000);
  }
});

it("a later id sorts after an earlier one", () => {
  vi.useFakeTimers();
  const ids = [0, 1, 0xffff, 1_795_000_000_000, 1_795_000_000_001].map((ms) => {
    vi.setSystemTime(ms);
    return uuid();
  });
  expect([...ids].sort()).toEqual(ids);
  expect(ids[3]!.replaceAll("-", "").slice(0, 12)).toBe((1_795_000_000_000).toString(16).padStart(12, "0"));
});
