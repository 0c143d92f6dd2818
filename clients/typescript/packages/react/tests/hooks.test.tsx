// What the hooks show, and how often they make a component render.

import type { Channel, ChannelsResponse, QueryChannels } from "@parlour/client";
import {
  useChannel,
  useChannels,
  useClient,
  useConnection,
  useMe,
  useMessages,
  usePresence,
  useTyping,
  useUnread,
} from "@parlour/react";
import { act, type ReactNode } from "react";
import { beforeEach, describe, expect, it } from "vitest";

import { Chat, heard, held, later, message, Page, server, soon, state } from "./kit.js";

const CID = "messaging:general";

/** How often a component's body has run; StrictMode runs it twice. */
let renders: number;
beforeEach(() => void (renders = 0));

const happens = (...args: Parameters<typeof server.happens>) => act(async () => server.happens(...args));

/** How many times `step` made the component render: an effect of StrictMode is taken out. */
async function rendersBy(step: () => Promise<unknown>): Promise<number> {
  const before = renders;
  await step();
  return (renders - before) / 2;
}

describe("useChannel", () => {
  beforeEach(() => server.on(/^GET channels/, () => state(CID, 5, [4, 5])));

  function Texts({ cid = CID }: { cid?: string | null }): ReactNode {
    const { channel, status, data } = useChannel(cid ?? undefined);
    const { messages } = useMessages(channel);
    renders++;
    return `${status} ${data?.member_count ?? "-"}: ${messages.map(({ message }) => message.text).join(", ")}`;
  }

  it("loads the channel once and keeps it live", async () => {
    const page = await Page.showing(<Chat children={<Texts />} />);
    expect(page.text).toBe("ready 2: text 4, text 5");
    expect(server.asked).toEqual([`GET channels/messaging/general?messages=30`]);
    await happens(CID, 6, { type: "message.new", message: message(CID, 6) });
    expect(page.text).toBe("ready 2: text 4, text 5, text 6");
  });

  it("an event is one render, and what is of another channel is none", async () => {
    await Page.showing(<Chat children={<Texts />} />);
    const event = { type: "message.new", message: message(CID, 6) } as const;
    expect(await rendersBy(() => happens(CID, 6, event))).toBe(1);
    const other = { type: "message.new", message: message("messaging:other", 1) } as const;
    expect(await rendersBy(() => happens("messaging:other", 1, other))).toBe(0);
  });

  it("a render of the parent is one render, and asks nothing", async () => {
    const page = await Page.showing(<Chat children={<Texts />} />);
    const asked = server.asked.length;
    expect(await rendersBy(() => page.show(<Chat children={<Texts />} />))).toBe(1);
    expect(await rendersBy(() => later(60_000))).toBe(0);
    expect(server.asked.length).toBe(asked);
  });

  it("of one who is no member is watched while it is shown, and not any longer", async () => {
    const { membership: _, unread: __, ...visited } = state(CID, 5, [5]);
    server.on(/^GET channels/, () => visited);
    const page = await Page.showing(<Chat children={<Texts />} />);
    expect(heard("watch")).toMatchObject([{ topics: [{ topic: `channel:${CID}`, after: 5 }] }]);
    expect(heard("unwatch")).toEqual([]);
    await page.show(<Chat children={<p />} />);
    expect(heard("unwatch")).toMatchObject([{ topics: [`channel:${CID}`] }]);
    expect(heard("watch").length).toBe(1);
  });

  it("is shared by all who show it", async () => {
    const page = await Page.showing(
      <Chat>
        <Texts />
        <Texts />
        <Texts />
      </Chat>,
    );
    expect(page.text).toBe("ready 2: text 4, text 5".repeat(3));
    expect(server.asked.length).toBe(1);
  });

  it("follows its name to another channel, and to none", async () => {
    const page = await Page.showing(<Chat children={<Texts />} />);
    const answer = held<unknown>();
    server.on(/^GET channels/, () => answer.promise);
    await page.show(<Chat children={<Texts cid="messaging:other" />} />);
    expect(page.text).toBe("loading -: ");
    answer.resolve(state("messaging:other", 9, [9]));
    await soon();
    expect(page.text).toBe("ready 2: text 9");
    await page.show(<Chat children={<Texts cid={null} />} />);
    expect(page.text).toBe("idle -: ");
  });

  it("takes a type and an id for the same channel, however often they are written", async () => {
    const seen = new Set<Channel | undefined>();
    function ByParts(): ReactNode {
      const { channel, data } = useChannel({ type: "messaging", id: "general" });
      seen.add(channel);
      return data?.cid;
    }
    const page = await Page.showing(<Chat children={<ByParts />} />);
    await page.show(<Chat children={<ByParts />} />);
    expect(page.text).toBe(CID);
    expect(seen.size).toBe(1);
    expect(server.asked.length).toBe(1);
  });

  it("shows what is sent at once, and who types", async () => {
    server.on(/^POST channels\/messaging\/general\/messages/, ({ message: draft }: { message: object }) => ({
      message: message(CID, 6, draft),
    }));
    function Sender(): ReactNode {
      const { channel } = useChannel(CID);
      const { messages } = useMessages(channel);
      const typing = useTyping(channel);
      const last = messages.at(-1);
      const people = typing.map(({ id }) => id).join(", ");
      return (
        <button onClick={() => void channel?.send("hello")}>{`${last?.message.text} ${last?.status} [${people}]`}</button>
      );
    }
    const page = await Page.showing(<Chat children={<Sender />} />);
    await act(async () => page.container.querySelector("button")!.click());
    await soon();
    expect(page.text).toBe("hello sent []");
    const bob = { id: "bob" };
    await act(async () => server.socket.says({ type: "signal", signal: { type: "typing.start", cid: CID, user: bob } } as never));
    expect(page.text).toBe("hello sent [bob]");
    await later(7_000);
    expect(page.text).toBe("hello sent []");
  });
});

describe("useChannels", () => {
  let queries: QueryChannels[];
  let pages: ChannelsResponse[];
  beforeEach(() => {
    queries = [];
    pages = [{ channels: [state("messaging:a", 5, [5])], next: "2" }, { channels: [state("messaging:b", 5, [5])] }];
    server.on(/^POST channels$/, (query: QueryChannels) => pages[queries.push(query) - 1]);
  });

  function List(): ReactNode {
    const { channels, hasMore, loading, loadMore } = useChannels({ limit: 1, filter: { type: "messaging" } });
    renders++;
    return (
      <button onClick={() => void loadMore()}>
        {`${channels.map(({ id }) => id).join(" ")}${hasMore ? "…" : ""}${loading ? " loading" : ""}`}
      </button>
    );
  }

  it("asks once, though the query is written in place, and shows more when asked to", async () => {
    const page = await Page.showing(<Chat children={<List />} />);
    expect(page.text).toBe("a…");
    expect(queries).toMatchObject([{ limit: 1, filter: { type: "messaging" } }]);
    for (let n = 0; n < 5; n++) expect(await rendersBy(() => page.show(<Chat children={<List />} />))).toBe(1);
    await act(async () => page.container.querySelector("button")!.click());
    await soon();
    expect(page.text).toBe("a b");
    expect(queries).toMatchObject([{ limit: 1 }, { limit: 1, next: "2" }]);
    expect(await rendersBy(() => later(60_000))).toBe(0);
  });
});

describe("what is told of oneself and of others", () => {
  it("me, the unread totals and the connection change with what the server says", async () => {
    server.more = {
      me: { ...server.ready().me, total_unread_count: 3, unread_channels: 1 },
      channels: [{ cid: CID, last_read_seq: 2, unread_messages: 3, head: 5 }],
    };
    function Totals(): ReactNode {
      const { totalUnreadCount, unreadChannels, settled } = useUnread();
      renders++;
      return `${useMe()?.total_unread_count} ${totalUnreadCount}/${unreadChannels} ${settled} ${useConnection().uiStatus}`;
    }
    const page = await Page.showing(<Chat children={<Totals />} />);
    expect(page.text).toBe("3 3/1 true online");
    const event = { type: "message.new", message: message(CID, 6) } as const;
    expect(await rendersBy(() => happens(CID, 6, event))).toBe(1);
    expect(page.text).toBe("4 4/1 true online");
    server.refusesDials = true;
    await act(async () => server.socket.breaks());
    expect(page.text).toBe("4 4/1 true online");
    await later(2_500);
    expect(page.text).toBe("4 4/1 true reconnecting");
  });

  it("presence is told of whom it is asked, and renders nobody else", async () => {
    server.more = { presence: [{ user_id: "bob", online: true }] };
    function There({ id }: { id?: string }): ReactNode {
      const presence = usePresence(id);
      renders++;
      return `${id} ${presence?.online} `;
    }
    const page = await Page.showing(<Chat children={[<There key="1" id="bob" />, <There key="2" id="eve" />, <There key="3" />]} />);
    expect(page.text).toBe("bob true eve undefined undefined undefined ");
    const users = [{ user_id: "bob", online: false }];
    const says = () => act(async () => server.socket.says({ type: "signal", signal: { type: "user.presence.changed", users } } as never));
    expect(await rendersBy(says)).toBe(1);
    expect(page.text).toBe("bob false eve undefined undefined undefined ");
  });

  it("what a hook gives is the same until it changes", async () => {
    server.on(/^GET channels/, () => state(CID, 5, [4, 5]));
    const seen: unknown[][] = [];
    function All(): ReactNode {
      const channel = useChannel(CID);
      seen.push([channel, useChannels(), useMessages(channel.channel), useTyping(channel.channel), useMe(), useUnread()]);
      return null;
    }
    const page = await Page.showing(<Chat children={<All />} />);
    const before = seen.at(-1)!;
    await page.show(<Chat children={<All />} />);
    seen.at(-1)!.forEach((value, at) => expect(value).toBe(before[at]));
  });

  it("the client is the same at every render", async () => {
    const seen = new Set<unknown>();
    function Own(): ReactNode {
      seen.add(useClient());
      return null;
    }
    const page = await Page.showing(<Chat children={<Own />} />);
    const first = [...seen].at(-1);
    seen.clear();
    for (let n = 0; n < 5; n++) await page.show(<Chat children={<Own />} />);
    expect([...seen]).toEqual([first]);
  });
});
