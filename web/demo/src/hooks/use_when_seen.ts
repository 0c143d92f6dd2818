import { useEffect, type RefObject } from "react";

/** Calls `onSeen` when an element comes near the visible part of the page, as long as `active`. */
export function useWhenSeen(element: RefObject<Element | null>, active: boolean, onSeen: () => void): void {
  useEffect(() => {
    const watched = element.current;
    if (!active || !watched) return;
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) onSeen();
      },
      { rootMargin: "400px" },
    );
    observer.observe(watched);
    return () => observer.disconnect();
  }, [element, active, onSeen]);
}
