/** The command line of the load scripts: help, wrong flags, JSON results. */
import { describe, expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { OptionError, StartError } from "#common/errors.ts";
import { runBench, tools } from "./main.ts";

const NAMES = Object.keys(tools).join(", ");

function run(...args: string[]): Promise<string> {
  let table = "";
  const output = { progress() {}, table: (text: string) => void (table += text) };
  return runBench(args, { signal: AbortSignal.abort(), clock: systemClock, output }).then(() => table);
}

describe("runBench()", () => {
  for (const [args, message] of [
    [[], `Which load script? (one of ${NAMES}; bench --help)`],
    [["flood"], `Unknown load script: flood (one of ${NAMES}; bench --help)`],
    [["pixels", "--speed", "9"], "Unknown option: --speed (--help lists them)"],
    [
      ["pixels", "--connections", "0"],
      'Bad value for --connections: "0", expected a whole number from 1 to 60000',
    ],
    [["viewers", "--mode", "dash"], 'Bad value for --mode: "dash", expected llhls or hls or mixed'],
    [
      ["relay", "--url", "ftp://x"],
      'Bad value for --url: "ftp://x", expected an http:// or https:// URL without user, query, fragment or comma',
    ],
    [["latency", "here"], 'Unexpected argument: "here"'],
    [
      ["compare", "--server", "breakwater 4000"],
      'Bad value for --server: "breakwater 4000", expected name=command with {port}',
    ],
    [
      ["compare", "--connections", "1,none"],
      'Bad value for --connections: "1,none", expected whole numbers from 1 to 60000 with commas between them',
    ],
    [
      ["compare", "--loads", "text"],
      'Bad value for --loads: "text", expected names of loads with commas between them: text-shuffled, text-ordered, text8-shuffled, alpha-shuffled, pb-shuffled, multi, get, mixed',
    ],
  ] as const) {
    test(`refuses ${JSON.stringify(args)}`, async () => {
      await expect(run(...args)).rejects.toEqual(new OptionError(message));
    });
  }

  test("lists the scripts", async () => {
    const text = await run("--help");
    for (const name of Object.keys(tools)) expect(text).toContain(`\n  ${name}\n      `);
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  for (const name of Object.keys(tools)) {
    test(`explains the options of ${name}`, async () => {
      const text = await run(name, "--help");
      expect(text).toContain(`Usage: bun run bench -- ${name} [options]`);
      expect(text).toContain("--json <file>");
      expect(text).not.toContain("SPILLWAY_");
    });
  }

  test("names the server that it cannot reach", async () => {
    await expect(run("pixels", "--port", "1")).rejects.toThrow(
      "Cannot connect to the Pixelflut server 127.0.0.1:1",
    );
  });

  test("names the browser that it cannot find", async () => {
    const missing = run("latency", "--chromium", "/nowhere/chromium");
    await expect(missing).rejects.toBeInstanceOf(StartError);
    await expect(missing).rejects.toThrow("Cannot run /nowhere/chromium (--chromium): no such program");
  });
});
