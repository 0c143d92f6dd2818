// What stands between people and servers: proxies as Debian has them, each with a configuration of tests/proxies
// and one obstacle, and a line that dies without a word.

import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { pause } from "./kit.js";

const CONFIGURATIONS = fileURLToPath(new URL("../proxies", import.meta.url));
/** A start that takes longer has failed. */
const START_MS = 15_000;
/** Below those that dialling clients are given: one could be given a proxy's port before the proxy has it. */
const PORTS = { from: 12_000, to: 32_000 };

/** How each is started in the foreground, and which signal makes it read its configuration again. */
const PROGRAMS = {
  squid: { file: "squid.conf", args: (file: string) => ["-N", "-f", file], reload: "SIGHUP" },
  haproxy: { file: "haproxy.cfg", args: (file: string) => ["-W", "-db", "-f", file], reload: "SIGUSR2" },
  nginx: { file: "nginx.conf", args: (file: string) => ["-e", "stderr", "-c", file], reload: "SIGHUP" },
} as const;

type Program = keyof typeof PROGRAMS;
/** What a proxy does to what goes through it: each is told in its configuration. */
type Obstacle = "denies" | "refuses" | "strips" | "drops" | "keeps" | "passes";

interface ProxyOptions {
  obstacle: Obstacle;
  /** After how long without a byte the proxy cuts; HAProxy's only. */
  idle?: string;
}

/** A running proxy on a port of its own. */
export class TestProxy {
  readonly url: string;
  readonly #program: Program;
  readonly #values: Record<string, string>;
  readonly #folder = mkdtempSync(join(tmpdir(), "parlour-proxy-"));
  #process!: ChildProcess;
  #said = "";

  private constructor(program: Program, port: number, server: string, idle: string) {
    this.url = `http://127.0.0.1:${port}`;
    this.#program = program;
    this.#values = { port: String(port), server: new URL(server).port, folder: this.#folder, idle };
  }

  /** Starts one before the server at this URL. (Squid serves every address, and hears it from its client.) */
  static async start(program: Program, server: string, options: ProxyOptions): Promise<TestProxy> {
    const proxy = new TestProxy(program, await freePort(), server, options.idle ?? "1h");
    // Squid works as another user than the one that starts it, where it can.
    chmodSync(proxy.#folder, 0o777);
    proxy.#configure(options.obstacle);
    try {
      await proxy.#run();
    } catch (error) {
      await proxy.end();
      throw error;
    }
    return proxy;
  }

  /** Lets it read a configuration with another obstacle. What is open stays open. */
  becomes(obstacle: Obstacle): void {
    this.#configure(obstacle);
    this.#process.kill(PROGRAMS[this.#program].reload);
  }

  async end(): Promise<void> {
    const { exitCode, signalCode } = this.#process;
    if (exitCode === null && signalCode === null) {
      const gone = new Promise((resolve) => this.#process.once("exit", resolve));
      this.#process.kill("SIGTERM");
      await gone;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #configure(obstacle: Obstacle): void {
    const values: Record<string, string> = { ...this.#values, [obstacle]: "" };
    const template = readFileSync(join(CONFIGURATIONS, PROGRAMS[this.#program].file), "utf8");
    const filled = template.replace(/@(\w+)@/g, (name, key) => values[key] ?? name);
    // What is left begins a line that is there for another obstacle.
    writeFileSync(this.#configuration, filled.replace(/^ *@\w+@.*\n/gm, ""));
  }

  get #configuration(): string {
    return join(this.#folder, "configuration");
  }

  async #run(): Promise<void> {
    const { args } = PROGRAMS[this.#program];
    // A run that is killed takes its proxies along. They are where only root looks for programs.
    const command = ["--pdeathsig", "TERM", this.#program, ...args(this.#configuration)];
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/local/sbin:/usr/sbin` };
    const child = spawn("setpriv", command, { env, stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    for (const output of [child.stdout, child.stderr]) output.on("data", (said) => (this.#said += said));
    const until = Date.now() + START_MS;
    while (!(await isTaken(Number(this.#values.port)))) {
      if (child.exitCode === null && child.signalCode === null && Date.now() < until) await pause(25);
      else throw new Error(`${this.#program} did not start; it said: ${this.#said}`);
    }
  }
}

/** A line to a server that swallows everything from a moment on, both ways, and tells neither end. */
export class Line {
  readonly #server: Server;
  readonly #cut = new Set<Socket>();
  readonly #ends = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(to: string): Promise<Line> {
    const { hostname, port } = new URL(to);
    const server = createServer((near) => line.#join(near, connect(Number(port), hostname)));
    const line = new Line(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return line;
  }

  get url(): string {
    const address = this.#server.address();
    if (!address || typeof address === "string") throw new Error("the line has ended");
    return `http://127.0.0.1:${address.port}`;
  }

  /** From now on nothing more comes through what is open now; what is dialled later is another way. */
  swallow(): void {
    for (const end of this.#ends) this.#cut.add(end);
  }

  async end(): Promise<void> {
    for (const end of this.#ends) end.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(near: Socket, far: Socket): void {
    for (const [from, to] of [[near, far], [far, near]] as const) {
      this.#ends.add(from);
      const whole = () => !this.#cut.has(from);
      from.setNoDelay();
      from.on("data", (bytes) => whole() && to.write(bytes));
      from.on("end", () => whole() && to.end());
      from.on("error", () => whole() && to.destroy());
      from.on("close", () => {
        this.#ends.delete(from);
        if (whole()) to.destroy();
      });
    }
  }
}

function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from));
    if (!(await isTaken(port))) return port;
  }
}
