/** `bench compare` with the server of this repository as a process of its own, at a small size. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { flags, Program, TemporaryFolder } from "./harness.ts";

test("bench compare floods the server alone and a peer, and both answer for every byte", async () => {
  using folder = new TemporaryFolder();
  const result = join(folder.path, "result.json");
  const peer = `'${process.execPath}' '${join(import.meta.dir, "..", "main.ts")}' server --pixelflut-port={port} --server-port=0 --data-dir={folder} --fps=1`;
  await using program = new Program([
    "bench",
    "compare",
    `--server=peer=${peer}`,
    ...flags({ loads: "text8-shuffled,alpha-shuffled,mixed", connections: "1,2", rounds: 1 }),
    ...flags({ seconds: 0.2, "warm-up-seconds": 0.1, pixels: 20_000, json: result }),
  ]);
  expect(await program.ended()).toBe(0);
  // Nothing failed, nothing was unanswered, nothing had to be started again; base lines stand behind the blended load's.
  expect(program.output).not.toContain("rounds ");
  expect(program.output).not.toMatch(/ \* +[0-9]/);
  expect(program.output).not.toContain("ended by themselves");
  expect(program.output.match(/peer, text8-shuffled/g)?.length).toBe(2);
  const { results } = await Bun.file(result).json();
  const value = (name: string): number => Number(results[name]?.value);
  for (const flood of ["text8-shuffled.1", "text8-shuffled.2", "alpha-shuffled.2", "mixed.8"]) {
    for (const server of ["ours", "peer"]) {
      expect(value(`${flood}.${server}.throughput`)).toBeGreaterThan(0);
      expect(value(`${flood}.${server}.pixelRate`)).toBeGreaterThan(0);
      if (process.platform === "linux") expect(value(`${flood}.${server}.serverCpu`)).toBeGreaterThan(0);
    }
  }
});
