// The address bar as a value, and the ways to change it without loading the page anew.

import { useMemo, useSyncExternalStore } from "react";
import { hrefOf, readPlace, type Place } from "../logic/place.js";

const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  addEventListener("popstate", listener);
  return () => {
    listeners.delete(listener);
    removeEventListener("popstate", listener);
  };
}

export function usePlace(): Place {
  const search = useSyncExternalStore(subscribe, () => location.search);
  return useMemo(() => readPlace(search), [search]);
}

/** Goes to a place; the browser's back button comes back. */
export function go(place: Place): void {
  history.pushState({ inside: true }, "", hrefOf(place));
  tell();
}

/** Goes to a place in the stead of this one, where coming back would make no sense. */
export function goInstead(place: Place): void {
  history.replaceState(history.state, "", hrefOf(place));
  tell();
}

/**
 * Leaves a channel for the list: back in the history if that is where one came from, so that the browser's
 * own back button does not lead into the channel again.
 */
export function leaveTo(place: Place): void {
  const state: unknown = history.state;
  if (typeof state === "object" && state !== null && "overList" in state) history.back();
  else goInstead(place);
}

/** Goes from the list into a channel, and remembers that the list is what lies below. */
export function enter(place: Place): void {
  history.pushState({ inside: true, overList: true }, "", hrefOf(place));
  tell();
}

function tell(): void {
  for (const listener of [...listeners]) listener();
}
