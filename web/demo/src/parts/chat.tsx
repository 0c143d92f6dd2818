import { ParlourProvider } from "@parlour/react";
import { useMemo } from "react";
import { tokensFor, type DemoConfig } from "../dev_server.js";
import { SessionContext, type ChatPlace } from "./session.js";
import { Shell } from "./shell.js";

/** One user's chat: everything below shares the one connection of the provider. */
export function Chat({ config, place }: { config: DemoConfig; place: ChatPlace }) {
  const { user: id } = place;
  const name = place.name ?? config.users.find((user) => user.id === id)?.name;
  const user = useMemo(() => (name === undefined ? { id } : { id, name }), [id, name]);
  const token = useMemo(() => tokensFor(id), [id]);
  const session = useMemo(() => ({ me: id, config, place }), [id, config, place]);
  return (
    <ParlourProvider
      url={location.origin}
      appKey={config.appKey}
      user={user}
      token={token}
      presence="friends"
      device="Demo chat"
    >
      <SessionContext value={session}>
        <Shell />
      </SessionContext>
    </ParlourProvider>
  );
}
