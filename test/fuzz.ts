/**
 * Entry of the fuzzes: `bun run fuzz pixelflut` compares the server's parsers on any amount of made-up input,
 * `bun run fuzz http` throws made-up conversations at an edge. The tests run a little of the same; this is for a release,
 * and after a change of the kernel or of how HTTP is served.
 */
import { systemClock } from "#common/clock.ts";
import { readFlagConfig, wantsHelp } from "#common/config.ts";
import { describeError, EXIT_STATUS, exitStatusOf, OptionError } from "#common/errors.ts";
import { renderHelp } from "#common/option-docs.ts";
import { choice, integer, text, type ConfigOf, type OptionSet } from "#common/options.ts";
import { msToSeconds } from "#common/units.ts";
import { standardOutput, type Output } from "../bench/report.ts";
import { describeResult, fuzzHttp } from "./http-fuzz.ts";
import { loadKernel } from "../server/kernel.ts";
import { describeFailure, PixelflutFuzz, runFuzz, type FuzzProgress } from "../server/pixelflut-fuzz.ts";
import {
  parserEntries,
  placedKernelEntry,
  plainEntry,
  type ParserEntry,
} from "../server/pixelflut-parsers.ts";

const NUMBER_MAX = 2 ** 31 - 1;

const httpOptions = {
  seconds: integer({
    table: "top",
    description: "For how long.",
    default: 60,
    min: 1,
    max: 86_400,
  }),
  seed: integer({
    table: "top",
    description: "Seed of everything random; what is on the wire at the same time is left to chance.",
    default: 1,
    min: 0,
    max: NUMBER_MAX,
  }),
} satisfies OptionSet;

const HTTP_USAGE = "bun run fuzz http [options]";
const HTTP_SUMMARY =
  "Throws random and hostile bytes, bent requests, half-open and pipelined ones at an edge with an origin behind it. Ends with status 1 where it fails with 500, keeps others waiting, grows beyond its bound, writes to its log or does not forget who has left.";

const options = {
  bytes: text({
    table: "top",
    description: "How much input to make, in bytes, such as 1e9. The last round is played to its end.",
    valueName: "<n>",
    default: "1e8",
    pattern: /^\d+(\.\d+)?(e\d{1,2})?$/,
    allowed: "a number such as 250000 or 1e9",
  }),
  seed: integer({
    table: "top",
    description: "Seed of everything random: the same seed makes the same rounds.",
    default: 1,
    min: 0,
    max: NUMBER_MAX,
  }),
  "first-round": integer({
    table: "top",
    description: "Round to begin with, such as the one that failed.",
    default: 0,
    min: 0,
    max: NUMBER_MAX,
  }),
  rounds: integer({
    table: "top",
    description: "Most rounds to play.",
    default: NUMBER_MAX,
    defaultText: "as many as --bytes takes",
    min: 1,
    max: NUMBER_MAX,
  }),
  against: choice({
    table: "top",
    description:
      "What the plain parser is compared with: the kernel that copies reads in, the bare kernel on reads in their place, or itself with other cuts.",
    choices: ["kernel", "placed", "plain"],
    default: "kernel",
  }),
} satisfies OptionSet;

const USAGE = "bun run fuzz pixelflut [options]";
const SUMMARY =
  "Compares two Pixelflut parsers on made-up streams, each cut in another way: canvas, replies, counters and states must be the same. Ends with status 1 at the first difference, with the smallest input found that shows it.";

/** Time between two lines of progress. */
const PROGRESS_MS = 1_000;
const HTTP_PROGRESS_MS = 10_000;

/** Runs what the command line asks for and returns the exit status. Progress tells rate and time left. */
export async function main(args: readonly string[], output: Output): Promise<number> {
  const [name = "", ...flags] = args;
  if (wantsHelp(args)) {
    const http = { usage: HTTP_USAGE, summary: HTTP_SUMMARY, options: httpOptions, isFlagsOnly: true };
    const pixelflut = { usage: USAGE, summary: SUMMARY, options, isFlagsOnly: true };
    output.table((name === "http" ? [http] : [pixelflut, http]).map(renderHelp).join("\n\n"));
    return EXIT_STATUS.ok;
  }
  if (name === "http") return runHttpFuzz(readFlagConfig(httpOptions, flags), output);
  if (name !== "pixelflut") {
    const problem = name === "" ? "Which fuzz?" : `Unknown fuzz: ${name}`;
    throw new OptionError(`${problem} (one of pixelflut, http; fuzz --help)`);
  }
  return fuzzPixelflut(readFlagConfig(options, flags), output);
}

async function runHttpFuzz(config: ConfigOf<typeof httpOptions>, output: Output): Promise<number> {
  let nextMs = systemClock.monotonicMs();
  const result = await fuzzHttp({
    ...config,
    onProgress(progress) {
      const nowMs = systemClock.monotonicMs();
      if (nowMs < nextMs) return;
      nextMs = nowMs + HTTP_PROGRESS_MS;
      output.progress(describeResult(progress));
    },
  });
  output.table([describeResult(result), ...result.failures].join("\n"));
  return result.failures.length === 0 ? EXIT_STATUS.ok : EXIT_STATUS.failed;
}

async function fuzzPixelflut(config: ConfigOf<typeof options>, output: Output): Promise<number> {
  const { seed, firstRound, rounds: roundsMax, against } = config;
  const bytesMax = Number(config.bytes);
  const fuzz = new PixelflutFuzz({ seed, sides: [plainEntry, await entryFor(against)] });
  const startMs = systemClock.monotonicMs();
  let nextMs = startMs + PROGRESS_MS;
  const onProgress = (progress: FuzzProgress): void => {
    const nowMs = systemClock.monotonicMs();
    if (nowMs < nextMs) return;
    nextMs = nowMs + PROGRESS_MS;
    output.progress(describeProgress(progress, { bytesMax, elapsedMs: nowMs - startMs }));
  };
  const { rounds, bytes, failure } = runFuzz(fuzz, { firstRound, bytesMax, roundsMax, onProgress });
  const elapsedMs = systemClock.monotonicMs() - startMs;
  if (failure !== undefined) {
    output.progress("They differ. Shrinking the input ...");
    output.table(describeFailure(fuzz, failure));
    return EXIT_STATUS.failed;
  }
  const amount = `${bytes.toLocaleString("en")} bytes in ${rounds.toLocaleString("en")} rounds of seed ${seed}`;
  const took = `${msToSeconds(elapsedMs).toFixed(1)} s, ${rateOf(bytes, elapsedMs)}`;
  output.table(`${fuzz.names.join(" and ")}: no difference in ${amount} (${took})`);
  return EXIT_STATUS.ok;
}

async function entryFor(against: ConfigOf<typeof options>["against"]): Promise<ParserEntry> {
  if (against === "plain") return plainEntry;
  const kernel = await loadKernel();
  return against === "placed" ? placedKernelEntry(kernel) : parserEntries(kernel)[1];
}

function describeProgress(
  { rounds, bytes }: FuzzProgress,
  { bytesMax, elapsedMs }: { readonly bytesMax: number; readonly elapsedMs: number },
): string {
  const share = `${((bytes / bytesMax) * 100).toFixed(1).padStart(5)} %`;
  const leftMs = bytes === 0 ? 0 : (Math.max(0, bytesMax - bytes) / bytes) * elapsedMs;
  const left = `${Math.ceil(msToSeconds(leftMs))} s left`;
  return `${share}  ${bytes.toLocaleString("en")} bytes  ${rounds} rounds  ${rateOf(bytes, elapsedMs)}  ${left}`;
}

function rateOf(bytes: number, elapsedMs: number): string {
  return `${(bytes / 1e6 / msToSeconds(Math.max(1, elapsedMs))).toFixed(1)} MB/s`;
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2), standardOutput);
  } catch (error) {
    process.stderr.write(`spillway: ${describeError(error)}\n`);
    process.exit(exitStatusOf(error));
  }
}
