import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { expect, it } from "vitest";

const OPTIONS = fileURLToPath(new URL("../../../typedoc.json", import.meta.url));

it("everything public has a page in the reference, and every link in it leads somewhere", async () => {
  const typedoc = join(dirname(createRequire(import.meta.url).resolve("typedoc/package.json")), "bin/typedoc");
  // Warnings are errors here: something that is used and not exported, a link into nothing.
  const { stderr } = await promisify(execFile)("node", [typedoc, "--options", OPTIONS, "--emit", "none"]);
  expect(stderr).not.toContain("[error]");
}, 120_000);
