// The keyboard in a virtual list: one row can be reached by Tab, and the arrow keys go from there.

import {
  useCallback,
  useEffect,
  useRef,
  useState,
  type FocusEvent,
  type KeyboardEvent,
  type RefObject,
} from "react";
import type { VirtualizerHandle } from "virtua";

/** Rows carry their id in this attribute. */
export const ROW_ID = "data-message-id";

const STEP: Readonly<Record<string, (at: number, count: number) => number>> = {
  ArrowDown: (at, count) => Math.min(at + 1, count - 1),
  ArrowUp: (at) => Math.max(at - 1, 0),
  End: (_, count) => count - 1,
};

interface RowFocus {
  /** The row that Tab reaches: the one that had the focus last, else the last. */
  focusableIndex: number;
  /** Rows that must stay drawn: the focus would be lost with its row. */
  keepMounted: readonly number[];
  onKeyDown: (event: KeyboardEvent) => void;
  onFocus: (event: FocusEvent) => void;
  onBlur: (event: FocusEvent) => void;
}

export function useRowFocus(
  list: RefObject<VirtualizerHandle | null>,
  scroller: RefObject<HTMLElement | null>,
  entries: readonly { id: string }[],
): RowFocus {
  const [focusedId, setFocusedId] = useState<string>();
  const [inside, setInside] = useState(false);
  const wanted = useRef<string>(undefined);
  const found = focusedId === undefined ? -1 : entries.findIndex((entry) => entry.id === focusedId);
  const focusableIndex = found < 0 ? entries.length - 1 : found;

  useEffect(() => {
    const id = wanted.current;
    if (id === undefined || !scroller.current) return;
    wanted.current = undefined;
    rowOf(scroller.current, id)?.focus({ preventScroll: true });
  });

  const onKeyDown = useCallback(
    (event: KeyboardEvent) => {
      const step = STEP[event.key];
      if (!step || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      const row = (event.target as Element).closest(`[${ROW_ID}]`);
      if (!row) return;
      const at = entries.findIndex((entry) => entry.id === row.getAttribute(ROW_ID));
      const next = entries[step(at, entries.length)];
      event.preventDefault();
      if (!next || entries[at] === next) return;
      wanted.current = next.id;
      setFocusedId(next.id);
      list.current?.scrollToIndex(entries.indexOf(next), { align: "nearest" });
    },
    [entries, list],
  );

  const onFocus = useCallback((event: FocusEvent) => {
    setInside(true);
    const id = event.target.closest(`[${ROW_ID}]`)?.getAttribute(ROW_ID);
    if (id != null) setFocusedId(id);
  }, []);

  const onBlur = useCallback((event: FocusEvent) => {
    if (!event.currentTarget.contains(event.relatedTarget)) setInside(false);
  }, []);

  return { focusableIndex, keepMounted: inside && found >= 0 ? [found] : [], onKeyDown, onFocus, onBlur };
}

function rowOf(scroller: HTMLElement, id: string): HTMLElement | null {
  return scroller.querySelector<HTMLElement>(`[${ROW_ID}="${CSS.escape(id)}"]`);
}
