import { describe, expect, it } from "vitest";
import {
  HUES,
  andList,
  briefOf,
  hueOf,
  initials,
  nameOf,
  otherOne,
  sentence,
  titleOf,
  typingText,
} from "../src/logic/people.js";
import { channel, member } from "./kit.js";

const bob = member("bob", "Bob");
const me = member("alice", "Alice");

describe("people", () => {
  it("are called by their name, or by their id", () => {
    expect(nameOf({ id: "bob", name: " Bob " })).toBe("Bob");
    expect(nameOf({ id: "bob", name: "  " })).toBe("bob");
    expect(nameOf({ id: "bob", name: 7 as unknown as string })).toBe("bob");
  });

  it("may have written anything into their fields", () => {
    expect(briefOf({ id: "bob", name: { evil: 1 }, image: 7, role: "user" })).toEqual({ id: "bob" });
    expect(briefOf({ id: "bob", name: "Bob", image: "https://a.example/b.png" })).toEqual({
      id: "bob",
      name: "Bob",
      image: "https://a.example/b.png",
    });
  });

  it.each([
    ["Alice", "A"],
    ["Alice Bob Carol", "AC"],
    ["zoe-x1y2", "ZX"],
    ["李 雷", "李雷"],
    ["🎉 party", "P"],
    ["🎉", "?"],
    ["", "?"],
    ["𝒜da", "𝒜"],
  ])("have initials: %s", (name, letters) => {
    expect(initials(name)).toBe(letters);
  });

  it("keep their colour, and have different ones", () => {
    const hues = ["alice", "bob", "carol", "dave", "erin", "frank"].map(hueOf);
    expect(hues).toEqual(["alice", "bob", "carol", "dave", "erin", "frank"].map(hueOf));
    expect(new Set(hues).size).toBeGreaterThan(2);
    expect(Math.max(...hues)).toBeLessThan(HUES);
  });

  it("type alone, in twos, and in numbers", () => {
    const [a, b, c] = [{ id: "a", name: "Ann" }, { id: "b" }, { id: "c" }];
    expect(typingText([])).toBe("");
    expect(typingText([a])).toBe("Ann is typing…");
    expect(typingText([a, b])).toBe("Ann and b are typing…");
    expect(typingText([a, b, c])).toBe("Several people are typing…");
  });

  it("are listed with a last and", () => {
    expect([andList([]), andList(["a"]), andList(["a", "b", "c"])]).toEqual(["", "a", "a, b and c"]);
  });
});

describe("a channel", () => {
  it("is called by its name where it has one", () => {
    expect(titleOf(channel("!members-1", { name: "Plans" }), [me, bob], "alice")).toBe("Plans");
  });

  it("is called by its people where only they made it", () => {
    const many = ["c", "d", "e"].map((id) => member(id));
    expect(titleOf(channel("!members-1"), [me, bob], "alice")).toBe("Bob");
    expect(titleOf(channel("!members-1"), [me, bob, ...many], "alice")).toBe("Bob, c and 2 more");
    expect(titleOf(channel("!members-1"), [me], "alice")).toBe("Just you");
  });

  it("is called by its id where somebody chose that", () => {
    expect(titleOf(channel("general"), [me, bob], "alice")).toBe("general");
    expect(titleOf(undefined, [], "alice")).toBe("");
  });

  it("is between two only where nothing but its two members made it", () => {
    expect(otherOne(channel("!members-1"), [me, bob], "alice")?.id).toBe("bob");
    expect(otherOne(channel("general"), [me, bob], "alice")).toBeUndefined();
    expect(otherOne(channel("!members-1", { member_count: 3 }), [me, bob], "alice")).toBeUndefined();
    expect(otherOne(channel("!members-1", { name: "Plans" }), [me, bob], "alice")).toBeUndefined();
  });
});

describe("a text of a program", () => {
  it("becomes a sentence", () => {
    expect(sentence("the server closed the connection")).toBe("The server closed the connection.");
    expect(sentence("No such users: bob. ")).toBe("No such users: bob.");
    expect(sentence("why?")).toBe("Why?");
  });
});
