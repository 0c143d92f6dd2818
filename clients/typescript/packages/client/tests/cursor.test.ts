import { expect, test } from "vitest";

import { backoffWait, share } from "../src/backoff.js";
import { Cursor } from "../src/cursor.js";
import { Places } from "../src/places.js";

const GENERAL = "channel:messaging:general";
const SHOW = "channel:livestream:show";

test("the next event moves a cursor; one that was seen, or one after a gap, does not (L5.2)", () => {
  const cursor = new Cursor(4);
  expect([5, 5, 4, 7].map((seq) => cursor.offer(seq))).toEqual(["next", "seen", "seen", "gap"]);
  expect(cursor.last).toBe(5);
});

test("a cursor knows how far it is behind the head of the log", () => {
  const cursor = new Cursor(5);
  expect([4, 5, 6].map((head) => cursor.isBehind(head))).toEqual([false, false, true]);
});

test("a cursor is raised, and never goes back", () => {
  const cursor = new Cursor(5);
  cursor.raise(9);
  cursor.raise(7);
  expect(cursor.last).toBe(9);
});

test("a hole is asked for once, until it is closed", () => {
  const places = new Places();
  const offer = (...seqs: number[]) => seqs.map((seq) => places.offer(GENERAL, seq));
  expect(offer(7, 9, 10)).toEqual(["deliver", { after: 7 }, "drop"]);
  // Until 10 has come, it is the old hole.
  expect(offer(8, 9, 11)).toEqual(["deliver", "deliver", "drop"]);
  expect(offer(10, 11, 13)).toEqual(["deliver", "deliver", { after: 11 }]);
});

test("a resume names the five hundred topics of the latest deliveries", () => {
  const places = new Places();
  const name = (n: number) => `channel:messaging:${String(n).padStart(3, "0")}`;
  for (let n = 599; n >= 0; n -= 1) places.offer(name(n), 1);
  places.offer(name(599), 2);
  const cursors = places.forResume();
  expect(Object.keys(cursors).length).toBe(500);
  expect([599, 598, 499, 498].map((n) => cursors[name(n)])).toEqual([2, undefined, undefined, 1]);
});

test("what is watched stands beside the resume, in the order of the topics", () => {
  const places = new Places();
  const topics = ["poll:a", "app:dev", "user:alice", "channel:team2:x", "channel:team:z", "channel:team:x"];
  for (const topic of topics) places.watch(topic, null);
  places.offer(GENERAL, 3);
  expect(places.watched().map(({ topic }) => topic)).toEqual(topics.reverse());
  expect(places.forResume()).toEqual({ [GENERAL]: 3 });
});

test("what is watched no longer is asked for in no way, and its events still come once", () => {
  const places = new Places();
  places.watch(SHOW, 3);
  places.unwatch(SHOW);
  expect([places.watched(), places.forResume()]).toEqual([[], {}]);
  expect([3, 4].map((seq) => places.offer(SHOW, seq))).toEqual(["drop", "deliver"]);
});

test("a wait is a random part of a bound that doubles up to its cap", () => {
  const backoff = { base_ms: 500, cap_ms: 20_000 };
  const failures = [0, 1, 5, 6, 4_000];
  const waits = (jitter: number) => failures.map((count) => backoffWait(backoff, count, jitter));
  expect(waits(1)).toEqual([500, 1_000, 16_000, 20_000, 20_000]);
  expect(waits(0.25)).toEqual([125, 250, 4_000, 5_000, 5_000]);
  expect([-1, 2, 0.999].map((jitter) => share(jitter, 300))).toEqual([0, 300, 299]);
});
