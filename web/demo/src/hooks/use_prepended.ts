import { useLayoutEffect, useRef } from "react";

/**
 * Whether items were put before the ones of the last drawing, in this drawing alone: what a virtual list has
 * to know to keep what the reader sees where it is.
 */
export function usePrepended(items: readonly { id: string }[]): boolean {
  const first = useRef<string>(undefined);
  const firstId = items[0]?.id;
  const before = first.current;
  const prepended = before !== undefined && before !== firstId && items.some((item) => item.id === before);
  useLayoutEffect(() => {
    first.current = firstId;
  }, [firstId]);
  return prepended;
}
