// The packages as npm will hold them: built, packed, and unpacked where an app finds them.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const PACKAGES = fileURLToPath(new URL("../..", import.meta.url));

/** Builds and packs a package as `npm publish` would, into this folder; the tarball's path. */
export function pack(name: "client" | "react", folder: string): string {
  const args = ["pack", "--silent", "--json", "--pack-destination", folder];
  const said = run("npm", args, join(PACKAGES, name));
  // The build's own words may come first.
  const [{ filename }] = JSON.parse(said.slice(said.indexOf("\n[") + 1)) as [{ filename: string }];
  return join(folder, filename);
}

/** Runs a program to its end; what it says. Fails with that where it fails. */
export function run(program: string, args: readonly string[], cwd: string): string {
  const env = { ...process.env, npm_config_loglevel: "error" };
  try {
    return execFileSync(program, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(" ")} failed:\n${stdout}\n${stderr}`, { cause: error });
  }
}

/** A folder of an app that has both packages, and the React of this workspace. */
export class App {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), "parlour-app-")));
  readonly tarballs: { client: string; react: string };

  constructor() {
    this.tarballs = { client: pack("client", this.folder), react: pack("react", this.folder) };
    for (const [name, tarball] of Object.entries(this.tarballs)) {
      const into = join(this.folder, "node_modules/@parlour", name);
      mkdirSync(into, { recursive: true });
      run("tar", ["-xzf", tarball, "--strip-components=1", "-C", into], this.folder);
    }
    const require = createRequire(join(PACKAGES, "react/package.json"));
    mkdirSync(join(this.folder, "node_modules/@types"));
    for (const name of ["react", "@types/react", "csstype"]) {
      const from = dirname(require.resolve(`${name}/package.json`));
      symlinkSync(from, join(this.folder, "node_modules", name));
    }
  }

  /** Where an installed package lies. */
  installed(name: "client" | "react"): string {
    return join(this.folder, "node_modules/@parlour", name);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}
