// The examples are right, and the READMEs show them as they are.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { expect, it } from "vitest";

import { PACKAGES, run } from "./pack.js";

const EXAMPLES = fileURLToPath(new URL("../../../examples", import.meta.url));
const SHOWN = /<!-- quickstart: (.+) -->\n```tsx?\n([^]*?)```\n<!-- \/quickstart -->/g;

it("the types of all examples fit", () => {
  const tsc = join(PACKAGES, "../../../node_modules/typescript/bin/tsc");
  const said = run(process.execPath, [tsc, "--noEmit", "--listFiles", "--project", EXAMPLES], PACKAGES);
  for (const example of ["plain/chat.ts", "react/App.tsx", "react-native/App.tsx", "node-server/server.ts", "testing/team.test.ts"]) {
    expect(said).toContain(join(EXAMPLES, example));
  }
}, 60_000);

const DOCS = "../../../docs/src";

it.each([
  ["client/README.md", ["plain/chat.ts", "node-server/server.ts"]],
  ["react/README.md", ["react/App.tsx"]],
  [`${DOCS}/typescript.md`, ["plain/chat.ts"]],
  [`${DOCS}/react.md`, ["react/App.tsx"]],
  [`${DOCS}/react-native.md`, ["react-native/App.tsx"]],
  [`${DOCS}/node.md`, ["node-server/server.ts"]],
  [`${DOCS}/testing.md`, ["testing/team.test.ts"]],
])("%s shows them to the letter", (page, examples) => {
  const shown = [...readFileSync(join(PACKAGES, page), "utf8").matchAll(SHOWN)];
  expect(shown.map(([, example]) => example)).toEqual(examples);
  for (const [, example, code] of shown) expect(code).toBe(marked(example!));
});

it("the first of them takes at most 15 lines", () => {
  expect(marked("plain/chat.ts").trimEnd().split("\n").length).toBeLessThanOrEqual(15);
});

function marked(example: string): string {
  const text = readFileSync(join(EXAMPLES, example), "utf8");
  const [, region] = /^\/\/ quickstart: begin\n([^]*)^\/\/ quickstart: end$/m.exec(text)!;
  return region!;
}
