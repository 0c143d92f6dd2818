import type { Channel, ChannelView } from "@parlour/client";
import { useChannel } from "@parlour/react";
import { useState } from "react";
import { leaveTo } from "../hooks/use_place.js";
import { isCid } from "../logic/ids.js";
import { otherOne, sentence, titleOf } from "../logic/people.js";
import { Button } from "./button.js";
import { ChannelHeader } from "./channel_header.js";
import styles from "./channel_pane.module.css";
import { Conversation } from "./conversation.js";
import { MembersDialog } from "./members_dialog.js";
import { placeOf, useSession } from "./session.js";

/** What the parts of an open channel share. */
export interface OpenChannel {
  channel: Channel;
  view: ChannelView;
  title: string;
  /** The other one of a one-to-one chat. */
  other: ReturnType<typeof otherOne>;
}

/** An open channel. */
export function ChannelPane({ cid, phone }: { cid: string; phone: boolean }) {
  const session = useSession();
  const { channel, ...view } = useChannel(isCid(cid) ? cid : undefined);
  const [showsMembers, setShowsMembers] = useState(false);
  const back = () => leaveTo(placeOf(session, undefined));

  if (!channel) return <Gone text="This is no channel’s address." onBack={back} />;
  if (view.status === "gone")
    return <Gone text="This channel is not there, or is no longer for you." onBack={back} />;
  if (view.error && view.status !== "ready")
    return <Gone text={sentence(view.error.message)} onBack={back} />;

  const title = titleOf(view.data, view.members, session.me) || channel.id;
  const open = { channel, view, title, other: otherOne(view.data, view.members, session.me) };
  return (
    <>
      <ChannelHeader open={open} onBack={phone ? back : undefined} onMembers={() => setShowsMembers(true)} />
      <Conversation open={open} />
      {showsMembers && <MembersDialog open={open} onClose={() => setShowsMembers(false)} onLeft={back} />}
    </>
  );
}

function Gone({ text, onBack }: { text: string; onBack: () => void }) {
  return (
    <div className={styles.gone}>
      <div role="alert">
        <h1 className={styles.why}>{text}</h1>
      </div>
      <Button onClick={onBack}>Back to the chats</Button>
    </div>
  );
}
