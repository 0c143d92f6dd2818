import { useSyncExternalStore } from "react";

const EVENTS = ["focus", "blur", "visibilitychange", "pageshow"] as const;

function subscribe(listener: () => void): () => void {
  // A frame that loses the focus to another one still has it when its `blur` fires.
  const later = () => setTimeout(listener);
  for (const event of EVENTS) {
    addEventListener(event, listener);
    addEventListener(event, later);
  }
  document.addEventListener("visibilitychange", listener);
  return () => {
    for (const event of EVENTS) {
      removeEventListener(event, listener);
      removeEventListener(event, later);
    }
    document.removeEventListener("visibilitychange", listener);
  };
}

/** Whether the page is to be seen at all; another window may have the focus. */
export function useVisible(): boolean {
  return useSyncExternalStore(subscribe, () => document.visibilityState === "visible");
}

/** Whether somebody is looking: the page is visible and its window has the focus. */
export function useAttention(): boolean {
  return useSyncExternalStore(subscribe, () => document.visibilityState === "visible" && document.hasFocus());
}
