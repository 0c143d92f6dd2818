// A clock that stands still until the test moves it.
//
// It stands in for the timers, `Date` and `performance.now`. Promises and microtasks are left alone: what follows from
// a timer is done before the next timer's turn comes.

import { loadDesk } from "../load_desk.js";
import { loadKeeper } from "../load_keeper.js";
import { loadLive } from "../load_live.js";

/** The fake timers of a test runner, such as vitest's `vi` and jest's `jest`. */
export interface FakeTimers {
  useFakeTimers(): unknown;
  useRealTimers(): unknown;
  advanceTimersByTimeAsync(ms: number): Promise<unknown>;
}

type Later = (run: () => void) => unknown;

interface Timer {
  id: number;
  at: number;
  every: number | undefined;
  run: () => void;
}

/** What Node's timers are too, where somebody asks. */
class Handle {
  constructor(private readonly id: number) {}
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  hasRef(): boolean {
    return true;
  }
  [Symbol.toPrimitive](): number {
    return this.id;
  }
}

/** Turns of the real event loop that what follows from a timer is given: imports and streams take more than one. */
const TURNS = 3;
/** Timers without any time between them, after which something runs in a circle. */
const TIMERS_AT_ONCE_MAX = 10_000;

/**
 * A virtual clock. It is in force from its making until `restore`.
 *
 * ```ts
 * const clock = new VirtualClock();
 * // …
 * await clock.advance(60_000);
 * clock.restore();
 * ```
 *
 * Given the fake timers of vitest or jest it moves those: `new VirtualClock(vi)`.
 */
export class VirtualClock {
  #now = Date.now();
  #ids = 0;
  #timers = new Map<number, Timer>();
  #restores: (() => void)[] = [];
  readonly #foreign: FakeTimers | undefined;
  readonly #turn: () => Promise<void>;

  constructor(timers?: FakeTimers) {
    this.#foreign = timers;
    // A timeout of nothing takes a millisecond in Node.
    const { setImmediate, setTimeout } = globalThis as { setImmediate?: Later; setTimeout: Later };
    const later = setImmediate ?? setTimeout;
    this.#turn = () => new Promise((resolve) => void later(resolve));
    if (timers) {
      timers.useFakeTimers();
      this.#restores.push(() => void timers.useRealTimers());
    } else this.#install();
  }

  /** What `Date.now` says: milliseconds since 1970. */
  get now(): number {
    return this.#foreign ? Date.now() : this.#now;
  }

  /** Timers that have not run yet. A test runner's own fake timers know theirs. */
  get pending(): number {
    return this.#timers.size;
  }

  /**
   * Lets this many milliseconds pass: each timer runs at its time, in order, and what follows from it before the next
   * one. Throws if timers make one another without end.
   */
  async advance(ms: number): Promise<void> {
    // What a client loads is there before it asks: no time passes while a file is read.
    await Promise.all([loadDesk(), loadKeeper(), loadLive()]);
    await this.#settle();
    if (this.#foreign) await this.#foreign.advanceTimersByTimeAsync(ms);
    else await this.#pass(this.#now + ms);
    await this.#settle();
  }

  /** Gives the real clock back. Timers that were waiting never run. */
  restore(): void {
    for (const restore of this.#restores.splice(0).reverse()) restore();
    this.#timers.clear();
  }

  async #pass(until: number): Promise<void> {
    for (let atOnce = 0; ; ) {
      const next = this.#next();
      if (!next || next.at > until) break;
      atOnce = next.at > this.#now ? 0 : atOnce + 1;
      if (atOnce > TIMERS_AT_ONCE_MAX) throw new Error(`timers make one another without end at ${this.#now}`);
      this.#now = Math.max(this.#now, next.at);
      // An interval of nothing would never let the time pass.
      if (next.every === undefined) this.#timers.delete(next.id);
      else next.at = this.#now + Math.max(1, next.every);
      next.run();
      await this.#settle();
    }
    this.#now = until;
  }

  async #settle(): Promise<void> {
    for (let turn = 0; turn < TURNS; turn++) await this.#turn();
  }

  /** Of timers of the same time the one that was made first. */
  #next(): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers.values()) if (!next || timer.at < next.at) next = timer;
    return next;
  }

  #install(): void {
    const make = (repeats: boolean) =>
      ((run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) => {
        const [id, wait] = [++this.#ids, Math.max(0, Number(ms) || 0)];
        const timer = { id, at: this.#now + wait, every: repeats ? wait : undefined, run: () => run(...args) };
        this.#timers.set(id, timer);
        return new Handle(id);
      }) as unknown;
    const clear = (handle?: unknown) => void this.#timers.delete(Number(handle));
    const now = () => this.#now;
    const RealDate = Date;
    const begun = performance.now() - this.#now;
    this.#replace(globalThis, "setTimeout", make(false));
    this.#replace(globalThis, "clearTimeout", clear);
    this.#replace(globalThis, "setInterval", make(true));
    this.#replace(globalThis, "clearInterval", clear);
    this.#replace(performance, "now", () => begun + this.#now);
    const date = new Proxy(RealDate, {
      construct: (target, args, made) => Reflect.construct(target, args.length ? args : [now()], made) as object,
      apply: () => new RealDate(now()).toString(),
      get: (target, name) => (name === "now" ? now : Reflect.get(target, name)),
    });
    this.#replace(globalThis, "Date", date);
  }

  #replace(owner: object, name: string, value: unknown): void {
    const before = Object.getOwnPropertyDescriptor(owner, name);
    Object.defineProperty(owner, name, { value, configurable: true, writable: true });
    this.#restores.push(() => {
      if (before) Object.defineProperty(owner, name, before);
      else Reflect.deleteProperty(owner, name);
    });
  }
}
