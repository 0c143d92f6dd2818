// Where tokens come from.
//
// Not here: when a token is due, which the connection knows.

import { bounded, type Endpoint } from "./address.js";
import { textOf } from "./errors.js";

/**
 * Gives the user's token: a text that stays as it is, or a function that is asked at the first connect,
 * before the token ends and when the server no longer takes it.
 *
 * The function is asked one call at a time: whoever else needs a token meanwhile gets the same answer. An
 * error that it throws is taken as one that may pass, and it is asked again later; where that will not help,
 * because the user's session at your backend is over, say, throw an error whose `permanent` is `true`.
 */
export type TokenProvider = string | (() => string | Promise<string>);

/** One user's provider, with the token that is in force. */
export class TokenSource {
  readonly #provider: TokenProvider;
  readonly #endpoint: Endpoint;
  #current: string | undefined;
  /** Answers the next question, without the provider. */
  #atHand: string | undefined;
  #asking: Promise<string> | undefined;
  /** Asks the provider, or who has its answer already; not the token that was refused. */
  via = (ask: () => Promise<unknown>, _refused: string | undefined): Promise<unknown> => ask();

  /** When the provider has not answered for as long as a call may take, it has none. */
  constructor(provider: TokenProvider, endpoint: Endpoint) {
    this.#provider = provider;
    this.#endpoint = endpoint;
  }

  /** The token in force, if there is one yet. */
  get current(): string | undefined {
    return this.#current;
  }

  /** Answers the next question with a token that is there: the one in force, or one of an earlier run. */
  reuse(token = this.#current): this {
    this.#current = this.#atHand = token;
    return this;
  }

  /** Of no use, as somebody else has found. */
  refuse(token: string): void {
    if (this.#current === token) this.#current = this.#atHand = undefined;
  }

  /**
   * Asks the provider, unless it is being asked already.
   *
   * Fails with `token_missing`; not `retryable` where the provider said that asking again is in vain, and where there
   * is none to ask.
   */
  async fresh(): Promise<string> {
    const token = this.#atHand;
    this.#atHand = undefined;
    if (token !== undefined) return token;
    this.#asking ??= this.#ask().finally(() => (this.#asking = undefined));
    return this.#asking;
  }

  /** The token in force, unless it is the one that was refused: then the provider is asked, as by `fresh`. */
  async otherThan(refused?: string): Promise<string> {
    if (this.#atHand === refused) this.#atHand = undefined;
    let failure: unknown;
    await this.#asking?.catch((error: unknown) => (failure = error));
    if (this.#current !== undefined && this.#current !== refused) return this.#current;
    if (failure) throw failure;
    return this.fresh();
  }

  async #ask(): Promise<string> {
    const provider = this.#provider;
    const isFixed = typeof provider !== "function";
    const ask = async (): Promise<unknown> => (isFixed ? provider : provider());
    try {
      const token = await bounded(this.#endpoint, "the token provider", {}, () => this.via(ask, this.#current));
      const isText = typeof token === "string";
      // A header carries no other characters.
      if (!isText || !/^[!-~]+$/.test(token)) {
        throw new TypeError(`the provider gave ${isText ? "a text that is none" : typeof token}`);
      }
      this.#current = token;
      return token;
    } catch (cause) {
      const retryable = !isFixed && (Object(cause) as { permanent?: unknown }).permanent !== true;
      throw this.#endpoint.error("token_missing", `no token: ${textOf(cause)}`, { retryable, cause });
    }
  }
}
