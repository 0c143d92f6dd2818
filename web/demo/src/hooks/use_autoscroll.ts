// Where a list of messages stands: at its end, which it then follows; at the first unread message, when it is
// opened; or wherever its reader has scrolled to.

import type { ListedMessage } from "@parlour/client";
import { useCallback, useEffect, useLayoutEffect, useRef, useState, type RefObject } from "react";
import type { VirtualizerHandle } from "virtua";
import { countAfter } from "../logic/rows.js";

/** This close to the end is at the end. */
const END_PX = 32;
/** Older messages are fetched before their reader gets to the top. */
const AHEAD_PX = 700;
/**
 * Rows are measured after they are drawn; until then the place to stand is found anew whenever one changes
 * its size.
 */
const SETTLED_MS = 500;
/** From farther away, one would see nothing but a blur. */
const SMOOTH_VIEWPORTS_MAX = 3;

type Anchor = { at: "end" } | { at: "row"; id: string } | { at: "free" };

interface Options {
  list: RefObject<VirtualizerHandle | null>;
  entries: readonly ListedMessage[];
  me: string;
  /** The message to stand at when the list opens; the end without one. */
  openAt: string | undefined;
  /** The reader comes close to the first or the last of the messages that are loaded. */
  onNearStart: () => void;
  onNearEnd: () => void;
}

interface Autoscroll {
  atEnd: boolean;
  /** Before, nobody knows yet whether the end can be seen from where the list opened. */
  settled: boolean;
  /** Messages of others that came while the reader was elsewhere. */
  newCount: number;
  toEnd: () => void;
  /** The reader's own hand: the list stays where it is from now on. */
  onHand: () => void;
  onScroll: () => void;
  onResize: () => void;
}

export function useAutoscroll(options: Options): Autoscroll {
  const { entries, me, openAt } = options;
  const latest = useRef({ ...options, settled: false });
  const anchor = useRef<Anchor>(openAt === undefined ? { at: "end" } : { at: "row", id: openAt });
  const lastOffset = useRef(0);
  /** Whether the reader has had a hand on it. */
  const touched = useRef(false);
  const [settled, setSettled] = useState(false);
  const lastId = entries.at(-1)?.id;
  // The last message that the reader knows, while away from the end; undefined while there.
  const [leftAt, setLeftAt] = useState(() => before(entries, openAt));

  const hold = useCallback((next: Anchor) => {
    anchor.current = next;
    if (next.at === "end") setLeftAt(undefined);
    else setLeftAt((before) => before ?? latest.current.entries.at(-1)?.id);
  }, []);

  const settle = useCallback(() => {
    const { entries, list } = latest.current;
    const held = anchor.current;
    if (held.at === "end") list.current?.scrollToIndex(entries.length - 1, { align: "end" });
    if (held.at !== "row") return;
    const index = entries.findIndex((entry) => entry.id === held.id);
    if (index >= 0) list.current?.scrollToIndex(index, { align: "start", offset: -END_PX });
  }, []);

  const look = useCallback(() => {
    const { list, settled, onNearStart, onNearEnd } = latest.current;
    const handle = list.current;
    if (!handle || handle.viewportSize === 0) return;
    const offset = handle.scrollOffset;
    const toGo = handle.scrollSize - handle.viewportSize - offset;
    const held = anchor.current.at;
    // A list that grows does not move; only a hand moves it up, away from its end. Rows that turn out smaller than they
    // were taken for move it, too, and that is nobody's wish.
    if (toGo <= END_PX) {
      if (held === "free" || (held === "row" && settled)) hold({ at: "end" });
    } else if (held === "end" && touched.current && offset < lastOffset.current - 1) {
      hold({ at: "free" });
    }
    lastOffset.current = offset;
    if (!settled) return;
    if (offset < AHEAD_PX) onNearStart();
    if (toGo < AHEAD_PX) onNearEnd();
  }, [hold]);

  useLayoutEffect(() => {
    latest.current = { ...options, settled };
  });

  const last = entries.at(-1);
  const sendsNow = last?.status === "pending" && last.message.user.id === me;
  useLayoutEffect(() => {
    if (sendsNow) hold({ at: "end" });
    settle();
  }, [lastId, sendsNow, hold, settle]);

  // What was just loaded may not fill the screen yet.
  useEffect(look, [entries, settled, look]);

  useEffect(() => {
    const timer = setTimeout(() => setSettled(true), SETTLED_MS);
    return () => clearTimeout(timer);
  }, []);

  const toEnd = useCallback(() => {
    const { entries, list } = latest.current;
    const handle = list.current;
    if (!handle) return;
    const far = handle.scrollSize - handle.scrollOffset > (1 + SMOOTH_VIEWPORTS_MAX) * handle.viewportSize;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    hold({ at: "end" });
    handle.scrollToIndex(entries.length - 1, { align: "end", smooth: !far && !still });
  }, [hold]);

  const onHand = useCallback(() => {
    touched.current = true;
    setSettled(true);
    if (anchor.current.at === "row") hold({ at: "free" });
  }, [hold]);

  const onResize = useCallback(() => {
    if (anchor.current.at === "end" || !latest.current.settled) settle();
    look();
  }, [look, settle]);

  return {
    atEnd: leftAt === undefined,
    settled,
    newCount: leftAt === undefined ? 0 : countAfter(entries, leftAt, me),
    toEnd,
    onHand,
    onScroll: look,
    onResize,
  };
}

/** The message above the one with this id, or that one itself where it is the first. */
function before(entries: readonly ListedMessage[], id: string | undefined): string | undefined {
  if (id === undefined) return undefined;
  return entries[entries.findIndex((entry) => entry.id === id) - 1]?.id ?? id;
}
