import { useState } from "react";
import { Button } from "./button.js";
import { ChannelList } from "./channel_list.js";
import { Icon } from "./icon.js";
import { SelfBar } from "./self_bar.js";
import styles from "./sidebar.module.css";

/** Oneself, and the channels that one is in. */
export function Sidebar({ onNew }: { onNew: () => void }) {
  const [filter, setFilter] = useState("");
  return (
    <div className={styles.sidebar}>
      <SelfBar />
      <div className={styles.tools}>
        <div className={styles.search}>
          <Icon name="search" size={16} />
          <input
            type="search"
            className={styles.input}
            aria-label="Filter chats"
            placeholder="Filter chats"
            value={filter}
            onChange={(event) => setFilter(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === "Escape") setFilter("");
            }}
          />
        </div>
        <Button kind="primary" className={styles.new} onClick={onNew}>
          <Icon name="compose" size={18} />
          New chat
        </Button>
      </div>
      <ChannelList filter={filter} />
    </div>
  );
}
