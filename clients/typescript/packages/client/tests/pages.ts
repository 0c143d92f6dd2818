// One page after the other: each with code of its own, as if it had just been loaded.

import { vi } from "vitest";

type Module = typeof import("../src/index.js");

/** Ends the page before, without a word and with all its timers, and loads the next. */
export async function nextPage(): Promise<Module> {
  vi.clearAllTimers();
  vi.resetModules();
  const module = await import("../src/index.js");
  // There already when a client loads it: no story's clock moves while a file is read.
  await Promise.all([import("../src/desk.js"), import("../src/keeper.js"), import("../src/live.js")]);
  return module;
}
