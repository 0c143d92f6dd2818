// An app's own test: what its user sees while the network is away, and after.

// quickstart: begin
import type { Client } from "@parlour/client";
import { FakeServer, VirtualClock } from "@parlour/client/testing";
import { afterEach, beforeEach, expect, it } from "vitest";

/** What this app shows above its list of channels. */
function banner(client: Client): string {
  if (client.connection.get().uiStatus !== "online") return "Offline. What you write is sent later.";
  return `${client.unread.get().totalUnreadCount} unread`;
}

let clock: VirtualClock;
beforeEach(() => void (clock = new VirtualClock()));
afterEach(() => clock.restore());

it("what is written in a tunnel arrives once", async () => {
  const server = new FakeServer();
  server.channel("messaging:team", ["alice", "bob"]);
  const client = server.client();
  void client.connectUser("alice", server.token("alice"));
  await clock.advance(100);
  expect(banner(client)).toBe("0 unread");

  server.goAway();
  server.says("messaging:team", "bob", "Where are you?");
  await clock.advance(30_000);
  expect(banner(client)).toBe("Offline. What you write is sent later.");

  const sending = client.channel("messaging", "team").send("In a tunnel");
  await clock.advance(3_600_000);
  server.comeBack();
  server.loseNextAnswer();
  await clock.advance(60_000);
  await sending;
  expect(server.messages("messaging:team").map(({ text }) => text)).toEqual(["Where are you?", "In a tunnel"]);
  expect(banner(client)).toBe("1 unread");
  expect(server.seen.liveMax).toBe(1);
});
// quickstart: end
