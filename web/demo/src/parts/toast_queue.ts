// Short notes about what was just done, or could not be done, and is not shown elsewhere.

import { sentence } from "../logic/people.js";

export interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

const SHOWN_MS = 4_000;

let toasts: readonly Toast[] = [];
let nextId = 1;
const listeners = new Set<() => void>();

function set(next: readonly Toast[]): void {
  toasts = next;
  for (const listener of [...listeners]) listener();
}

export const toastQueue = {
  get: () => toasts,
  subscribe: (listener: () => void) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  },
};

/** Shows a note for a few seconds. */
export function toast(text: string, bad = false): void {
  const id = nextId++;
  set([...toasts.slice(-2), { id, text, bad }]);
  setTimeout(() => set(toasts.filter((shown) => shown.id !== id)), SHOWN_MS);
}

/** Shows why something that was asked for did not happen. */
export function toastError(error: unknown): void {
  toast(sentence(error instanceof Error ? error.message : String(error)), true);
}
