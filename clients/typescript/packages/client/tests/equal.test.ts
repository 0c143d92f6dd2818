import { expect, test } from "vitest";

import { equal } from "../src/connection/equal.js";

const ALICE = { id: "alice", tags: ["a", "b"], settings: { theme: "dark", size: null } };

test("values are the same whatever the order of their keys", () => {
  const reordered = { settings: { size: null, theme: "dark" }, tags: ["a", "b"], id: "alice" };
  expect(equal(ALICE, reordered)).toBe(true);
  expect(equal("none", "none")).toBe(true);
});

test.each([
  [ALICE, { ...ALICE, id: "bob" }],
  [ALICE, { ...ALICE, tags: ["b", "a"] }],
  [ALICE, { ...ALICE, settings: { theme: "dark" } }],
  [ALICE, { ...ALICE, settings: { theme: "dark", size: 0 } }],
  [{ id: "alice", a: 1 }, { id: "alice", b: 1 }],
  [{ id: "alice", a: undefined }, { id: "alice", b: 1 }],
  [ALICE, undefined],
  [undefined, ALICE],
  [null, {}],
  [{}, null],
  [[], {}],
  [5, {}],
  ["ab", ["a", "b"]],
  [["a", "b"], "ab"],
])("%j is not %j", (one, other) => {
  expect(equal(one, other)).toBe(false);
});
