/** The command line of the fuzzes, and a little of each. */
import { describe, expect, test } from "bun:test";
import { OptionError } from "#common/errors.ts";
import { main } from "./fuzz.ts";

async function run(...args: string[]): Promise<{ status: number; table: string }> {
  let table = "";
  const output = { progress() {}, table: (text: string) => void (table += text) };
  const status = await main(args, output);
  return { status, table };
}

describe("bun run fuzz", () => {
  test.each([
    [[], "Which fuzz? (one of pixelflut, http; fuzz --help)"],
    [["hls"], "Unknown fuzz: hls (one of pixelflut, http; fuzz --help)"],
    [["pixelflut", "--byte", "1"], "Unknown option: --byte (--help lists them)"],
    [
      ["pixelflut", "--bytes", "many"],
      'Bad value for --bytes: "many", expected a number such as 250000 or 1e9',
    ],
    [
      ["pixelflut", "--rounds", "0"],
      'Bad value for --rounds: "0", expected a whole number from 1 to 2147483647',
    ],
  ] as const)("refuses %j", async (args, message) => {
    await expect(run(...args)).rejects.toEqual(new OptionError(message));
  });

  test("--help lists the options", async () => {
    const { status, table } = await run("pixelflut", "--help");
    expect(status).toBe(0);
    expect(table).toContain("Usage: bun run fuzz pixelflut [options]");
    for (const option of ["bytes", "seed", "first-round", "rounds", "against"]) {
      expect(table).toContain(`\n  --${option} `);
    }
  });

  test.each([
    ["kernel", "kernel"],
    ["placed", "kernel in place"],
    ["plain", "plain"],
  ])("--against %s compares plain and %s on as many bytes as asked for", async (against, name) => {
    const { status, table } = await run("pixelflut", "--bytes", "2.5e5", "--seed", "9", "--against", against);
    expect(table).toStartWith(`plain and ${name}: no difference in `);
    expect(table).toContain(" rounds of seed 9 ");
    expect(status).toBe(0);
  });

  test("http throws conversations at an edge, which goes on serving", async () => {
    const { status, table } = await run("http", "--seconds", "4");
    expect(table).toMatch(/^\d{2,} conversations \(/);
    expect(table.split("\n")).toHaveLength(1);
    expect(status).toBe(0);
  });

  test("plays one round on request", async () => {
    const { table } = await run("pixelflut", "--first-round", "3", "--rounds", "1");
    expect(table).toContain(" bytes in 1 rounds of seed 1 ");
  });
});
