import { useCallback, useSyncExternalStore } from "react";
import { useMedia } from "./use_media.js";

export type Theme = "light" | "dark";

/** Also read by public/theme.js, before this program runs. */
const KEY = "parlour-demo-theme";

const listeners = new Set<() => void>();

function chosen(): Theme | undefined {
  const theme = document.documentElement.dataset.theme;
  return theme === "light" || theme === "dark" ? theme : undefined;
}

function show(theme: string | null): void {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  for (const listener of [...listeners]) listener();
}

function subscribe(listener: () => void): () => void {
  // Another tab, or the other half of the side-by-side page, has changed it.
  const stored = (event: StorageEvent) => {
    if (event.key === KEY) show(event.newValue);
  };
  listeners.add(listener);
  addEventListener("storage", stored);
  return () => {
    listeners.delete(listener);
    removeEventListener("storage", stored);
  };
}

/** The theme that is shown, and how to change it: the system's until somebody has chosen. */
export function useTheme(): { theme: Theme; toggle: () => void } {
  const choice = useSyncExternalStore(subscribe, chosen);
  const systemDark = useMedia("(prefers-color-scheme: dark)");
  const theme = choice ?? (systemDark ? "dark" : "light");
  const toggle = useCallback(() => {
    const next = theme === "dark" ? "light" : "dark";
    show(next);
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // Storage is off: the choice lasts as long as the page.
    }
  }, [theme]);
  return { theme, toggle };
}
