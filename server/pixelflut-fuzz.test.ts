/** The differential fuzz itself, ten megabytes of it on the server's parsers, and whether it finds mistakes at all. */
import { describe, expect, test } from "bun:test";
import { createRandomBelow } from "#common/random.ts";
import { loadKernel } from "./kernel.ts";
import { makeCuts } from "./pixelflut-fuzz-cuts.ts";
import { FuzzInput, STEP_BYTES_MAX, type FuzzRound } from "./pixelflut-fuzz-input.ts";
import { mutate } from "./pixelflut-fuzz-mutation.ts";
import { describeRound, shrinkRound } from "./pixelflut-fuzz-shrink.ts";
import { describeFailure, PixelflutFuzz, runFuzz } from "./pixelflut-fuzz.ts";
import {
  parserEntries,
  placedKernelEntry,
  plainEntry,
  type ParserEntry,
  type ParserRig,
} from "./pixelflut-parsers.ts";
import { PlainParser } from "./plain-parser.ts";
import type { PlainState } from "./plain-state.ts";

const encoder = new TextEncoder();
const kernel = await loadKernel();

describe("the parsers agree", () => {
  test("plain and kernel, 10 MB", () => {
    const fuzz = new PixelflutFuzz({ seed: 1, sides: parserEntries(kernel) });
    const { bytes, failure } = runFuzz(fuzz, { bytesMax: 10e6 });
    if (failure !== undefined) throw new Error(describeFailure(fuzz, failure));
    expect(bytes).toBeGreaterThanOrEqual(10e6);
  });

  test("plain and the bare kernel, 5 MB", () => {
    const fuzz = new PixelflutFuzz({ seed: 3, sides: [plainEntry, placedKernelEntry(kernel)] });
    const { failure } = runFuzz(fuzz, { bytesMax: 5e6 });
    if (failure !== undefined) throw new Error(describeFailure(fuzz, failure));
  });

  test("plain with itself when cut in another way, 5 MB", () => {
    const fuzz = new PixelflutFuzz({ seed: 2, sides: [plainEntry, plainEntry] });
    const { failure } = runFuzz(fuzz, { bytesMax: 5e6 });
    if (failure !== undefined) throw new Error(describeFailure(fuzz, failure));
  });
});

/** The plain parser with a mistake: `afterParse` runs behind every read. */
function broken(afterParse: (rig: ParserRig, state: PlainState, bytes: Uint8Array) => void): ParserEntry {
  return {
    name: "broken",
    create(setting) {
      const rig = plainEntry.create(setting);
      const { parser } = rig;
      if (!(parser instanceof PlainParser)) throw new TypeError("The plain entry has a plain parser");
      const wrapped = {
        replies: parser.replies,
        open: () => parser.open(),
        parse(state: PlainState, bytes: Uint8Array, nowMs: number): number {
          const taken = parser.parse(state, bytes, nowMs);
          afterParse(rig, state, bytes);
          return taken;
        },
      };
      return { ...rig, parser: wrapped };
    },
  };
}

const MISTAKES: readonly (readonly [string, ParserEntry, RegExp])[] = [
  [
    "forgets a command that is cut",
    broken((_, state) => {
      if (state.tailLength > 9) state.tailLength = 0;
    }),
    /^(state|counters|replies|canvas)/,
  ],
  [
    "paints one wrong channel",
    broken(({ framebuffer: { pixels } }, _, bytes) => {
      if (bytes.length === 17) pixels[0] = (pixels[0] ?? 0) ^ 1;
    }),
    /^(canvas: pixel 0 0|replies)/,
  ],
  [
    "counts one pixel too few",
    broken(({ framebuffer: { counters } }, state) => {
      if (state.offsetX < 0) counters[0]?.add("outsideSets", -1);
    }),
    /^counters outsideSets/,
  ],
  [
    "loses a reply",
    broken(({ parser }) => {
      if (parser.replies.length > 60_000) parser.replies.clear();
    }),
    /^replies/,
  ],
  [
    "keeps OFFSET too exactly",
    broken((_, state) => {
      if (state.offsetX === 2 ** 30) state.offsetX -= 1;
    }),
    /^state offsetX/,
  ],
  [
    "stays in a long line",
    broken((_, state, bytes) => {
      if (state.isDroppingLine && bytes.length === 1) state.multiRemaining = 1;
    }),
    /^(state multiRemaining|canvas|counters|replies)/,
  ],
];

describe("PixelflutFuzz finds a parser that", () => {
  test.each([...MISTAKES])("%s", (_, mistaken, what) => {
    const fuzz = new PixelflutFuzz({ seed: 3, sides: [plainEntry, mistaken] });
    const { failure } = runFuzz(fuzz, { bytesMax: 20e6 });
    expect(failure?.difference.what).toMatch(what);
  });

  test("takes nothing, and one that writes where it has no business", () => {
    const lazy: ParserEntry = {
      name: "lazy",
      create(setting) {
        const rig = plainEntry.create(setting);
        const { parser } = rig;
        return { ...rig, parser: { replies: parser.replies, open: () => parser.open(), parse: () => 0 } };
      },
    };
    const untidy: ParserEntry = {
      name: "untidy",
      create: (setting) => ({ ...plainEntry.create(setting), findDamage: () => "writes into [1, 2)" }),
    };
    const found = [lazy, untidy].map((entry) => {
      const fuzz = new PixelflutFuzz({ seed: 1, sides: [plainEntry, entry] });
      return runFuzz(fuzz, { bytesMax: 1 }).failure?.difference.what;
    });
    expect(found).toEqual([
      "lazy takes nothing, though there is room for replies",
      "untidy writes into [1, 2)",
    ]);
  });

  test("describeFailure() gives the smallest input, which shows the same when replayed", () => {
    const entry = broken(({ framebuffer: { pixels } }, state) => {
      if (state.offsetX === -1) pixels[0] = 0;
    });
    const fuzz = new PixelflutFuzz({ seed: 3, sides: [plainEntry, entry] });
    const { failure } = runFuzz(fuzz, { bytesMax: 20e6 });
    if (failure === undefined) throw new Error("There is a difference");
    const text = describeFailure(fuzz, failure);
    expect(text).toContain(`--seed 3 --first-round ${failure.round.index} --rounds 1`);
    const [, base64 = ""] = /base64 {2}(\S+)/.exec(text) ?? [];
    expect(Buffer.from(base64, "base64").toString("latin1")).toMatch(/^OFFSET[ \t]-1[ \t]-?\d\n$/);
    expect(text.split("\n").filter((line) => line.startsWith("step "))).toHaveLength(1);
  });
});

describe("FuzzInput", () => {
  test("round() makes the same round whenever it is asked, and another for another seed", () => {
    const input = new FuzzInput(7);
    const first = input.round(3);
    input.round(4);
    expect(input.round(3)).toEqual(first);
    expect(new FuzzInput(7).round(3)).toEqual(first);
    expect(new FuzzInput(8).round(3)).not.toEqual(first);
  });

  test("round() cuts inside its steps, in order, and keeps their length in bounds", () => {
    const input = new FuzzInput(1);
    let isLongerThanRead = false;
    for (let index = 0; index < 40; index += 1) {
      const { steps } = input.round(index);
      for (const { bytes, cuts } of steps) {
        expect(bytes.length).toBeLessThanOrEqual(STEP_BYTES_MAX);
        isLongerThanRead ||= bytes.length > 262_144;
        for (const list of cuts) {
          const isInside = list.every((cut, at) => cut > (list[at - 1] ?? 0) && cut < bytes.length);
          expect(isInside).toBe(true);
        }
      }
    }
    expect(isLongerThanRead).toBe(true);
  });
});

test("makeCuts() cuts nothing that has less than two bytes", () => {
  const random = createRandomBelow(5);
  for (let count = 0; count < 100; count += 1) {
    expect(makeCuts(new Uint8Array(count % 2), random)).toEqual([]);
  }
});

test("mutate() leaves most inputs alone, never makes one longer, and changes any place", () => {
  const random = createRandomBelow(6);
  const text = "PX 1 2 ffffff\n".repeat(5);
  const changed = new Set<number>();
  let same = 0;
  for (let count = 0; count < 2_000; count += 1) {
    const damaged = mutate(encoder.encode(text), random);
    expect(damaged.length).toBeLessThanOrEqual(text.length);
    const at = damaged.findIndex((byte, index) => byte !== text.charCodeAt(index));
    if (at < 0 && damaged.length === text.length) same += 1;
    else changed.add(at);
  }
  expect(same).toBeGreaterThan(900);
  expect(changed.size).toBeGreaterThan(60);
});

describe("shrinkRound()", () => {
  const round: FuzzRound = {
    seed: 0,
    index: 0,
    setting: {
      width: 2,
      height: 2,
      protocol: { alpha: "blend", outsideGets: "silent", isStrict: true },
    },
    background: 0x01_02_03,
    pixelsBefore: 9,
    steps: ["aaaa", "bbXbbYbb", "cc"].map((text, index) => ({
      connection: index,
      isNew: false,
      nowMs: 5,
      bytes: encoder.encode(text),
      cuts: [[1], text.length > 4 ? [2, 4, 6] : []],
      isLazy: true,
    })),
  };

  test("leaves only what the difference needs, and moves cuts with it", () => {
    const needs = ({ steps }: FuzzRound): boolean =>
      steps.some(({ bytes, cuts }) => {
        const text = Buffer.from(bytes).toString();
        const [x, y] = [text.indexOf("X"), text.indexOf("Y")];
        return x >= 0 && y > x && cuts[1].some((cut) => cut > x && cut <= y);
      });
    const { steps } = shrinkRound(round, needs);
    expect(steps).toEqual([
      { connection: 1, isNew: false, nowMs: 0, bytes: encoder.encode("XY"), cuts: [[], [1]], isLazy: false },
    ]);
  });

  test("gives back what it cannot make smaller", () => {
    expect(shrinkRound(round, () => false)).toEqual(round);
  });

  test("describeRound() says all that a replay needs", () => {
    expect(describeRound({ ...round, steps: round.steps.slice(1, 2) }, ["plain", "kernel"])).toBe(
      [
        "canvas 2 x 2 of colour 010203 (b g r), alpha blend, outside gets silent, strict; 9 pixels counted before",
        "step 0: connection 1, at 5 ms, 8 bytes, replies are sent only where their buffer is full",
        '  text    "bbXbbYbb"',
        "  base64  YmJYYmJZYmI=",
        "  plain reads end at 1 8",
        "  kernel reads end at 2 4 6 8",
      ].join("\n"),
    );
  });
});
