import { useSyncExternalStore } from "react";
import { dayKey, untilMidnight } from "../logic/times.js";

/** A timer may fire a little early, and a computer may sleep through midnight. */
const SLACK_MS = 500;

function subscribe(listener: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const wait = () => {
    timer = setTimeout(tick, untilMidnight(new Date()) + SLACK_MS);
  };
  const tick = () => {
    listener();
    wait();
  };
  wait();
  document.addEventListener("visibilitychange", listener);
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", listener);
  };
}

/** Changes at midnight: what was "Today" must then be called "Yesterday". */
export function useToday(): string {
  return useSyncExternalStore(subscribe, () => dayKey(new Date()));
}
