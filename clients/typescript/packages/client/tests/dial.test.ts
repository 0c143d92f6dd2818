// What a WebSocket tells of its end, which each platform tells in its own words.

import { expect, it } from "vitest";

import type { Input } from "../src/connection.js";
import { Dial, type WebSocketConstructor } from "../src/dial.js";

/** Dials, and lets the platform tell what it does. */
function told(platform: (socket: FakeSocket) => void): Input[] {
  const inputs: Input[] = [];
  let socket!: FakeSocket;
  class Socket extends FakeSocket {
    constructor() {
      super();
      socket = this;
    }
  }
  new Dial(1, "ws://x/v1/connect", Socket as unknown as WebSocketConstructor, (input) => inputs.push(input));
  platform(socket);
  return inputs;
}

class FakeSocket {
  onopen!: () => void;
  onerror!: (event: { message?: string }) => void;
  onclose!: (event: { code: number; reason: string }) => void;
}

it("where nobody is told why a WebSocket did not open, it says at least that", () => {
  const inputs = told((socket) => {
    socket.onerror({});
    socket.onclose({ code: 1006, reason: "" });
  });
  expect(inputs).toEqual([{ type: "closed", dial: 1, code: 1006, reason: "the WebSocket did not open" }]);
});

it("where the platform knows why it did not open, it says that", () => {
  const inputs = told((socket) => {
    socket.onerror({ message: "Unexpected server response: 403" });
    socket.onclose({ code: 1006, reason: "" });
  });
  expect(inputs).toMatchObject([{ reason: "Unexpected server response: 403" }]);
});

it("a WebSocket that was open ends with the words of the other side, or with none", () => {
  const end = (reason: string) =>
    told((socket) => {
      socket.onopen();
      socket.onclose({ code: 1012, reason });
    }).at(-1);
  expect(end("the server restarts")).toMatchObject({ code: 1012, reason: "the server restarts" });
  expect(end("")).toMatchObject({ code: 1012, reason: "" });
});
