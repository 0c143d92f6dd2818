/**
 * The files of `spec/transcripts`, and the one way in which they are written differently from the SDK's own
 * types: `{"open": {"dial": 1}}` in a file is `{ type: "open", dial: 1 }` here.
 */

import { readdirSync, readFileSync } from "node:fs";

import { Connection, type ConnectionConfig, type Input, type Output, type State } from "../src/connection.js";

const FOLDER = new URL("../../../../../spec/transcripts/", import.meta.url);

export interface Transcript {
  name: string;
  about: string;
  machine: string;
  config?: Partial<ConnectionConfig>;
  steps: Step[];
}

/** What comes in, and with what the machine answers. */
export interface Step {
  at: number;
  jitter?: number;
  in: unknown;
  out: unknown[];
  state: unknown;
  ui: string;
  deadline: number | null;
}

export function transcripts(): Transcript[] {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));
  return names.sort().map((name) => ({
    name: name.slice(0, -".json".length),
    ...(JSON.parse(readFileSync(new URL(name, FOLDER), "utf8")) as Omit<Transcript, "name">),
  }));
}

/** The defaults of a connection: the JSON block of that name in the README. */
export function defaults(): ConnectionConfig {
  const readme = readFileSync(new URL("README.md", FOLDER), "utf8");
  const block = /```json connection\n([^]*?)```/.exec(readme)?.[1];
  if (block === undefined) throw new Error("the README names no defaults of a connection");
  return JSON.parse(block) as ConnectionConfig;
}

/** What the machine of today answers, step by step. */
export function* replay({ config, steps }: Transcript): Generator<Omit<Step, "in">> {
  const machine = new Connection({ ...defaults(), ...config });
  for (const { at, jitter = 0, in: input } of steps) {
    const out = machine.handle(at, jitter, read(input) as Input).map(written);
    const deadline = machine.deadline() ?? null;
    yield { at, out, state: written(machine.state()), ui: machine.uiStatus(at), deadline };
  }
}

/** The field that holds what a file writes directly under the variant's name. */
const UNNAMED: Record<string, string> = {
  network: "level",
  app: "level",
  presence: "subscription",
  send: "frame",
  ready: "ready",
  renewed: "ready",
  deliver: "event",
  changed: "transition",
  failed: "why",
};

function read(variant: unknown): { type: string } {
  if (typeof variant === "string") return { type: variant };
  const [[type, value]] = Object.entries(variant as object) as [[string, unknown]];
  const unnamed = UNNAMED[type];
  return unnamed === undefined ? { type, ...(value as object) } : { type, [unnamed]: value };
}

function written(variant: Output | State): unknown {
  const { type, ...fields } = variant;
  if (variant.type === "changed") {
    const { from, to, ...why } = variant.transition;
    return { changed: { from: written(from), to: written(to), ...why } };
  }
  if (variant.type === "failed") {
    const { type: kind, ...why } = variant.why;
    return { failed: { [kind]: why } };
  }
  const unnamed = UNNAMED[type];
  if (unnamed !== undefined) return { [type]: (fields as Record<string, unknown>)[unnamed] };
  return Object.keys(fields).length === 0 ? type : { [type]: fields };
}
