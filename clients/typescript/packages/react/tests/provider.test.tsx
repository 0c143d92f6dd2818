// One provider is one connection, whatever React does with it.

import { Client, type TokenProvider } from "@parlour/client";
import { ParlourProvider, useConnection, useMe } from "@parlour/react";
import { act, type ReactNode, StrictMode, useEffect } from "react";
import { describe, expect, it, vi } from "vitest";

import { Chat, FakeServer, heard, later, LINGER_MS, Page, server, soon, takeComplaints } from "./kit.js";

/** Who is connected, and how it stands. */
function Status(): ReactNode {
  const { state } = useConnection();
  return `${useMe()?.id ?? "nobody"} ${state}`;
}

describe("in StrictMode", () => {
  it("a mounted provider opens one socket, says hello once, and shows who is there (L1.30, L9.2)", async () => {
    const page = await Page.showing(<Chat children={<Status />} />);
    expect(page.text).toBe("alice connected");
    await later(5_000);
    expect(server.sockets.length).toBe(1);
    expect(heard("hello")).toMatchObject([{ user: { id: "alice" } }]);
  });

  it("mounted and unmounted twenty times it keeps the one socket, and closes it 250 ms after the end (L6.45)", async () => {
    const page = await Page.showing(<Chat children={<Status />} />);
    for (let n = 0; n < 20; n++) {
      await page.unmount();
      await later(n * 10);
      await page.show(<Chat children={<Status />} />);
      expect(page.text).toBe("alice connected");
    }
    expect(server.sockets.length).toBe(1);
    await page.unmount();
    await later(LINGER_MS - 1);
    expect(server.live).toBe(1);
    await later(1);
    expect(server.live).toBe(0);
  });

  it("mounted again after its socket has closed it opens one more, and never has two", async () => {
    const page = new Page();
    for (let n = 1; n <= 5; n++) {
      await page.show(<Chat children={<Status />} />);
      await soon();
      expect(page.text).toBe("alice connected");
      expect(server.live).toBe(1);
      expect(server.sockets.length).toBe(n);
      await page.unmount();
      await later(LINGER_MS);
    }
  });

  it("mounted and unmounted before anything has answered it leaves nothing behind", async () => {
    server.silent = true;
    const page = new Page();
    for (let n = 0; n < 20; n++) {
      await page.show(<Chat children={<Status />} />);
      await page.unmount();
    }
    await later(LINGER_MS + 10);
    expect(server.live).toBe(0);
    expect(server.sockets.length).toBeLessThanOrEqual(1);
  });
});

describe("what changes at every render", () => {
  it("options, user and token that are written in place are no reason to connect anew", async () => {
    const again = (n: number) => (
      <Chat user={{ id: "alice", name: "Alice" }} presence={{ roles: ["user"] }} token={() => `${n}`} children={<Status />} />
    );
    const page = await Page.showing(again(0));
    for (let n = 1; n <= 20; n++) await page.show(again(n));
    await soon();
    expect(page.text).toBe("alice connected");
    expect(server.sockets.length).toBe(1);
  });

  it("a client that a parent makes anew is still one socket", async () => {
    function Parent() {
      const client = server.client();
      useEffect(() => {
        void client.connectUser("alice", "token");
        return () => client.close();
      });
      return <ParlourProvider client={client} children={<Status />} />;
    }
    const page = new Page();
    for (let n = 0; n < 20; n++) await page.show(<StrictMode children={<Parent key={n % 3} />} />);
    await soon();
    expect(page.text).toBe("alice connected");
    expect(server.sockets.length).toBe(1);
  });

  it("no render dials before the time has come", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0.99);
    server.refusesDials = true;
    const page = await Page.showing(<Chat children={<Status />} />);
    // After 1, 2, 4, 8 and 16 halves of a second; the next is half a minute away from the first.
    await later(20_000);
    expect(server.sockets.length).toBe(6);
    for (let n = 0; n < 10; n++) {
      await page.show(<Chat children={<Status />} />);
      await later(500);
    }
    expect(server.sockets.length).toBe(6);
  });
});

describe("an option that changes", () => {
  it("as the address does, is another client, and the one before closes", async () => {
    const page = await Page.showing(<Chat children={<Status />} />);
    const other = new FakeServer();
    other.more = { me: { ...server.ready().me, id: "bob" } };
    await page.show(<Chat {...other.options} user="bob" children={<Status />} />);
    await soon();
    expect(page.text).toBe("bob connected");
    await later(LINGER_MS);
    expect([server.live, other.live]).toEqual([0, 1]);
  });

  it("as the presence does, is told on the same connection", async () => {
    const page = await Page.showing(<Chat children={<Status />} />);
    expect(heard("hello")).toMatchObject([{ presence: "none" }]);
    await page.show(<Chat presence={{ roles: ["agent"] }} children={<Status />} />);
    await page.show(<Chat presence={{ roles: ["agent"] }} children={<Status />} />);
    expect(heard("presence")).toMatchObject([{ subscription: { roles: ["agent"] } }]);
    await page.show(<Chat children={<Status />} />);
    expect(heard("presence")).toMatchObject([{}, { subscription: "none" }]);
    expect(server.sockets.length).toBe(1);
  });
});

describe("the user", () => {
  it("who is nobody opens nothing, and connects when there is one", async () => {
    const page = await Page.showing(<Chat user={undefined} children={<Status />} />);
    expect(page.text).toBe("nobody idle");
    await page.show(<Chat user={null} children={<Status />} />);
    await later(1_000);
    expect(server.sockets.length).toBe(0);
    await page.show(<Chat token={undefined} children={<Status />} />);
    await later(1_000);
    expect(server.sockets.length).toBe(0);
    await page.show(<Chat children={<Status />} />);
    await soon();
    expect(page.text).toBe("alice connected");
  });

  it("who changes is not shown any more, and leaves after 250 ms", async () => {
    const shown: string[] = [];
    function Watched(): ReactNode {
      const me = useMe()?.id ?? "nobody";
      useEffect(() => void shown.push(me), [me]);
      return me;
    }
    const page = await Page.showing(<Chat children={<Watched />} />);
    expect(page.text).toBe("alice");
    shown.length = 0;
    server.more = { me: { ...server.ready().me, id: "bob" } };
    await page.show(<Chat user="bob" children={<Watched />} />);
    expect(page.text).toBe("nobody");
    await soon();
    expect(page.text).toBe("bob");
    expect(shown).toEqual(["nobody", "bob"]);
    await later(LINGER_MS);
    expect(server.live).toBe(1);
    expect(heard("hello").map((frame) => (frame as { user?: { id: string } }).user?.id)).toEqual(["alice", "bob"]);
  });

  it("who leaves is gone after 250 ms", async () => {
    const page = await Page.showing(<Chat children={<Status />} />);
    await page.show(<Chat user={null} children={<Status />} />);
    expect(page.text).toBe("nobody idle");
    await later(LINGER_MS);
    expect(server.live).toBe(0);
  });

  it("whose fields change stays connected", async () => {
    const page = await Page.showing(<Chat user={{ id: "alice", name: "Alice" }} children={<Status />} />);
    await page.show(<Chat user={{ id: "alice", name: "Alice B." }} children={<Status />} />);
    await later(LINGER_MS * 2);
    expect(page.text).toBe("alice connected");
    expect(server.sockets.length).toBe(1);
  });
});

describe("the token", () => {
  it("is asked of the newest function, when it is needed", async () => {
    const asked: string[] = [];
    const from = (name: string): TokenProvider => () => {
      asked.push(name);
      return name;
    };
    const page = await Page.showing(<Chat token={from("first")} children={<Status />} />);
    await page.show(<Chat token={from("second")} children={<Status />} />);
    await page.show(<Chat token={from("third")} children={<Status />} />);
    expect(asked).toEqual(["first"]);
    await act(async () => server.socket.breaks(4202));
    await later(5_000);
    expect(asked).toEqual(["first", "third"]);
    expect(page.text).toBe("alice connected");
    expect(heard("hello")).toMatchObject([{ token: "first" }, { token: "third" }]);
  });

  it("may be a text, and a newer text is taken when it is needed", async () => {
    const page = await Page.showing(<Chat token="old" children={<Status />} />);
    await page.show(<Chat token="new" children={<Status />} />);
    await act(async () => server.socket.breaks(4202));
    await later(5_000);
    expect(page.text).toBe("alice connected");
    expect(heard("hello")).toMatchObject([{ token: "old" }, { token: "new" }]);
  });

  it("that cannot be had stands in the connection's status, and throws nothing", async () => {
    function Why(): ReactNode {
      const { state, error } = useConnection();
      return `${state} ${error?.code}`;
    }
    const refuse = () => Promise.reject(Object.assign(new Error("signed out"), { permanent: true }));
    const page = await Page.showing(<Chat token={refuse} children={<Why />} />);
    expect(page.text).toBe("failed token_missing");
  });
});

it("a client of the app's own is the app's to connect and to close", async () => {
  const client = new Client({ ...server.options, presence: "all" });
  const page = await Page.showing(<ParlourProvider client={client} children={<Status />} />);
  expect(page.text).toBe("nobody idle");
  await act(async () => void client.connectUser("alice", "token"));
  await soon();
  expect(page.text).toBe("alice connected");
  expect(heard("hello")).toMatchObject([{ presence: "all" }]);
  await page.unmount();
  await later(1_000);
  expect(server.live).toBe(1);
  client.close();
  await later(LINGER_MS);
});

it("two providers of one user share a socket, until the last is gone", async () => {
  const [one, two] = [await Page.showing(<Chat children={<Status />} />), await Page.showing(<Chat children={<Status />} />)];
  expect([one.text, two.text]).toEqual(["alice connected", "alice connected"]);
  expect(server.sockets.length).toBe(1);
  await one.unmount();
  await later(1_000);
  expect(two.text).toBe("alice connected");
});

it("a hook without a provider says what is missing", async () => {
  await expect(Page.showing(<Status />)).rejects.toThrow("<ParlourProvider>");
  takeComplaints();
});
