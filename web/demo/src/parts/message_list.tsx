import type { MessagesView, UserBrief } from "@parlour/client";
import { useCallback, useMemo, useRef, useState, type CSSProperties, type ReactNode, type Ref } from "react";
import { Virtualizer, type VirtualizerHandle } from "virtua";
import { useAttention, useVisible } from "../hooks/use_attention.js";
import { useAutoscroll } from "../hooks/use_autoscroll.js";
import { useEntrance } from "../hooks/use_entrance.js";
import { useFloatingDay } from "../hooks/use_floating_day.js";
import { useMarkRead } from "../hooks/use_mark_read.js";
import { usePrepended } from "../hooks/use_prepended.js";
import { useRowFocus } from "../hooks/use_row_focus.js";
import { useToday } from "../hooks/use_today.js";
import { useUnreadDivider } from "../hooks/use_unread_divider.js";
import { sentence } from "../logic/people.js";
import { readMarks } from "../logic/read_marks.js";
import { shapeAt } from "../logic/rows.js";
import { dayLabel } from "../logic/times.js";
import { Announcer } from "./announcer.js";
import { Beginning } from "./beginning.js";
import type { OpenChannel } from "./channel_pane.js";
import { JumpButton } from "./jump_button.js";
import type { MessageDeeds } from "./message_actions.js";
import styles from "./message_list.module.css";
import { MessageRow } from "./message_row.js";
import { DaySeparator, FloatingDay, UnreadDivider } from "./separators.js";
import { useSession } from "./session.js";

/** Asked for at once, when the reader scrolls up. */
const PAGE = 50;

const NOBODY: readonly UserBrief[] = [];

interface Props {
  open: OpenChannel;
  messages: MessagesView;
  deeds: MessageDeeds;
  editingId: string | undefined;
}

/** The messages of a channel. Only those on the screen are drawn, so that a long history costs nothing. */
export function MessageList({ open, messages, deeds, editingId }: Props) {
  const { channel, view, other, title } = open;
  const { me } = useSession();
  const entries = messages.messages;
  const list = useRef<VirtualizerHandle>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const attention = useAttention();
  const dividerId = useUnreadDivider(view, messages, me, useVisible());
  const [openAt] = useState(dividerId);
  const shift = usePrepended(entries);
  useToday();

  const { loading, hasOlder, hasNewer, error } = messages;
  const idle = loading === undefined && !error;
  const loadOlder = useCallback(() => void channel.loadOlder(PAGE).catch(() => undefined), [channel]);
  const loadNewer = useCallback(() => void channel.loadNewer(PAGE).catch(() => undefined), [channel]);
  const scroll = useAutoscroll({
    list,
    entries,
    me,
    openAt,
    onNearStart: () => {
      if (hasOlder && idle) loadOlder();
    },
    onNearEnd: () => {
      if (hasNewer && idle) loadNewer();
    },
  });
  useMarkRead(channel, view, attention && scroll.atEnd && !hasNewer);

  const day = useFloatingDay(list, entries, !scroll.atEnd);
  useEntrance(scroller, entries);
  const focus = useRowFocus(list, scroller, entries);
  const people = useMemo(
    () => new Map(view.members.map((member) => [member.user_id, member.user])),
    [view.members],
  );
  const { endsAt, allUpTo } = useMemo(
    () => readMarks(entries, view.reads, [...people.keys()], me),
    [entries, view.reads, people, me],
  );
  const mayDeleteAll =
    view.membership?.channel_role === "owner" || view.membership?.channel_role === "moderator";
  const now = new Date();

  const toLatest = () => {
    if (hasNewer) void channel.loadLatest().then(scroll.toEnd, () => undefined);
    else scroll.toEnd();
  };

  return (
    <div className={styles.frame}>
      <div
        ref={scroller}
        className={styles.scroller}
        role="log"
        aria-label={`Messages in ${title}`}
        // New messages are announced elsewhere: here, every scrolled-in row would be.
        aria-live="off"
        aria-busy={loading !== undefined}
        tabIndex={0}
        onWheel={scroll.onHand}
        onTouchMove={scroll.onHand}
        onPointerDown={scroll.onHand}
        onKeyDown={(event) => {
          scroll.onHand();
          focus.onKeyDown(event);
        }}
        onFocus={focus.onFocus}
        onBlur={focus.onBlur}
      >
        <div className={styles.spacer} />
        {entries.length === 0 && (
          <>
            <Beginning open={open} />
            <div className={styles.spacer} />
          </>
        )}
        <Virtualizer
          ref={list}
          scrollRef={scroller}
          data={entries}
          as={Rows}
          item="li"
          shift={shift}
          keepMounted={focus.keepMounted}
          onScroll={() => {
            scroll.onScroll();
            day.onScroll();
          }}
          onScrollEnd={day.onScrollEnd}
          onResize={scroll.onResize}
        >
          {(entry, index) => {
            const shape = shapeAt(entries, index, dividerId);
            const { message } = entry;
            const own = message.user.id === me;
            return (
              <div key={entry.id} className={styles.row} data-last={index === entries.length - 1}>
                {index === 0 && !hasOlder && <Beginning open={open} />}
                {shape.newDay && (
                  <DaySeparator at={message.created_at} label={dayLabel(new Date(message.created_at), now)} />
                )}
                {shape.divider && <UnreadDivider />}
                <MessageRow
                  entry={entry}
                  own={own}
                  first={shape.first}
                  last={shape.last}
                  direct={other !== undefined}
                  readByAll={own && entry.status === "sent" && message.seq <= allUpTo}
                  readers={readersOf(endsAt.get(entry.id), people)}
                  focusable={focus.focusableIndex === index}
                  editing={editingId === entry.id}
                  mayDelete={own || mayDeleteAll}
                  deeds={deeds}
                />
              </div>
            );
          }}
        </Virtualizer>
      </div>
      {day.at !== undefined && <FloatingDay label={dayLabel(new Date(day.at), now)} />}
      {loading === "older" && (
        <div className={styles.loading} role="status" aria-label="Loading older messages" />
      )}
      {error && (
        <div className={styles.error} role="alert">
          {sentence(error.message)}
          <button type="button" onClick={loadOlder}>
            Try again
          </button>
        </div>
      )}
      <JumpButton
        shown={scroll.settled && (!scroll.atEnd || hasNewer)}
        newCount={scroll.newCount}
        onJump={toLatest}
      />
      <Announcer entries={entries} me={me} />
    </div>
  );
}

function readersOf(
  ids: readonly string[] | undefined,
  people: ReadonlyMap<string, UserBrief>,
): readonly UserBrief[] {
  return ids ? ids.map((id) => people.get(id) ?? { id }) : NOBODY;
}

/** Said aloud, because a list without bullets is no list to some screen readers. */
function Rows({
  style,
  children,
  ref,
}: {
  style: CSSProperties;
  children: ReactNode;
  ref?: Ref<HTMLOListElement>;
}) {
  return (
    <ol role="list" ref={ref} style={style}>
      {children}
    </ol>
  );
}
