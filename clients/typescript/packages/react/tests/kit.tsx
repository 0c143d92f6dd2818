// What the stories of the hooks stand on: React with its effects, a server at the network's edge, a clock of their own.

import { act, type ReactNode, StrictMode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, vi } from "vitest";

import { ParlourProvider, type ParlourProviderProps } from "@parlour/react";

import { FakeServer } from "../../client/tests/fake_server.js";

export { FakeServer, held, message, state } from "../../client/tests/fake_server.js";

/** When the last one that held a connection is gone this long, so is its socket. */
export const LINGER_MS = 250;
/** Long enough for an open, a hello and a load. */
const SOON_MS = 50;

/** The server of the story at hand. */
export let server: FakeServer;
let pages: Page[];
let complaints: string[];

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  server = new FakeServer();
  pages = [];
  complaints = [];
  for (const level of ["error", "warn"] as const) {
    vi.spyOn(console, level).mockImplementation((...words) => void complaints.push(words.join(" ")));
  }
});

afterEach(async () => {
  for (const page of pages) await page.unmount();
  await later(10_000);
  expect(server.live).toBe(0);
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  // React says here what a hook does wrong: snapshots that never rest, a page that differs from the server's.
  expect(complaints).toEqual([]);
});

/** What was complained of, now that it was expected. */
export function takeComplaints(): string[] {
  return complaints.splice(0);
}

export const later = (ms: number): Promise<void> => act(() => vi.advanceTimersByTimeAsync(ms).then(() => {}));
export const soon = (): Promise<void> => later(SOON_MS);

/** One place of a page, where something is shown. */
export class Page {
  readonly container = document.createElement("div");
  #root: Root | undefined;

  constructor() {
    pages.push(this);
  }

  static async showing(node: ReactNode): Promise<Page> {
    const page = new Page();
    await page.show(node);
    await soon();
    return page;
  }

  async show(node: ReactNode): Promise<void> {
    this.#root ??= createRoot(this.container);
    await act(async () => this.#root!.render(node));
  }

  /** Begins with what a server has rendered. */
  async hydrate(html: string, begin: (container: Element) => Root): Promise<void> {
    this.container.innerHTML = html;
    await act(async () => void (this.#root = begin(this.container)));
  }

  async unmount(): Promise<void> {
    await act(async () => this.#root?.unmount());
    this.#root = undefined;
  }

  get text(): string {
    return this.container.textContent ?? "";
  }
}

/** Children within a provider for alice, as an app writes it: everything in place, so new at every render. */
export function Chat({ children, ...props }: Partial<ParlourProviderProps>): ReactNode {
  return (
    <StrictMode>
      <ParlourProvider {...({ ...server.options, user: "alice", token: () => "token", ...props } as ParlourProviderProps)}>
        {children}
      </ParlourProvider>
    </StrictMode>
  );
}

/** The frames of a type that the client has sent over any socket. */
export function heard<T extends string>(type: T) {
  return server.sockets.flatMap((socket) => socket.heard).filter((frame) => frame.type === type);
}
