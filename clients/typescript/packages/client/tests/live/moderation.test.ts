import { afterAll, beforeAll, expect, it } from "vitest";

import { eventually, TestServer } from "./kit.js";

let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server.end());

it("bans, and lets in again (F2.27, F2.29)", async () => {
  const bob = await server.connected("bob");
  const ban = await server.backend.banUser("bob", { reason: "spam", duration_s: 60 });
  expect(ban).toMatchObject({ user: { id: "bob" }, reason: "spam" });
  await eventually(bob.connection, ({ state }) => state === "failed", "the end");
  expect((await server.backend.bans()).bans).toHaveLength(1);
  await server.backend.unbanUser("bob");
  expect((await server.backend.bans()).bans).toEqual([]);
  await server.connected("bob");
});

it("bans from a channel by who moderates it, and lists what was flagged there (F2.28, F2.33)", async () => {
  await server.backend.upsertUsers([{ id: "alice" }, { id: "carol" }, { id: "dave" }]);
  const [alice, carol, dave] = ["alice", "carol", "dave"].map((id) => server.backend.asUser(id)) as [
    ReturnType<typeof server.backend.asUser>,
    ReturnType<typeof server.backend.asUser>,
    ReturnType<typeof server.backend.asUser>,
  ];
  const channel = alice.channel("messaging", "general");
  const { cid } = channel;
  await channel.getOrCreate({ members: ["carol", "dave"] });
  expect(await channel.changeRole("carol", "moderator")).toMatchObject({ channel_role: "moderator" });
  const message = await dave.channelAt(cid).send("rude words");
  await alice.flag({ cid, message_id: message.id, reason: "rude" });
  const { flags } = await server.backend.flags({ cid });
  expect(flags).toMatchObject([{ reporter: { id: "alice" }, user: { id: "dave" }, message: { text: "rude words" } }]);
  const ban = await carol.banUser("dave", { cid });
  expect(ban).toMatchObject({ cid, banned_by: { id: "carol" } });
  await server.backend.unbanUser("dave", { cid });
});

it("mutes and blocks in a user's name (F2.31, F2.32)", async () => {
  await server.backend.upsertUsers([{ id: "erin" }, { id: "frank" }]);
  const erin = server.backend.asUser("erin");
  expect(await erin.muteUser("frank", { seconds: 60 })).toMatchObject([{ user: { id: "frank" } }]);
  expect(await erin.mutes()).toHaveLength(1);
  expect(await erin.unmuteUser("frank")).toEqual([]);
  expect(await erin.blockUser("frank")).toMatchObject([{ user: { id: "frank" } }]);
  expect(await erin.blocks()).toHaveLength(1);
  expect(await erin.unblockUser("frank")).toEqual([]);
});
