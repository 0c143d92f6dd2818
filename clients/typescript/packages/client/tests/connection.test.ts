/** What holds for any inputs in any order. What the machine does in each case is told by the transcripts. */

import { expect, test, vi } from "vitest";

import { Connection, type Input } from "../src/connection.js";
import { defaults } from "./transcript.js";
import { ALL, anyInput, Chance, config, World } from "./world.js";

const SEEDS = Number(process.env["PARLOUR_SEEDS"] ?? 1_000);
const STEPS = 80;

vi.setConfig({ testTimeout: 5_000 + SEEDS * 50 });

/** Tells a story once per seed; a failure names its seed. */
function forEachSeed(story: (seed: number) => void): void {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    try {
      story(seed);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
}

test("one transport is open or opening, and beside one that is up perhaps a better one (L3.3)", () => {
  forEachSeed((seed) => {
    const world = new World(seed);
    for (let step = 0; step < STEPS; step += 1) {
      world.step();
      const { transports, machine } = world;
      expect(transports.length).toBeLessThanOrEqual(machine.state().type === "connected" ? 2 : 1);
      if (transports.length === 2) expect(ALL.indexOf(transports[1]!.kind)).toBeLessThan(ALL.indexOf(transports[0]!.kind));
    }
  });
});

test("what comes late of an old dial changes nothing (L3.4, L9.3)", () => {
  forEachSeed((seed) => {
    const [world, same] = [new World(seed), new World(seed)];
    const late = new Chance(seed);
    const answers: string[] = [];
    const answersToOpened: string[] = [];
    const tell = (input: Input) => world.machine.handle(world.now, 0, input).map(({ type }) => type);
    for (let step = 0; step < STEPS; step += 1) {
      const code = late.pick([null, 4005, 4202]);
      const frame = { type: "event", topic: "user:alice", seq: late.below(12), event: {} };
      const dial = late.pick([...world.gone, ...world.closing]);
      answers.push(...tell({ type: "received", dial, frame }));
      answers.push(...tell({ type: "closed", dial: late.pick(world.gone), code, reason: "" }));
      answersToOpened.push(tell({ type: "opened", dial }).join());
      world.step();
      same.step();
    }
    expect(answers).toEqual([]);
    expect([...new Set(answersToOpened)]).toEqual(["close"]);
    expect(world.said).toEqual(same.said);
    expect(world.machine.deadline()).toBe(same.machine.deadline());
  });
});

test("in the end there is what is wanted, or a reason why not (L3.2, L9.1)", () => {
  forEachSeed((seed) => {
    const world = new World(seed);
    for (let step = 0; step < STEPS; step += 1) world.step();
    world.takes({ type: "network", level: "up" });
    world.takes({ type: "app", level: "foreground" });
    // In manual mode what ended in the background waits for this.
    if (world.wish === "up") world.takes({ type: "connect" });
    for (let round = 0; round < 100; round += 1) {
      world.goesWell(`fresh ${round}`);
      world.passes(1_000);
    }
    const ends = { nobody: ["idle", "closed"], down: ["offline"], up: ["connected", "failed"] };
    const { type } = world.machine.state();
    expect(ends[world.wish]).toContain(type);
    expect(world.transports.length).toBeGreaterThanOrEqual(type === "connected" ? 1 : 0);
    expect(world.transports.length).toBeLessThanOrEqual(type === "connected" ? 2 : 0);
  });
});

test("every change of the state is told, from where the last one ended (L3.6)", () => {
  forEachSeed((seed) => {
    const world = new World(seed);
    for (let step = 0; step < STEPS; step += 1) world.step();
    let state = new Connection(defaults()).state();
    for (const output of world.said) {
      if (output.type !== "changed") continue;
      expect(output.transition.from).toEqual(state);
      expect(output.transition.to).not.toEqual(state);
      state = output.transition.to;
    }
    expect(world.machine.state()).toEqual(state);
  });
});

test("no input throws, and a tick at the deadline leaves no deadline in the past", () => {
  forEachSeed((seed) => {
    const chance = new Chance(seed);
    const machine = new Connection(config(chance));
    const last = { dial: 0, fetch: 1 };
    let [now, past] = [0, 0];
    machine.handle(now, 0, { type: "connect_user", user: { id: "alice" } });
    for (let step = 0; step < STEPS; step += 1) {
      for (const output of machine.handle(now, chance.next(), anyInput(chance, last))) {
        if (output.type === "open") last.dial = output.dial;
        if (output.type === "fetch_token") last.fetch = output.fetch;
      }
      if (chance.below(3) > 0) continue;
      now = Math.max(now, machine.deadline() ?? now);
      machine.handle(now, chance.next(), { type: "tick" });
      if ((machine.deadline() ?? now) < now) past += 1;
    }
    expect(past).toBe(0);
  });
});

test("a deadline is never stood still at", () => {
  forEachSeed((seed) => {
    const world = new World(seed);
    let stoodStill = 0;
    for (let step = 0; step < STEPS; step += 1) {
      world.step();
      world.now = Math.max(world.now, world.machine.deadline() ?? 0);
      // One tick ends what was waited for; where the next wait is of nothing, another ends that.
      for (let ticks = 0; ticks < 2; ticks += 1) world.takes({ type: "tick" });
      if ((world.machine.deadline() ?? Infinity) <= world.now) stoodStill += 1;
    }
    expect(stoodStill).toBe(0);
  });
});

test("what a run saves is what the next one goes on with", () => {
  const ready = {
    type: "ready",
    connection_id: "c1",
    me: { id: "alice" },
    epoch: "e1",
    as_of: "2026-11-21T00:01:40.000Z",
    limits: {},
    resumed: "fresh",
    heads: { "user:alice": 4, "channel:messaging:general": 7 },
  };
  const user = { id: "alice", name: "Alice" };
  const run = (first: Input) => {
    const machine = new Connection(defaults());
    const said = [first, { type: "token_fetched", fetch: 1, token: "t1" } as const, { type: "opened", dial: 1 } as const]
      .flatMap((input) => machine.handle(0, 0, input))
      .find((output) => output.type === "transmit");
    return { machine, hello: said!.type === "transmit" && said!.frame };
  };
  const { machine, hello } = run({ type: "connect_user", user });
  expect(hello).toMatchObject({ user });
  expect([machine.saved(), machine.transport()]).toEqual([undefined, undefined]);
  machine.handle(0, 0, { type: "received", dial: 1, frame: ready });
  expect(machine.transport()).toBe("web_socket");
  const saved = machine.saved()!;
  expect(saved).toEqual({
    told: user,
    epoch: "e1",
    as_of: "2026-11-21T00:01:40.000Z",
    cursors: ready.heads,
    worked_in: { "": "web_socket" },
  });
  const next = run({ type: "login", user, saved: JSON.parse(JSON.stringify(saved)) });
  expect(next.hello).toMatchObject({ resume: { epoch: "e1", as_of: saved.as_of, cursors: saved.cursors } });
  expect(next.hello).not.toHaveProperty("user");
  expect(next.machine.saved()).toEqual(saved);
  next.machine.handle(0, 0, { type: "disconnect_user" });
  expect(next.machine.saved()).toBeUndefined();
});
