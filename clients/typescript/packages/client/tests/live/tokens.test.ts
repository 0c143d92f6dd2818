import { generateKeyPairSync, sign } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, beforeAll, expect, it } from "vitest";

import { anonymousToken, createGuest, developmentToken } from "../../src/tokens.js";
import { eventually, TestServer } from "./kit.js";

let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server.end());

it("a developer is whom she likes, without a backend (F1.30)", async () => {
  const me = await server.client().connectUser({ id: "ann", name: "Ann" }, developmentToken("ann"));
  expect(me).toMatchObject({ id: "ann", role: "user", name: "Ann" });
  expect(() => developmentToken("Ann")).toThrowError(expect.objectContaining({ code: "invalid_id" }));
});

it("a guest comes by itself, says something where all may, and makes no channels (F1.31) (F1.32)", async () => {
  const { url, appKey, backend } = server;
  await backend.asUser("host").me();
  await backend.upsertUsers([{ id: "host" }]);
  await backend.asUser("host").channel("livestream", "keynote").getOrCreate();
  const guest = await createGuest({ url, appKey }, { name: "Visitor" });
  expect(guest.user).toMatchObject({ role: "guest", name: "Visitor" });
  const client = server.client();
  expect(await client.connectUser(guest.user.id, guest.token)).toMatchObject({ id: guest.user.id, role: "guest" });
  await expect(client.channel("livestream", "keynote").send("hello")).resolves.toMatchObject({ text: "hello" });
  await expect(client.channel("messaging", "mine").getOrCreate()).rejects.toMatchObject({ code: "not_allowed" });
  await expect(createGuest({ url, appKey }, { role: "admin" })).rejects.toMatchObject({ code: "role_not_allowed" });
  await expect(createGuest({ url, appKey: "none" })).rejects.toMatchObject({ code: "unknown_app" });
});

it("who is anonymous reads and watches what is open to all, and says nothing (F1.34) (F1.35) (F1.37)", async () => {
  await server.backend.upsertUsers([{ id: "host" }]);
  const stage = server.backend.asUser("host").channel("livestream", "stage");
  await stage.getOrCreate();
  await stage.send("welcome");
  const client = server.client();
  await client.login(anonymousToken());
  const me = await client.connect();
  expect(me).toMatchObject({ role: "anonymous", id: expect.stringMatching(/^!/) });
  const channel = client.channel("livestream", "stage");
  const { messages } = channel;
  const close = channel.open();
  const texts = () => messages.get().messages.map(({ message }) => message.text);
  await eventually(messages, () => texts().includes("welcome"), "the message that was there");
  await stage.send("look");
  await eventually(messages, () => texts().includes("look"), "the message that comes");
  close();
  await expect(client.channel("livestream", "stage").send("hello")).rejects.toMatchObject({ code: "not_allowed" });
  await expect(client.channel("messaging", "mine").getOrCreate()).rejects.toMatchObject({ code: "not_allowed" });
});

it("keys at an address sign for users, until it is forgotten (F1.6)", async () => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const keys = JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "one" }] });
  const provider = createServer((_, response) => response.end(keys)).listen(0, "127.0.0.1");
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "EdDSA", kid: "one" })}.${part({ sub: "ida" })}`;
  const token = `${signed}.${sign(null, Buffer.from(signed), privateKey).toString("base64url")}`;
  try {
    await new Promise((resolve) => provider.once("listening", resolve));
    const { port } = provider.address() as AddressInfo;
    await expect(server.backend.setJwks("http://127.0.0.1:1/")).rejects.toMatchObject({ code: "invalid_input" });
    expect(await server.backend.setJwks(`http://127.0.0.1:${port}/keys`)).toMatchObject({ keys: ["one"] });
    const client = server.client();
    expect(await client.connectUser("ida", token)).toMatchObject({ id: "ida" });
    await client.disconnectUser();
    await server.backend.removeJwks();
    await expect(client.connectUser("ida", token)).rejects.toMatchObject({ code: "token_signature" });
  } finally {
    provider.close();
  }
});
