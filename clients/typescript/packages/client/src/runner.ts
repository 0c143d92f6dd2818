// The machine of connection.ts at work: with transports, a timer, the clock, and somebody to ask for tokens.
//
// Not here: what is made of that which it tells (driver.ts; for the tabs that share a connection, tabs/host.ts).

import { connectUrl, type Endpoint } from "./address.js";
import { Connection, type ConnectionConfig, type Input, type Output, type Saved, type Transport } from "./connection.js";
import { type Carrier, Dial, MEANS_TO_RESUME, type WebSocketConstructor } from "./dial.js";
import { type ParlourError, textOf } from "./errors.js";
import { loadHttp } from "./load_http.js";
import type { Tabs } from "./tabs/tab.js";
import type { TokenSource } from "./token.js";

/** While there is a connection to look after, the two clocks are compared this often. */
const CLOCKS_EVERY_MS = 5_000;
/** When the wall's clock is ahead by more than this, the device slept. */
const SLEEP_MS = 10_000;

export interface RunnerOptions {
  endpoint: Endpoint;
  /** Absent where it is no transport of this client. */
  webSocket: WebSocketConstructor | undefined;
  config: ConnectionConfig;
}

/** Who runs it. */
export interface Owner {
  /** Takes what the machine says, but for what the runner does itself. */
  output(output: Output): void;
  /** Everything that was to be taken is taken, and these were among it. */
  taken(types: readonly Input["type"][]): void;
  /** When something else than the machine wants a tick, as far as it is still to come. */
  readonly deadlines: readonly number[];
}

const clockOffset = () => Math.floor(Date.now() - performance.now());

export class Runner {
  readonly machine: Connection;
  readonly dials = new Map<number, Carrier>();
  token: TokenSource | undefined;
  /** Who opens links instead, once that is loaded: to the tab that has the connection of all. */
  tabs: Tabs | undefined;
  /** Settles with that. */
  joined: unknown;
  /** What is wished waits. */
  isHeld = false;
  /** Nothing is taken any more. */
  isOver = false;
  /** Inputs are being taken. */
  isBusy = false;
  /** Between the clock that never steps back, and the wall's. */
  clockOffset = clockOffset();
  readonly #options: RunnerOptions;
  readonly #owner: Owner;
  #inputs: Input[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: RunnerOptions, owner: Owner) {
    this.#options = options;
    this.#owner = owner;
    this.machine = new Connection(options.config);
  }

  /** Another one like it, but for this. */
  another(config: Partial<ConnectionConfig>, owner: Owner): Runner {
    return new Runner({ ...this.#options, config: { ...this.#options.config, ...config } }, owner);
  }

  /** What a later run needs to go on from here. */
  saved(): Saved | undefined {
    const saved = this.machine.saved();
    return saved && { ...saved, ...(this.tabs && { worked_in: this.tabs.way.worked_in }) };
  }

  /** How frames travel, while connected. */
  transport(): Transport | undefined {
    const transport = this.machine.transport();
    return transport && this.tabs ? this.tabs.way.transport : transport;
  }

  now(): number {
    return Math.floor(performance.now());
  }

  /** Takes an input after those that are being taken: a listener may wish something while it is told. */
  input(...inputs: Input[]): void {
    if (this.isOver) return;
    this.#inputs.push(...inputs);
    if (this.isBusy) return;
    this.isBusy = true;
    const types: Input["type"][] = [];
    while (this.#inputs.length && !this.isHeld) {
      const next = this.#inputs.shift()!;
      for (const output of this.machine.handle(this.now(), Math.random(), next)) this.#output(output);
      types.push(next.type);
    }
    this.isBusy = false;
    this.#owner.taken(types);
  }

  /** Goes on after a hold, with this before all that was wished meanwhile. */
  goOn(...first: Input[]): void {
    this.isHeld = false;
    this.#inputs.unshift(...first);
    this.input({ type: "tick" });
  }

  /** Closes what is open, and means to come back; nothing is taken any more. */
  drop(): void {
    this.isOver = true;
    for (const dial of this.dials.values()) dial.close(MEANS_TO_RESUME);
    clearTimeout(this.#timer);
  }

  /** Sets the timer for what comes next. */
  arm(): void {
    clearTimeout(this.#timer);
    if (this.isOver) return;
    const now = this.now();
    const others = this.#owner.deadlines.filter((at) => at > now);
    const at = Math.min(this.machine.deadline() ?? Infinity, ...others);
    if (at < Infinity) this.#timer = setTimeout(() => this.tick(), Math.max(0, Math.min(at - now, CLOCKS_EVERY_MS)));
  }

  /** Time has passed; perhaps more than the clock tells that stands still while the device sleeps. */
  tick(): void {
    const before = this.clockOffset;
    this.clockOffset = clockOffset();
    this.input({ type: this.clockOffset - before > SLEEP_MS ? "woke" : "tick" });
  }

  #output(output: Output): void {
    switch (output.type) {
      case "open":
        return void this.#open(output.dial, output.transport);
      case "transmit":
        return this.dials.get(output.dial)?.transmit(output.frame);
      case "close":
        return this.dials.get(output.dial)?.close(output.code);
      case "fetch_token":
        return void this.#fetchToken(output.fetch, output.refused);
      default:
        this.#owner.output(output);
    }
  }

  #open(dial: number, transport: Transport): unknown {
    const { endpoint, webSocket } = this.#options;
    const tell = (input: Input) => {
      if (input.type === "closed") this.dials.delete(input.dial);
      this.input(input);
    };
    const isOpen = (carrier: Carrier) => this.dials.set(dial, carrier);
    if (this.tabs) return isOpen(this.tabs.dial(dial, tell));
    if (transport === "web_socket") return isOpen(new Dial(dial, connectUrl(endpoint.url), webSocket!, tell));
    // Until the code for it is there, it is no more than something to close.
    const closes = (reason: string) => {
      if (this.dials.get(dial) === onItsWay) tell({ type: "closed", dial, code: null, reason });
    };
    const onItsWay = { transmit() {}, close: () => closes("") };
    isOpen(onItsWay);
    loadHttp().then(
      ({ HttpTransport }) => {
        if (this.dials.get(dial) === onItsWay) isOpen(new HttpTransport(transport, dial, endpoint, tell));
      },
      (error) => closes(textOf(error)),
    );
  }

  async #fetchToken(fetch: number, refused: string | null): Promise<void> {
    const source = this.token!;
    try {
      // A call may have got another one meanwhile. Where tabs share a connection, who has it looks after the token.
      const token = await (refused !== null || this.tabs ? source.otherThan(refused ?? undefined) : source.fresh());
      // Nothing is dialled without a token.
      await this.joined;
      this.input({ type: "token_fetched", fetch, token });
    } catch (error) {
      const { message, retryable } = error as ParlourError;
      this.input({ type: "token_failed", fetch, permanent: !retryable, message });
    }
  }
}
