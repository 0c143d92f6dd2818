import { describe, expect, it } from "vitest";
import { hrefOf, readPlace, type Place } from "../src/logic/place.js";

describe("an address", () => {
  it("without a user asks who one is", () => {
    for (const search of ["", "?", "?user=", "?channel=messaging:general", "?side=", "?side=A,B"]) {
      expect(readPlace(search)).toEqual({ at: "sign_in" });
    }
  });

  it("with an id that no user can have says so", () => {
    expect(readPlace("?user=Alice%20B")).toEqual({ at: "sign_in", refused: "Alice B" });
  });

  it("names a user and a channel", () => {
    expect(readPlace("?user=alice&channel=messaging%3Ageneral")).toEqual({
      at: "chat",
      user: "alice",
      channel: "messaging:general",
    });
  });

  it("shows several users side by side, and no more than four", () => {
    expect(readPlace("?side=alice,bob")).toEqual({ at: "side", users: ["alice", "bob"] });
    expect(readPlace("?side=a,b,c,d,e")).toMatchObject({ users: ["a", "b", "c", "d"] });
  });

  it("leads back to the place that it was made of", () => {
    const places: Place[] = [
      { at: "chat", user: "alice" },
      { at: "chat", user: "zoe@home", name: "Zoë & 李", channel: "messaging:!members-1f" },
      { at: "side", users: ["alice", "bob"], channel: "livestream:cup" },
    ];
    for (const place of places) expect(readPlace(hrefOf(place))).toEqual(place);
    expect(hrefOf({ at: "side", users: ["alice", "bob"], channel: "livestream:cup" })).toBe(
      "?side=alice,bob&channel=livestream:cup",
    );
  });
});
