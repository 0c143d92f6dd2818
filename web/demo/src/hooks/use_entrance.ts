import { useLayoutEffect, useRef, type RefObject } from "react";
import { ROW_ID } from "./use_row_focus.js";

/** More at once are a page that was loaded, or an outage that is over: nothing to watch arriving. */
const AT_ONCE_MAX = 3;

/** Lets a message that arrives rise into its place. */
export function useEntrance(
  scroller: RefObject<HTMLElement | null>,
  entries: readonly { id: string }[],
): void {
  const lastId = useRef(entries.at(-1)?.id);
  useLayoutEffect(() => {
    const from = lastId.current;
    lastId.current = entries.at(-1)?.id;
    if (
      !scroller.current ||
      from === lastId.current ||
      matchMedia("(prefers-reduced-motion: reduce)").matches
    )
      return;
    const known = entries.findLastIndex((entry) => entry.id === from);
    const fresh = known < 0 && from !== undefined ? [] : entries.slice(known + 1);
    if (fresh.length > AT_ONCE_MAX) return;
    for (const { id } of fresh) {
      const row = scroller.current.querySelector(`[${ROW_ID}="${CSS.escape(id)}"]`);
      row?.animate(
        [
          { opacity: 0, translate: "0 10px" },
          { opacity: 1, translate: "0 0" },
        ],
        {
          duration: 200,
          easing: "cubic-bezier(0.2, 0.8, 0.2, 1)",
        },
      );
    }
  }, [scroller, entries]);
}
