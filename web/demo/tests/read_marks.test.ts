import { describe, expect, it } from "vitest";
import { readMarks } from "../src/logic/read_marks.js";
import { pending, read, said } from "./kit.js";

const entries = [said("alice", 3), said("alice", 5), said("bob", 8), said("alice", 9)];

describe("read marks", () => {
  it("stand at the last message that somebody has read", () => {
    const { endsAt } = readMarks(entries, [read("carol", 6), read("bob", 9)], ["bob", "carol"], "alice");
    expect(Object.fromEntries(endsAt)).toEqual({ m5: ["carol"], m9: ["bob"] });
  });

  it("stand nowhere for those who wrote themselves since", () => {
    expect(readMarks(entries, [read("bob", 3)], ["bob"], "alice").endsAt.size).toBe(0);
    expect(readMarks(entries, [read("bob", 3)], ["bob"], "alice").allUpTo).toBe(8);
  });

  it("are not one's own, nor of those who stopped above what is loaded", () => {
    const { endsAt } = readMarks(entries, [read("alice", 9), read("carol", 2)], ["carol"], "alice");
    expect(endsAt.size).toBe(0);
  });

  it("pass over messages that are on their way", () => {
    const { endsAt } = readMarks(
      [said("alice", 3), pending("alice", "p")],
      [read("bob", 7)],
      ["bob"],
      "alice",
    );
    expect(Object.fromEntries(endsAt)).toEqual({ m3: ["bob"] });
  });

  it("say how far everybody has read: as far as the slowest", () => {
    const reads = [read("bob", 9), read("carol", 6)];
    expect(readMarks(entries, reads, ["bob", "carol"], "alice").allUpTo).toBe(6);
    expect(readMarks(entries, reads, ["alice", "bob"], "alice").allUpTo).toBe(9);
    expect(readMarks(entries, reads, ["bob", "carol", "dave"], "alice").allUpTo).toBe(0);
    expect(readMarks(entries, reads, [], "alice").allUpTo).toBe(0);
  });
});
