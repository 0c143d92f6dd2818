/** Which transport is tried, and what is known of the network between. */

/** How frames travel. */
export type Transport = "web_socket" | "event_stream" | "long_poll";

/**
 * Dials by the best transport that end without a word before the next one is tried. The others have one each: they
 * are only tried because something is wrong already.
 */
const PATIENCE = 3;
/** A heartbeat is asked for at this share of the time after which the way cut a silent link twice. */
const HEARTBEAT_SHARE = 0.6;
/** A server is not asked for heartbeats more often. */
const HEARTBEAT_MIN_MS = 1_000;
/** Two cuts are of the same age if they differ by at most this share of the longer one. */
const SAME_AGE_SHARE = 0.1;

export class Ways {
  readonly #allowed: readonly Transport[];
  /** The transport in use: its place among the allowed ones. */
  at = 0;
  /** Dials in a row that ended without a word from the server. */
  #mute = 0;
  /** Each transport has failed since one last worked: the server is away, and no way is to blame. */
  #allFailed = false;
  #network = "";
  /** What got through, by network. */
  workedIn: Readonly<Record<string, Transport>> = {};
  /** How long the link was silent when it was last cut without a word; 0: it was not. */
  #cutAfter = 0;
  /** The heartbeat to ask for. */
  heartbeatMs: number | undefined;

  constructor(allowed: readonly Transport[]) {
    this.#allowed = allowed;
  }

  /** A dial ended without a word. Answers where to go on, if not by the same transport again. */
  failed(stalled: boolean): number | undefined {
    this.#mute += 1;
    const patience = this.at === 0 ? PATIENCE : 1;
    if (this.#allowed.length < 2 || (!stalled && this.#mute < patience)) return undefined;
    this.#mute = 0;
    this.at = (this.at + 1) % this.#allowed.length;
    this.#allFailed ||= this.at === 0;
    return this.at;
  }

  /** The server was heard, so the way is open. */
  heard(): void {
    this.#mute = 0;
  }

  /**
   * A connection is up by this transport. Answers whether it is in doubt that a better one would not do: the server
   * was away when those were tried.
   */
  worked(at: number): boolean {
    const inDoubt = this.#allFailed;
    this.at = at;
    this.#mute = 0;
    this.#allFailed = false;
    this.workedIn = { ...this.workedIn, [this.#network]: this.#allowed[at]! };
    return inDoubt;
  }

  /** Another network: what worked in it is tried first. */
  goesBy(network: string): void {
    this.#network = network;
    this.#mute = 0;
    this.#allFailed = false;
    this.#cutAfter = 0;
    this.heartbeatMs = undefined;
    this.recall(this.workedIn);
  }

  recall(workedIn: Readonly<Record<string, Transport>>): void {
    this.workedIn = workedIn;
    this.at = Math.max(0, this.#allowed.indexOf(workedIn[this.#network]!));
  }

  /**
   * A link was cut without a word after this long a silence. Twice at the same age, something on the way ends what is
   * idle: heartbeats have to come before it does.
   */
  cut(silence: number): void {
    const before = this.#cutAfter;
    this.#cutAfter = silence;
    const longer = Math.max(before, silence);
    const shorter = Math.min(before, silence);
    if (silence < HEARTBEAT_MIN_MS || longer - shorter > longer * SAME_AGE_SHARE) return;
    const wished = Math.max(HEARTBEAT_MIN_MS, Math.floor(shorter * HEARTBEAT_SHARE));
    this.heartbeatMs = Math.min(this.heartbeatMs ?? Infinity, wished);
  }
}
