import { describe, expect, it } from "vitest";
import { countAfter, firstUnread, shapeAt } from "../src/logic/rows.js";
import { pending, said, systemSaid } from "./kit.js";

describe("a new day", () => {
  it("is told above its first message, and above the first of all", () => {
    const entries = [
      said("bob", 1, "2026-05-01T23:59"),
      said("bob", 2, "2026-05-02T00:01"),
      said("bob", 3, "2026-05-02T00:02"),
    ];
    expect(entries.map((_, at) => shapeAt(entries, at, undefined).newDay)).toEqual([true, true, false]);
  });

  it("ends a group, however short the time", () => {
    const entries = [said("bob", 1, "2026-05-01T23:59"), said("bob", 2, "2026-05-02T00:01")];
    expect(shapeAt(entries, 0, undefined).last).toBe(true);
    expect(shapeAt(entries, 1, undefined).first).toBe(true);
  });
});

describe("a group", () => {
  const ends = (entries: Parameters<typeof shapeAt>[0], divider?: string) =>
    entries.map((_, at) => {
      const { first, last } = shapeAt(entries, at, divider);
      return `${first ? "[" : ""}${entries[at]?.id}${last ? "]" : ""}`;
    });

  it("is what one sender says in a row", () => {
    expect(ends([said("bob", 1), said("bob", 2), said("bob", 3), said("alice", 4)])).toEqual([
      "[m1",
      "m2",
      "m3]",
      "[m4]",
    ]);
  });

  it("ends after five minutes of silence", () => {
    const entries = [
      said("bob", 1, "2026-05-01T10:00:00"),
      said("bob", 2, "2026-05-01T10:05:00"),
      said("bob", 3, "2026-05-01T10:10:01"),
    ];
    expect(ends(entries)).toEqual(["[m1", "m2]", "[m3]"]);
  });

  it("is parted by the divider and by what the system says", () => {
    expect(ends([said("bob", 1), said("bob", 2)], "m2")).toEqual(["[m1]", "[m2]"]);
    expect(ends([said("bob", 1), systemSaid(2), said("bob", 3)])).toEqual(["[m1]", "[m2]", "[m3]"]);
  });
});

describe("the divider", () => {
  it("stands above the first message of others that is not read", () => {
    const entries = [said("bob", 1), said("alice", 2), systemSaid(3), said("bob", 4), said("bob", 5)];
    expect(firstUnread(entries, false, 1, "alice")).toBe("m4");
    expect(firstUnread(entries, false, 4, "alice")).toBe("m5");
    expect(firstUnread(entries, false, 5, "alice")).toBeUndefined();
  });

  it("waits until everything unread is loaded", () => {
    const entries = [said("bob", 5), said("bob", 6)];
    expect(firstUnread(entries, true, 2, "alice")).toBeUndefined();
    expect(firstUnread(entries, false, 2, "alice")).toBe("m5");
    expect(firstUnread(entries, true, 5, "alice")).toBe("m6");
  });

  it("is never above a message that is still on its way", () => {
    expect(firstUnread([said("bob", 1), pending("bob", "p")], false, 1, "alice")).toBeUndefined();
  });
});

describe("new messages below", () => {
  const entries = [said("bob", 1), said("bob", 2), said("alice", 3), systemSaid(4), said("bob", 5)];

  it("are those of others", () => {
    expect(countAfter(entries, "m1", "alice")).toBe(2);
    expect(countAfter(entries, "m5", "alice")).toBe(0);
  });

  it("are none where the place is not known any more", () => {
    expect(countAfter(entries, "gone", "alice")).toBe(0);
    expect(countAfter([], undefined, "alice")).toBe(0);
  });
});
