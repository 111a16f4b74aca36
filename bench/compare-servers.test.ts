/** What `bench compare` starts. */
import { expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { readFlagConfig } from "#common/config.ts";
import { limitOptions } from "../server/limit-options.ts";
import { compareOptions } from "./compare-config.ts";
import { CompareServers } from "./compare-servers.ts";
import type { Output } from "./report.ts";

const output: Output = { progress() {}, table() {} };

function commandsOf(args: readonly string[]): readonly string[] {
  const config = readFlagConfig(compareOptions, args);
  const signal = new AbortController().signal;
  return new CompareServers({ config, signal, clock: systemClock, output }).commands.map(
    ({ name, command }) => `${name}: ${command}`,
  );
}

test("CompareServers starts our server with every limit on that is off as shipped", () => {
  const [own = ""] = commandsOf([]);
  const off = Object.entries(limitOptions).filter(([, option]) => option.default === 0);
  expect(off.map(([name]) => name)).toEqual(["connections-per-prefix", "mbit-per-prefix", "idle-seconds"]);
  for (const [name] of off) expect(own).toMatch(new RegExp(`'--${name}=[1-9]`));
});

test("CompareServers starts it as --own says, and the peers behind it", () => {
  const given = commandsOf(["--own=a {port}", "--server=peer=b {port}", "--server=other=c {port}"]);
  expect(given).toEqual(["ours: a {port}", "peer: b {port}", "other: c {port}"]);
});
