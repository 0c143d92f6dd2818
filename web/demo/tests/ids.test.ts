import { describe, expect, it } from "vitest";
import {
  channelIdFrom,
  idsIn,
  isCid,
  isUserId,
  livestreamIdFrom,
  randomSuffix,
  userIdFrom,
} from "../src/logic/ids.js";

const none = new Set<string>();
const suffix = () => "x1y2z3";

describe("the id of somebody new", () => {
  it.each([
    ["Zoe", "zoe"],
    ["Zoë Ångström", "zoe-angstrom"],
    ["  Mr. O'Neill ", "mr-o-neill"],
    ["ann@home_2", "ann@home_2"],
    ["ﬁona", "fiona"],
    ["<script>", "script"],
  ])("is the name in the letters of ids: %s", (name, id) => {
    expect(userIdFrom(name, none, suffix)).toBe(id);
  });

  it("has a suffix where the name is taken", () => {
    expect(userIdFrom("Alice", new Set(["alice"]), suffix)).toBe("alice-x1y2z3");
  });

  it.each(["", "  ", "李雷", "🎉", "---"])("is a guest's where no letter is left of %j", (name) => {
    expect(userIdFrom(name, none, suffix)).toBe("guest-x1y2z3");
  });

  it("is taken by the server, however long the name", () => {
    for (const name of ["a".repeat(500), "a-".repeat(300), "É".repeat(200)]) {
      expect(isUserId(userIdFrom(name, new Set(["a".repeat(100)]), randomSuffix))).toBe(true);
    }
  });
});

describe("ids", () => {
  it("of users have no upper case and no other letters", () => {
    for (const bad of ["", "Alice", "al ice", "älice", "a:b", "a/b", "a".repeat(129)])
      expect(isUserId(bad)).toBe(false);
    expect(isUserId("a".repeat(128))).toBe(true);
  });

  it("of channels name their type", () => {
    for (const cid of ["messaging:general", "livestream:Cup_final-2", "messaging:!members-1f"]) {
      expect(isCid(cid)).toBe(true);
    }
    for (const bad of [undefined, "", "general", "messaging:", ":general", "a:b:c", "messaging:a/b", "M:a"]) {
      expect(isCid(bad)).toBe(false);
    }
  });

  it("of channels differ for the same name, those of livestreams do not", () => {
    expect(channelIdFrom("Release team", suffix)).toBe("release-team-x1y2z3");
    expect(channelIdFrom("日本", suffix)).toBe("x1y2z3");
    expect(livestreamIdFrom("Cup Final!", suffix)).toBe("cup-final");
    expect(livestreamIdFrom("日本", suffix)).toBe("x1y2z3");
    expect(channelIdFrom("a@b", suffix)).toBe("a-b-x1y2z3");
  });

  it("may be typed into one field in any of the usual ways", () => {
    expect(idsIn(" Bob, carol;dave\nbob ")).toEqual(["bob", "carol", "dave"]);
    expect(idsIn("")).toEqual([]);
  });

  it("made at random differ and are allowed", () => {
    expect(randomSuffix()).toMatch(/^[a-z0-9]{6}$/);
    expect(randomSuffix()).not.toBe(randomSuffix());
  });
});
