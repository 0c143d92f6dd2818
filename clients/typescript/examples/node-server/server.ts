// The backend of an app: it holds the secret, and gives tokens to users whom it has authenticated.

import { createServer } from "node:http";
import { env } from "node:process";

const { PARLOUR_URL: url = "", PARLOUR_APP_KEY: appKey = "", PARLOUR_SECRET: secret = "" } = env;
/** Stands for your own login: which session belongs to whom. */
const sessions = new Map([["session=of-alice", "alice"]]);

// quickstart: begin
import { ServerClient } from "@parlour/client/server";

const parlour = new ServerClient({ url, appKey, secret });
await parlour.upsertUsers([{ id: "alice", name: "Alice" }]);
await parlour.asUser("alice").channel("messaging", "general").getOrCreate({ data: { name: "General" } });

const server = createServer(async (request, response) => {
  const userId = sessions.get(request.headers.cookie ?? "");
  response.statusCode = userId ? 200 : 401;
  response.end(userId && (await parlour.createToken(userId, { ttlSeconds: 3_600 })));
});
// quickstart: end

server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${(server.address() as { port: number }).port}/`));
