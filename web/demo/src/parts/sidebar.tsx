import { useState } from "react";
import { Button } from "./button.js";
import { ChannelList } from "./channel_list.js";
import { Icon } from "./icon.js";
import { SelfBar } from "./self_bar.js";
import styles from "./sidebar.module.css";

interface Props {
  /** Nothing stands beside it. */
  alone?: boolean;
  onNew: () => void;
}

/** Oneself, and the channels that one is in. */
export function Sidebar({ alone = false, onNew }: Props) {
  const [filter, setFilter] = useState("");
  return (
    <div className={styles.sidebar}>
      <SelfBar />
      <nav className={styles.chats} aria-label="Chats">
        {alone ? <h1 className="hidden-visually">Chats</h1> : <h2 className="hidden-visually">Chats</h2>}
        <div className={styles.tools}>
          <div className={styles.search}>
            <Icon name="search" size={16} />
            <input
              type="search"
              className={styles.input}
              aria-label="Filter chats"
              placeholder="Filter"
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
      </nav>
    </div>
  );
}
