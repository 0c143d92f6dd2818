// Alice says hello and hears herself, as everybody in the channel does. Runs in a page and in Node ≥ 22.
//
// Its three arguments are what `parlour dev` prints: the address, the app key, and Alice's token.

import { argv } from "node:process";

const [url, appKey, token] = argv.slice(2) as [string, string, string];
// quickstart: begin
import { Client } from "@parlour/client";

const client = new Client({ url, appKey });
await client.connectUser({ id: "alice", name: "Alice" }, token);
const channel = client.channel("messaging", "general");
await channel.getOrCreate();
client.on("message.new", ({ message }) => console.log(`${message.user.id}: ${message.text}`));
await channel.send("hello");
// quickstart: end
