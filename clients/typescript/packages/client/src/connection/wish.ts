/**
 * What the app wishes, and where it stands: from these and the user follows whether a connection is wanted.
 *
 * Not here: what is there of a connection, and what becomes of it.
 */

import type { AppState, ClientFrame } from "../wire.js";
import type { ConnectionConfig } from "./config.js";
import type { AppLevel } from "./input.js";

/** A server takes no shorter lease. */
const LEASE_MIN_MS = 1_000;

export class Wish {
  readonly #config: ConnectionConfig;
  /** `lapsed`: up, until the connection ended in the background; in manual mode the app has to ask again. */
  intent: "up" | "down" | "lapsed" = "down";
  #app: AppLevel = "foreground";
  /**
   * Until when a connection is wanted although the app is in the background. Infinite: until the app goes there once
   * more.
   */
  #hold: number | undefined;

  constructor(config: ConnectionConfig) {
    this.#config = config;
  }

  get isUp(): boolean {
    return this.intent === "up" && (this.isInFront || this.#hold !== undefined);
  }

  get isInFront(): boolean {
    return this.#app === "foreground" || this.#app === "hidden";
  }

  get isLookedAt(): boolean {
    return this.#app === "foreground";
  }

  /** The app as the server is told of it. */
  get appState(): AppState {
    return this.#app === "frozen" ? "background" : this.#app;
  }

  /** Whether what ends in the background stays ended, and has a lease until then. */
  get #isLeased(): boolean {
    return this.#config.mode === "manual" && this.#config.background === "park";
  }

  /** When the hold is over. */
  get deadline(): number {
    return this.#hold ?? Infinity;
  }

  /** The frame that tells where the app stands, with the lease if there is one: the server ends what outlives it. */
  told(now: number): ClientFrame & { type: "app_state" } {
    const lease = this.#isLeased && this.#hold ? { lease_ms: Math.max(LEASE_MIN_MS, this.#hold - now) } : {};
    return { type: "app_state", state: this.appState, ...lease };
  }

  /** The app is there now; answers where it was before, and whether that is news for the server. */
  appIs(level: AppLevel, now: number): { before: AppLevel; isNews: boolean } {
    const [before, state, hold] = [this.#app, this.appState, this.#hold];
    this.#app = level;
    this.#hold = level === "background" ? this.#holdAfter(before, now) : undefined;
    if (level === "frozen") this.lapse();
    return { before, isNews: this.isUp && (state !== this.appState || hold !== this.#hold) };
  }

  #holdAfter(before: AppLevel, now: number): number | undefined {
    const { mode, background, background_grace_ms, lease_ms } = this.#config;
    const entered = before !== "background";
    if (background === "keep") return Infinity;
    if (mode === "manual") return entered ? now + lease_ms : this.#hold;
    if (!entered && this.#hold !== Infinity) return this.#hold;
    return background_grace_ms > 0 ? now + background_grace_ms : undefined;
  }

  /** The app asked for a connection while it is in the background: it is wanted for a while. */
  holdOn(now: number): void {
    this.#hold = this.#isLeased ? now + this.#config.lease_ms : Infinity;
  }

  /** A ping renews the lease, here as at the server. */
  pinged(now: number): void {
    if (this.#isLeased && this.#hold) this.holdOn(now);
  }

  /** Ends the hold whose time has come; answers whether it did. */
  endHold(now: number): boolean {
    const over = this.deadline <= now;
    if (over) this.letGo();
    return over;
  }

  letGo(): void {
    this.#hold = undefined;
    this.lapse();
  }

  /** In manual mode what ends in the background stays ended until the app connects again. */
  lapse(): void {
    if (this.#config.mode !== "manual" || this.intent !== "up") return;
    this.intent = "lapsed";
    this.#hold = undefined;
  }

  /** A connection is lost. Answers whether it is not dialled again, because the app is in the background. */
  givesUp(): boolean {
    const gives = !this.isInFront && this.#isLeased;
    if (gives) this.lapse();
    return gives;
  }
}
