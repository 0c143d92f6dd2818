import { afterAll, beforeAll, expect, it } from "vitest";

import { eventually, TestServer } from "./kit.js";

const SEND = "POST /v1/channels/{type}/{id}/messages";

let server: TestServer;
beforeAll(async () => void (server = await TestServer.start()));
afterAll(() => server.end());

it("calls beyond the limit wait for their time, and are told as the server says it (F5.21, F5.24, F5.25)", async () => {
  const { in_force } = await server.backend.setLimits({ calls: { [SEND]: 2, "GET /v1/channels/{type}/{id}/members": 1 } });
  expect(in_force).toMatchObject({ connections_per_user: 3, calls_per_minute: 0 });
  const client = await server.connected("alice");
  const channel = client.channel("messaging", "limits");
  await channel.getOrCreate();
  await channel.members();
  await expect(channel.members()).rejects.toMatchObject({ code: "rate_limited", status: 429, number: 9, retryable: true });
  const error = await channel.members().catch((refusal) => refusal);
  expect(error.retryAfter).toBeGreaterThan(30);
  await channel.send("one");
  await channel.send("two");
  const third = channel.send("three");
  await eventually(client.connection, ({ throttled }) => throttled?.some(({ feature }) => feature === "messages") ?? false);
  const { messages } = await server.backend.asUser("alice").channel("messaging", "limits").messages();
  expect(messages.map(({ text }) => text)).toEqual(["one", "two"]);
  third.catch(() => {});
  expect(await server.backend.limits()).toMatchObject({ limits: { calls: { [SEND]: 2 } } });
});
