/** What the server said that explains a close, and when it wants the client back. */

import type { CloseCode, ErrorBody, ServerFrame } from "../wire.js";
import type { FailedWhy } from "./state.js";

type Bye = Extract<ServerFrame, { type: "bye" }>;

export class LastWords {
  #bye: Bye | undefined;
  /** The last frame but `bye`, if it was an error. */
  #error: ErrorBody | null = null;
  #notBefore: number | undefined;
  /** Whether anything was said at all. */
  any = false;

  /** The code of a `bye` that came. */
  get code(): CloseCode | null {
    return this.#bye?.code ?? null;
  }

  /** Remembers what a frame says of the end, if it does. */
  hear(now: number, frame: ServerFrame): void {
    if (frame.type === "bye") this.#bye = frame;
    // An error explains a close only right before it.
    else if (frame.type !== "drain") this.#error = frame.type === "error" ? frame.error : null;

    if ("retry_after_ms" in frame && frame.type !== "throttle") {
      this.#notBefore = now + frame.retry_after_ms;
    }
  }

  /** The time that the server named for coming back, if it is still to come. */
  returnAt(now: number): number | undefined {
    return this.#notBefore !== undefined && this.#notBefore > now ? this.#notBefore : undefined;
  }

  refused(code: CloseCode, reason: string): FailedWhy {
    return {
      type: "refused",
      code,
      reason: this.#bye?.reason || reason,
      error: this.#error,
      replaced_by: this.#bye?.replaced_by ?? null,
    };
  }
}
