import type { Member } from "@parlour/client";
import { useState, type FormEvent } from "react";
import { useKnownPeople } from "../hooks/use_known_people.js";
import { useOnline } from "../hooks/use_online.js";
import { idsIn } from "../logic/ids.js";
import { nameOf } from "../logic/people.js";
import { Avatar } from "./avatar.js";
import { Button } from "./button.js";
import type { OpenChannel } from "./channel_pane.js";
import { Dialog } from "./dialog.js";
import { ErrorNote } from "./error_note.js";
import field from "./field.module.css";
import styles from "./members_dialog.module.css";
import { PeoplePicker } from "./people_picker.js";
import { useSession } from "./session.js";

interface Props {
  open: OpenChannel;
  onClose: () => void;
  onLeft: () => void;
}

/** Who is in a channel; who may, brings others in; everybody may leave. */
export function MembersDialog({ open, onClose, onLeft }: Props) {
  const { channel, view, other } = open;
  const { me } = useSession();
  const [picked, setPicked] = useState<readonly string[]>([]);
  const [typed, setTyped] = useState("");
  const [error, setError] = useState<unknown>();
  const memberIds = new Set(view.members.map((member) => member.user_id));
  const known = useKnownPeople().filter((user) => !memberIds.has(user.id));
  const role = view.membership?.channel_role;
  const mayAdd = !other && (role === "owner" || role === "moderator");
  const more = (view.data?.member_count ?? 0) - view.members.length;

  const add = (event: FormEvent) => {
    event.preventDefault();
    const ids = [...new Set([...picked, ...idsIn(typed)])];
    if (ids.length === 0) return;
    setError(undefined);
    channel.updateMembers({ add: ids }).then(() => {
      setPicked([]);
      setTyped("");
    }, setError);
  };
  const leave = () => {
    setError(undefined);
    channel.updateMembers({ remove: [me] }).then(() => {
      onClose();
      onLeft();
    }, setError);
  };

  return (
    <Dialog title="Members" onClose={onClose}>
      <ul className={styles.members} aria-label="Members">
        {view.members.map((member) => (
          <MemberRow key={member.user_id} member={member} isMe={member.user_id === me} />
        ))}
        {more > 0 && <li className={styles.more}>and {more.toLocaleString()} more</li>}
      </ul>
      {mayAdd && (
        <form className={field.form} onSubmit={add}>
          <PeoplePicker
            label="Add members"
            picked={picked}
            onPick={setPicked}
            typed={typed}
            onType={setTyped}
            known={known}
          />
          <div className={field.buttons}>
            <Button kind="primary" type="submit" disabled={picked.length === 0 && typed.trim() === ""}>
              Add
            </Button>
          </div>
        </form>
      )}
      <ErrorNote error={error} />
      {view.membership && !other && (
        <div className={styles.leave}>
          <Button onClick={leave}>Leave the channel</Button>
        </div>
      )}
    </Dialog>
  );
}

function MemberRow({ member, isMe }: { member: Member; isMe: boolean }) {
  const online = useOnline(member.user_id);
  const role = member.channel_role === "member" ? "" : member.channel_role;
  return (
    <li className={styles.member}>
      <Avatar user={member.user} size={36} online={online} />
      <span className={styles.name}>
        <bdi>{nameOf(member.user)}</bdi>
        {isMe && " (you)"}
        {online && <span className="hidden-visually">, online</span>}
      </span>
      <span className={styles.role}>{role}</span>
    </li>
  );
}
