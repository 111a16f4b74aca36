/** The command line as a person meets it: help, wrong input, signals, and nothing left running. */
import { describe, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { tools } from "../bench/main.ts";
import { commands } from "../main.ts";
import { README_PATH, withOptionTables } from "./readme-options.ts";
import { freePorts } from "../bench/free-ports.ts";
import {
  childrenOf,
  descendantsOf,
  flags,
  isRunning,
  Program,
  Spillway,
  TemporaryFolder,
  waitFor,
} from "./harness.ts";

const ROLES = ["start", "server", "origin", "edge"] as const;

async function outcome(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  await using program = new Program(args, env);
  const status = await program.ended();
  return { status, output: program.output, errors: program.errors };
}

describe("help", () => {
  test.each([...ROLES, "bench"])("%s --help prints its options and ends with 0", async (role) => {
    const { status, output, errors } = await outcome([role, "--help"]);
    expect([status, errors]).toEqual([0, ""]);
    expect(output).toContain("Usage: ");
    expect(output).toContain("--help");
  });

  test("no command prints the commands and ends with 2", async () => {
    const { status, output } = await outcome([]);
    expect(status).toBe(2);
    for (const role of [...ROLES, "bench"]) expect(output).toContain(`  ${role} `);
  });

  test("what is said of bench names all that it has", () => {
    for (const tool of Object.keys(tools))
      expect(commands.bench.summary).toMatch(new RegExp(`[ ,]${tool}[,.]`));
  });

  test("README.md holds the option tables that the declarations give", async () => {
    const readme = await Bun.file(README_PATH).text();
    const formatted = async (text: string): Promise<string> => {
      const child = Bun.spawn([process.execPath, "fmt", "--stdin-filepath=README.md"], {
        stdin: new Blob([text]),
        stdout: "pipe",
      });
      return new Response(child.stdout).text();
    };
    const current = await formatted(readme);
    expect(current).toContain("`--edge-port`");
    expect(await formatted(withOptionTables(readme))).toBe(current);
  });
});

describe("wrong input is one line that names it, and status 2", () => {
  test.each([
    [["strat"], {}, "spillway: Unknown command: strat (one of start, server, origin, edge, bench)\n"],
    [["start", "--edge-prot", "1"], {}, "spillway: Unknown option: --edge-prot (--help lists them)\n"],
    [["edge", "--width", "640"], {}, "spillway: Unknown option: --width (--help lists them)\n"],
    [
      ["server", "--fps", "0"],
      {},
      'spillway: Bad value for --fps: "0", expected a whole number from 1 to 60\n',
    ],
    [
      ["origin"],
      { SPILLWAY_ORIGIN_PORT: "99999" },
      'spillway: Bad value for environment variable SPILLWAY_ORIGIN_PORT: "99999", expected a whole number from 0 to 65535\n',
    ],
    [
      ["start", "--public-url", "http://tv.example"],
      {},
      "spillway: Option --public-url http://tv.example is one edge's, and --edges is 2: expected --edges 1, and the others started alone with URLs of their own\n",
    ],
    [["edge"], { SPILLWAY_EGDE: "1" }, "spillway: Unknown environment variable: SPILLWAY_EGDE\n"],
    [["bench", "pixel"], {}, undefined],
    [
      ["bench", "pixels", "--conections", "1"],
      {},
      "spillway: Unknown option: --conections (--help lists them)\n",
    ],
  ])("%j %j", async (args, env, line) => {
    const { status, output, errors } = await outcome(args, env);
    expect(status).toBe(2);
    expect(output).toBe("");
    if (line === undefined) expect(errors.trim().split("\n")).toHaveLength(1);
    else expect(errors).toBe(line);
  });

  test("a configuration file that is absent, unreadable or wrong", async () => {
    using folder = new TemporaryFolder();
    const absent = join(folder.path, "absent.toml");
    const { status, errors } = await outcome(["edge", "--config", absent]);
    expect(status).toBe(2);
    expect(errors).toStartWith(`spillway: Cannot read configuration file ${absent}`);
    expect(errors.trim().split("\n")).toHaveLength(1);

    const wrong = join(folder.path, "wrong.toml");
    await Bun.write(wrong, "[edge]\nprot = 1\n");
    chmodSync(wrong, 0o600);
    const second = await outcome(["edge", "--config", wrong]);
    expect(second).toEqual({
      status: 2,
      output: "",
      errors: `spillway: Unknown option [edge] prot in ${wrong}\n`,
    });
  });
});

describe("a port in use", () => {
  test.each([
    ["server", "pixelflut-port"],
    ["server", "server-port"],
    ["origin", "origin-port"],
    ["edge", "edge-port"],
  ])("%s says which one (%s) and ends with 1", async (role, option) => {
    using folder = new TemporaryFolder();
    using taken = Bun.listen({ hostname: "::", port: 0, socket: { data() {} } });
    const others = ["pixelflut-port", "server-port"].filter((name) => role === "server" && name !== option);
    const { status, errors } = await outcome([
      role,
      ...flags({ "data-dir": folder.path, [option]: taken.port }),
      ...others.map((name) => `--${name}=0`),
    ]);
    expect(status).toBe(1);
    const lines = errors
      .trim()
      .split("\n")
      .filter((line) => line.includes("error"));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(`Cannot bind port ${taken.port}`);
    expect(lines[0]).toContain(`(--${option}): address in use`);
  });

  test("ends the whole start, with nothing left running", async () => {
    using folder = new TemporaryFolder();
    const [pixelflut = 0, server = 0, origin = 0, edge = 0, second = 0] = freePorts(5);
    using taken = Bun.listen({ hostname: "::", port: second, socket: { data() {} } });
    await using program = new Program([
      "start",
      ...flags({
        "pixelflut-port": pixelflut,
        "server-port": server,
        "origin-port": origin,
        "edge-port": edge,
      }),
      ...flags({ "data-dir": folder.path, width: 64, height: 64 }),
    ]);
    const { pid } = program.process;
    const children = new Set<number>();
    const watch = setInterval(() => childrenOf(pid).forEach((child) => children.add(child)), 20);
    const status = await program.ended();
    clearInterval(watch);
    expect(status).toBe(1);
    expect(program.errors).toContain(`Cannot bind port ${taken.port} on :: (--edge-port): address in use`);
    expect(children.size).toBeGreaterThan(0);
    await waitFor("the children to end", () => [...children].every((child) => !isRunning(child)));
  });
});

describe("ending", () => {
  test.each([
    ["SIGINT", "the supervisor alone"],
    ["SIGTERM", "the supervisor alone"],
    ["SIGINT", "the whole group, as a terminal does"],
  ] as const)("%s to %s ends the tree in order, with status 0", async (signal, whom) => {
    await using spillway = new Spillway();
    await spillway.ready();
    const { pid } = spillway.program.process;
    const children = childrenOf(pid);
    expect(children).toHaveLength(4);
    for (const receiver of whom === "the supervisor alone" ? [pid] : [...children, pid]) {
      process.kill(receiver, signal);
    }
    expect(await spillway.program.ended()).toBe(0);
    expect(children.filter(isRunning)).toEqual([]);
    expect(spillway.program.errors).not.toContain("restarting");
  });

  test("kill -9 of the supervisor ends the children too", async () => {
    await using spillway = new Spillway();
    await spillway.ready();
    const children = childrenOf(spillway.program.process.pid);
    expect(children).toHaveLength(4);
    spillway.program.process.kill("SIGKILL");
    await waitFor("the children to end", () => children.every((pid) => !isRunning(pid)));
  });

  test.each(["SIGTERM", "SIGKILL"] as const)(
    "%s to the `bun start` around it ends the tree too",
    async (signal) => {
      using folder = new TemporaryFolder();
      const [pixelflut = 0, server = 0, origin = 0, edge = 0] = freePorts(5);
      const script = Bun.spawn(
        [
          process.execPath,
          "start",
          ...flags({
            "pixelflut-port": pixelflut,
            "server-port": server,
            "origin-port": origin,
            "edge-port": edge,
          }),
          ...flags({ "data-dir": folder.path, width: 64, height: 64 }),
        ],
        { cwd: join(import.meta.dir, ".."), stdio: ["ignore", "ignore", "ignore"] },
      );
      let tree: readonly number[] = [];
      try {
        await waitFor("the tree", () => {
          tree = descendantsOf(script.pid);
          return tree.length >= 5;
        });
        script.kill(signal);
        await waitFor("the tree to end", () => tree.every((pid) => !isRunning(pid)));
      } finally {
        for (const pid of [script.pid, ...tree].filter(isRunning)) process.kill(pid, "SIGKILL");
      }
    },
  );
});
