// The event stream: frames in the body of one answer, for as long as it goes on.

import type { Endpoint } from "../address.js";
import { connect } from "./ask.js";
import { eventReader } from "./server_sent.js";

/** Says hello and takes each text that comes. Rejects when nothing comes any more: it has no other end. */
export async function listen(
  endpoint: Endpoint,
  hello: string,
  signal: AbortSignal,
  take: (text: string) => void,
): Promise<never> {
  const { body } = await connect(endpoint, "text/event-stream", hello, signal);
  // React Native's reads answers as a whole.
  if (!body) throw new Error("this platform's fetch gives no streams");
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const read = eventReader(take);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error("the event stream broke off");
    read(decoder.decode(value, { stream: true }));
  }
}
