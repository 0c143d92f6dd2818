// A page that a server renders: nothing is opened there, and what is made live begins with the same.

import type { Client } from "@parlour/client";
import {
  ParlourProvider,
  useChannel,
  useChannels,
  useConnection,
  useMe,
  useMessages,
  usePresence,
  useTyping,
  useUnread,
} from "@parlour/react";
import type { ReactNode } from "react";
import { hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { expect, it } from "vitest";

import { Chat, later, Page, server, soon, state } from "./kit.js";

const CID = "messaging:general";

function Everything(): ReactNode {
  const { channel, status } = useChannel(CID);
  const words = [
    useMe()?.id ?? "nobody",
    useConnection().state,
    useUnread().totalUnreadCount,
    status,
    useMessages(channel).messages.length,
    useTyping(channel).length,
    useChannels().channels.length,
    usePresence("bob")?.online ?? "unknown",
  ];
  return <p>{words.join(" ")}</p>;
}

const ON_A_SERVER = "nobody idle 0 idle 0 0 0 unknown";

it("opens nothing and asks nothing on a server", async () => {
  const html = renderToString(<Chat children={<Everything />} />);
  expect(html).toBe(`<p>${ON_A_SERVER}</p>`);
  await later(5_000);
  expect(server.sockets).toEqual([]);
  expect(server.asked).toEqual([]);
});

it("is made live without a warning, and then connects", async () => {
  server.on(/^GET channels/, () => state(CID, 5, [4, 5]));
  server.on(/^POST channels$/, () => ({ channels: [state(CID, 5, [4, 5])] }));
  const html = renderToString(<Chat children={<Everything />} />);
  const page = new Page();
  await page.hydrate(html, (container) => hydrateRoot(container, <Chat children={<Everything />} />));
  await soon();
  expect(page.text).toBe("alice connected 0 ready 2 0 1 unknown");
  expect(server.sockets.length).toBe(1);
});

it("is made live without a warning also where the client is connected already", async () => {
  const client = await server.connected();
  const chat = (of: Client) => <ParlourProvider client={of} children={<Everything />} />;
  const page = new Page();
  const html = renderToString(chat(server.client()));
  await page.hydrate(html, (container) => hydrateRoot(container, chat(client)));
  await soon();
  expect(page.text).toContain("alice connected");
  await page.unmount();
  client.close();
});
