import type { ListedMessage } from "@parlour/client";
import { useConnection, useMessages } from "@parlour/react";
import { useCallback, useMemo, useState } from "react";
import { useReachUnread } from "../hooks/use_reach_unread.js";
import { sentence } from "../logic/people.js";
import type { OpenChannel } from "./channel_pane.js";
import { Composer } from "./composer.js";
import styles from "./conversation.module.css";
import { DeleteDialog } from "./delete_dialog.js";
import type { MessageDeeds } from "./message_actions.js";
import { MessageList } from "./message_list.js";
import { Button } from "./button.js";
import { useSession } from "./session.js";
import { toast, toastError } from "./toast_queue.js";
import { TypingLine } from "./typing_line.js";

/** What was said in a channel, and the place to say something. */
export function Conversation({ open }: { open: OpenChannel }) {
  const { channel, view } = open;
  const { me } = useSession();
  const messages = useMessages(channel);
  const connection = useConnection();
  const [editing, setEditing] = useState<ListedMessage>();
  const [deleting, setDeleting] = useState<ListedMessage>();

  const deeds = useMemo<MessageDeeds>(
    () => ({
      edit: setEditing,
      remove: setDeleting,
      copy: (entry) => {
        const copied = navigator.clipboard?.writeText(entry.message.text);
        copied?.then(
          () => toast("Copied"),
          () => toast("The browser does not allow to copy", true),
        );
      },
      retry: (entry) => void channel.retry(entry.id),
      discard: (entry) => void channel.discard(entry.id),
    }),
    [channel],
  );

  const editLast = useCallback(() => {
    const own = channel.messages
      .get()
      .messages.findLast(
        ({ message, status }) => message.user.id === me && message.type === "regular" && status === "sent",
      );
    if (own) setEditing(own);
  }, [channel, me]);

  const send = useCallback(
    (text: string) => {
      // The list shows the message itself as failed, with the reason.
      channel.send(text).catch(() => undefined);
    },
    [channel],
  );

  // What is there stays while it is loaded anew: the reader's place would be lost with the list.
  const loaded = useReachUnread(channel, view, messages);
  // While it connects for the first time, what is written waits in the outbox.
  const away = ["idle", "closed", "failed"].includes(connection.state);
  return (
    <section className={styles.conversation} aria-label="Conversation">
      {loaded ? (
        <MessageList open={open} messages={messages} deeds={deeds} editingId={editing?.id} />
      ) : (
        <Loading text={messages.error?.message} onRetry={() => void channel.loadLatest().catch(toastError)} />
      )}
      <TypingLine channel={channel} />
      <Composer
        // Whoever edits another message begins with its text.
        key={editing?.id ?? ""}
        draftKey={`${me} ${channel.cid}`}
        title={open.title}
        editing={editing}
        disabled={away}
        onSend={send}
        onKeystroke={() => channel.keystroke()}
        onPause={() => channel.stopTyping()}
        onEditLast={editLast}
        onEdited={(entry, text) => {
          setEditing(undefined);
          if (text === "") setDeleting(entry);
          else if (text !== entry.message.text) channel.edit(entry.id, { text }).catch(toastError);
        }}
        onCancelEdit={() => setEditing(undefined)}
      />
      {deleting && (
        <DeleteDialog
          entry={deleting}
          onClose={() => setDeleting(undefined)}
          onDelete={() => {
            setDeleting(undefined);
            channel.delete(deleting.id).catch(toastError);
          }}
        />
      )}
    </section>
  );
}

function Loading({ text, onRetry }: { text: string | undefined; onRetry: () => void }) {
  return (
    <div className={styles.loading}>
      {text === undefined ? (
        <div className={styles.ghosts} role="status">
          <span className="hidden-visually">Loading messages</span>
          {[42, 60, 34, 52, 26].map((width, at) => (
            <span key={width} style={{ width: `${width}%` }} data-own={at % 3 === 1} />
          ))}
        </div>
      ) : (
        <>
          <p role="alert">{sentence(text)}</p>
          <Button onClick={onRetry}>Try again</Button>
        </>
      )}
    </div>
  );
}
