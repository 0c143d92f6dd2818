import type { ListedMessage } from "@parlour/client";
import { useCallback, useLayoutEffect, useRef, useState, type RefObject } from "react";
import type { VirtualizerHandle } from "virtua";
import { shapeAt } from "../logic/rows.js";

interface FloatingDay {
  /**
   * The time of the topmost message, while its day cannot be read from a separator; undefined while at rest.
   */
  at: string | undefined;
  onScroll: () => void;
  onScrollEnd: () => void;
}

/** The day of what one scrolls through, as long as one scrolls. */
export function useFloatingDay(
  list: RefObject<VirtualizerHandle | null>,
  entries: readonly ListedMessage[],
  active: boolean,
): FloatingDay {
  const [at, setAt] = useState<string>();
  const latest = useRef(entries);
  useLayoutEffect(() => {
    latest.current = entries;
  });

  const onScroll = useCallback(() => {
    const handle = list.current;
    if (!handle) return;
    const index = handle.findItemIndex(handle.scrollOffset);
    const top = latest.current[index];
    const namesDay = shapeAt(latest.current, index, undefined).newDay;
    setAt(top && !namesDay ? top.message.created_at : undefined);
  }, [list]);
  const onScrollEnd = useCallback(() => setAt(undefined), []);

  return { at: active ? at : undefined, onScroll, onScrollEnd };
}
