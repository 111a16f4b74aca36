/** How `bench players` judges and shows what came of players, and what it says of those that it cannot start. */
import { describe, expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { runBench } from "./main.ts";
import { verdictOf, type PlayFigures, type PlayResult } from "./play.ts";
import { notesOnPlays, renderPlays } from "./players-table.ts";

/** Ten seconds of 30 frames a second. */
const EVEN: PlayFigures = {
  startMs: 1_500,
  frames: 301,
  playedMs: 10_000,
  stills: 0,
  stillMs: 0,
  gapMs: 60,
  sinceFrameMs: 20,
  dropped: 0,
  errors: [],
  fatal: [],
  isOver: false,
};

describe("verdictOf()", () => {
  for (const [verdict, change] of [
    ["plays", {}],
    ["plays", { errors: ["late"], stills: 3 }],
    ["went on", { fatal: ["gone"] }],
    ["failed", { fatal: ["gone"], sinceFrameMs: 5_001 }],
    ["failed", { fatal: ["gone"], startMs: null, frames: 0 }],
    ["failed", { fatal: ["ended by itself with status 1"], isOver: true }],
    ["no picture", { startMs: null, frames: 0 }],
    ["stopped", { sinceFrameMs: 5_001 }],
  ] as const) {
    test(`${verdict}: ${JSON.stringify(change)}`, () => {
      expect(verdictOf({ ...EVEN, ...change })).toBe(verdict);
    });
  }
});

test("renderPlays() and notesOnPlays() tell of each player, and of errors by their kinds", () => {
  const results: readonly PlayResult[] = [
    { play: { player: "ffplay", playlist: "ts.m3u8", url: "" }, figures: { ...EVEN, dropped: null } },
    {
      play: { player: "shaka", playlist: "index.m3u8", url: "" },
      figures: { ...EVEN, errors: ["no f-1234567.m4s", "no f-1234568.m4s"], fatal: ["category 1 code 1001"] },
    },
  ];
  expect(
    renderPlays(results)
      .split("\n")
      .map((line) => line.trim().split(/ {2,}/)),
  ).toEqual([
    [
      "player",
      "playlist",
      "first frame s",
      "frames",
      "a second",
      "left out",
      "stills",
      "still s",
      "longest s",
      "errors",
    ],
    ["ffplay", "ts.m3u8", "plays", "1.50", "301", "30", "-", "0", "0", "0.0600", "0"],
    ["shaka", "index.m3u8", "went on", "1.50", "301", "30", "0", "0", "0", "0.0600", "3"],
  ]);
  expect(notesOnPlays(results)).toEqual([
    "shaka, index.m3u8, failed: 1 category 1 code 1001",
    "shaka, index.m3u8, went on after: 2 no f-….m4s",
  ]);
});

describe("bench players", () => {
  const output = { progress() {}, table() {} };
  for (const [flags, message] of [
    [["--players=shaka"], "Cannot play with shaka (--players): no build of it given (--shaka)"],
    [
      ["--players=shaka", "--shaka=/nowhere/shaka.js"],
      "Cannot play with shaka (--players): no such file: /nowhere/shaka.js (--shaka)",
    ],
    [
      ["--players=hls.js", "--chromium=/nowhere/chromium"],
      "Cannot play with hls.js (--players): Cannot run /nowhere/chromium (--chromium): no such program",
    ],
  ] as const) {
    test(`refuses ${flags.join(" ")}`, async () => {
      const run = runBench(["players", ...flags], {
        signal: AbortSignal.abort(),
        clock: systemClock,
        output,
      });
      await expect(run).rejects.toEqual(new StartError("no-player", message));
    });
  }
});
