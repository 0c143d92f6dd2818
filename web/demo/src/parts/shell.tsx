import { useUnread } from "@parlour/react";
import { useState } from "react";
import { PHONE, useMedia } from "../hooks/use_media.js";
import { enter, go } from "../hooks/use_place.js";
import { useTitle } from "../hooks/use_title.js";
import { useViewportHeight } from "../hooks/use_viewport_height.js";
import { ChannelPane } from "./channel_pane.js";
import { ConnectionBanner } from "./connection_banner.js";
import { NewChatDialog } from "./new_chat_dialog.js";
import { placeOf, useSession } from "./session.js";
import styles from "./shell.module.css";
import { Sidebar } from "./sidebar.js";
import { Welcome } from "./welcome.js";

/** The list beside the open channel; on a phone, one of them at a time. */
export function Shell() {
  const session = useSession();
  const cid = session.place.channel;
  const phone = useMedia(PHONE);
  const { totalUnreadCount } = useUnread();
  const [starting, setStarting] = useState(false);
  useTitle("Parlour", totalUnreadCount);
  useViewportHeight();

  const open = (opened: string) => {
    setStarting(false);
    (cid === undefined ? enter : go)(placeOf(session, opened));
  };

  return (
    <div className={styles.shell}>
      <ConnectionBanner />
      <div className={styles.screens}>
        {!phone && <Sidebar onNew={() => setStarting(true)} />}
        {phone && cid === undefined ? (
          <main className={styles.main}>
            <Sidebar alone onNew={() => setStarting(true)} />
          </main>
        ) : (
          <main className={styles.main}>
            {cid === undefined ? (
              <Welcome onNew={() => setStarting(true)} onOpen={open} />
            ) : (
              <ChannelPane key={cid} cid={cid} phone={phone} />
            )}
          </main>
        )}
      </div>
      {starting && <NewChatDialog onOpen={open} onClose={() => setStarting(false)} />}
    </div>
  );
}
