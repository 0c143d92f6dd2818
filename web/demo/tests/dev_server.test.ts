import { describe, expect, it } from "vitest";
import { parseConfig } from "../src/dev_server.js";

describe("what a development server tells", () => {
  it("is the app and those whom one may be", () => {
    const users = [{ id: "alice", name: "Alice" }, { id: "bob" }];
    expect(parseConfig({ app_key: "dev", users, more: 1 })).toEqual({
      appKey: "dev",
      users: [
        { id: "alice", name: "Alice" },
        { id: "bob", name: "bob" },
      ],
    });
  });

  it("is taken without what cannot be a user", () => {
    const users = [null, 7, {}, { id: "Not An Id", name: "x" }, { id: 1 }, { id: "carol", name: 7 }];
    expect(parseConfig({ app_key: "dev", users }).users).toEqual([{ id: "carol", name: "carol" }]);
    expect(parseConfig({ app_key: "dev" }).users).toEqual([]);
  });

  it("is nothing without an app", () => {
    for (const body of [null, "dev", {}, { app_key: 7 }]) expect(() => parseConfig(body)).toThrow();
  });
});
