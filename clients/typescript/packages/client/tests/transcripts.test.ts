/** The conversations in `spec/transcripts`, which the machine of every SDK reproduces to the letter. */

import { describe, expect, test } from "vitest";

import { replay, transcripts } from "./transcript.js";

const all = transcripts();
const connections = all.filter(({ machine }) => machine === "connection");
const sessions = all.filter(({ machine }) => machine === "session");

describe("a transcript of a connection is reproduced to the letter (L3.8)", () => {
  test.each(connections)("$name: $about", (transcript) => {
    let number = 0;
    for (const answer of replay(transcript)) {
      const { in: input, jitter: _, ...expected } = transcript.steps[number]!;
      number += 1;
      // The first step that differs stops the test, and says in what.
      const where = `step ${number} of ${transcript.name}, at ${expected.at}: ${JSON.stringify(input)}`;
      expect(answer, where).toStrictEqual(expected);
    }
    expect(number).toBe(transcript.steps.length);
  });
});

describe("the collection", () => {
  test("has no fewer than 90 transcripts of a connection", () => {
    expect(connections.length).toBeGreaterThanOrEqual(90);
  });

  test("names those of a session, which is the server's half, as such", () => {
    expect(all.length).toBe(connections.length + sessions.length);
    for (const { name, machine } of all) {
      expect(machine, name).toBe(name.startsWith("session-") ? "session" : "connection");
    }
  });
});
