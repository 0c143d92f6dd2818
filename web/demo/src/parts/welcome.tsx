import { useClient } from "@parlour/react";
import { useSelf } from "../hooks/use_self.js";
import { nameOf } from "../logic/people.js";
import { Avatar } from "./avatar.js";
import { Button } from "./button.js";
import { Icon } from "./icon.js";
import { useSession } from "./session.js";
import { toastError } from "./toast_queue.js";
import styles from "./welcome.module.css";

interface Props {
  onNew: () => void;
  onOpen: (cid: string) => void;
}

/** Beside the list while no channel is open: the shortest ways into a conversation. */
export function Welcome({ onNew, onOpen }: Props) {
  const session = useSession();
  const client = useClient();
  const others = session.config.users.filter((user) => user.id !== session.me);

  const start = (userId: string) => {
    client.createDistinct("messaging", [userId]).then((channel) => onOpen(channel.cid), toastError);
  };

  return (
    <div className={styles.welcome}>
      <img
        className={styles.mark}
        src={`${import.meta.env.BASE_URL}favicon.svg`}
        alt=""
        width="72"
        height="72"
      />
      <h1 className={styles.title}>
        Hello, <bdi>{nameOf(useSelf())}</bdi>
      </h1>
      <p className={styles.text}>Choose a chat from the list, or begin one.</p>
      <div className={styles.people}>
        {others.slice(0, 4).map((user) => (
          <button key={user.id} type="button" className={styles.person} onClick={() => start(user.id)}>
            <Avatar user={user} size={28} />
            <span>
              Chat with <bdi>{user.name}</bdi>
            </span>
          </button>
        ))}
      </div>
      <Button onClick={onNew}>
        <Icon name="compose" size={18} />
        Something else
      </Button>
    </div>
  );
}
