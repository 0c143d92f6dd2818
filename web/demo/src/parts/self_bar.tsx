import { useClient, useConnection } from "@parlour/react";
import type { ConnectionStatus } from "@parlour/client";
import { go } from "../hooks/use_place.js";
import { useSelf } from "../hooks/use_self.js";
import { useSideMate } from "../hooks/use_side_mate.js";
import { nameOf } from "../logic/people.js";
import { hrefOf } from "../logic/place.js";
import { Avatar } from "./avatar.js";
import { IconButton, IconLink } from "./icon_button.js";
import { staysHere } from "./place_link.js";
import styles from "./self_bar.module.css";
import { ThemeToggle } from "./theme_toggle.js";

const STANDING: Readonly<Record<ConnectionStatus["uiStatus"], string>> = {
  online: "Online",
  reconnecting: "Reconnecting…",
  offline: "Offline",
  signed_out: "Signed out",
  needs_action: "Not connected",
};

/** Who one is, whether one is there, and the way out. */
export function SelfBar() {
  const client = useClient();
  const connection = useConnection();
  const self = useSelf();
  const online = connection.state === "connected";
  const standing = connection.state === "connecting" ? "Connecting…" : STANDING[connection.uiStatus];

  const signOut = () => {
    const leave = () => go({ at: "sign_in" });
    client.disconnectUser().then(leave, leave);
  };

  const mate = useSideMate();
  return (
    <header className={styles.bar}>
      <Avatar user={self} size={38} online={online} />
      <div className={styles.who}>
        <div className={styles.name}>
          <bdi>{nameOf(self)}</bdi>
        </div>
        <div className={styles.standing} data-online={online}>
          {standing}
        </div>
      </div>
      {mate && !isFramed() && (
        <IconLink
          label="Side by side"
          title={`Open as ${mate.name}, side by side`}
          icon="columns"
          href={hrefOf(mate.to)}
          onClick={(event) => staysHere(event) && go(mate.to)}
        />
      )}
      <ThemeToggle />
      <IconButton label="Sign out" icon="leave" onClick={signOut} />
    </header>
  );
}

/** Inside the side-by-side page, a further one would be a hall of mirrors. */
function isFramed(): boolean {
  return window.self !== window.top;
}
