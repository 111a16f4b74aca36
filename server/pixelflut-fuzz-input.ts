/**
 * One round of the differential fuzz: a canvas, options, and a stream for each of a few connections, made from a seed and
 * the number of the round alone. `pixelflut-fuzz-stream.ts` writes the streams; then bytes are flipped, lost and doubled
 * (`pixelflut-fuzz-mutation.ts`), and each side gets cuts of its own (`pixelflut-fuzz-cuts.ts`).
 */
import { createRandomBelow } from "#common/random.ts";
import type { CanvasSize } from "./framebuffer.ts";
import { makeCuts } from "./pixelflut-fuzz-cuts.ts";
import { mutate } from "./pixelflut-fuzz-mutation.ts";
import { FuzzStream } from "./pixelflut-fuzz-stream.ts";
import { FuzzWriter, pick, pickSize, type Random } from "./pixelflut-fuzz-writer.ts";
import type { ParserSetting } from "./pixelflut-parsers.ts";

/** Connections open at once. */
export const FUZZ_CONNECTIONS = 3;
/** Longest step: more than the longest read, so that a parser that is handed more is tried too. */
export const STEP_BYTES_MAX = 300_000;

/** Ends of reads inside a step, ascending, without its own end: one list for each side. */
export type FuzzCuts = readonly [readonly number[], readonly number[]];

/** A stretch of one connection's stream. Time stands still in it, so that it may be cut anywhere. */
export interface FuzzStep {
  readonly connection: number;
  /** True to close the connection and open a new one in its place first. */
  readonly isNew: boolean;
  readonly nowMs: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly cuts: FuzzCuts;
  /** True to empty the reply buffer only where it is full, false for after every read. */
  readonly isLazy: boolean;
}

export interface FuzzRound {
  readonly seed: number;
  readonly index: number;
  readonly setting: ParserSetting;
  /** Colour of the whole canvas before: `r | g << 8 | b << 16`. */
  readonly background: number;
  /** What another thread has counted before, for STATS. */
  readonly pixelsBefore: number;
  readonly steps: readonly FuzzStep[];
}

const SIZES: readonly [CanvasSize, ...CanvasSize[]] = [
  { width: 1, height: 1 },
  { width: 7, height: 5 },
  { width: 7, height: 5 },
  { width: 100, height: 3 },
  { width: 100, height: 100 },
  { width: 64, height: 1100 },
  { width: 640, height: 480 },
  { width: 1280, height: 720 },
  { width: 1280, height: 720 },
  { width: 16_383, height: 3 },
  { width: 2, height: 16_383 },
];

/** Rounds on a large canvas are longer, or most of the time would go into comparing canvases. */
const PIXELS_PER_BYTE = 4;
const ROUND_BYTES_MAX = 2 ** 20;
/** A connection of a strict server ends at its first mistake: many short ones say more than a few long ones. */
const STRICT_ROUND_BYTES_MAX = 2 ** 15;
const STRICT_STEP_BYTES_MAX = 4_000;
/** What follows on a connection that takes no commands any more. */
const WASTED_COMMANDS_MAX = 200;

const PIXELS_BEFORE: readonly [number, ...number[]] = [0, 0, 999_999, 2 ** 31 - 50, 2 ** 32 - 50, 2 ** 52];

/** Milliseconds between steps: HELP's window is a thousand. */
const TIME_STEPS_MS: readonly [number, ...number[]] = [
  0, 0, 0.25, 1, 333.5, 499, 999, 999.75, 1_000, 1_001, 7_000,
];

/** Makes rounds, with one buffer for all of them. */
export class FuzzInput {
  readonly #seed: number;
  #random: Random;
  readonly #writer: FuzzWriter;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = createRandomBelow(seed);
    this.#writer = new FuzzWriter((limit) => this.#random(limit), STEP_BYTES_MAX);
  }

  /** The round number `index`: always the same for one seed. */
  round(index: number): FuzzRound {
    this.#random = createRandomBelow(
      Math.imul(this.#seed + 1, 0x9e37_79b1) ^ Math.imul(index + 1, 0x85eb_ca6b),
    );
    const random = this.#random;
    const setting = pickSetting(random);
    const pixels = setting.width * setting.height;
    const isStrict = setting.protocol.isStrict;
    const target = Math.max(
      pixels / PIXELS_PER_BYTE,
      pickSize(random, isStrict ? STRICT_ROUND_BYTES_MAX : ROUND_BYTES_MAX),
    );
    const streams: [FuzzStream, ...FuzzStream[]] = [new FuzzStream(this.#writer, setting)];
    for (let more = random(FUZZ_CONNECTIONS); more > 0; more -= 1)
      streams.push(new FuzzStream(this.#writer, setting));
    const steps: FuzzStep[] = [];
    let nowMs = pick(random, [0, 0.5, 5_000, 123_456_789.125]);
    for (let bytes = 0; bytes < target;) {
      const stream = pick(random, streams);
      const step = this.#step(stream, { connection: streams.indexOf(stream), nowMs });
      steps.push(step);
      bytes += step.bytes.length;
      nowMs += pick(random, TIME_STEPS_MS);
    }
    const background = random(0x100_0000);
    const pixelsBefore = pick(random, PIXELS_BEFORE);
    return { seed: this.#seed, index, setting, background, pixelsBefore, steps };
  }

  #step(stream: FuzzStream, { connection, nowMs }: { connection: number; nowMs: number }): FuzzStep {
    const random = this.#random;
    const { isStrict } = stream;
    const isNew = !stream.isUseful || random(isStrict ? 2 : 6) === 0;
    if (isNew) stream.restart();
    const writer = this.#writer;
    writer.begin(pickSize(random, isStrict ? STRICT_STEP_BYTES_MAX : STEP_BYTES_MAX));
    const isRequest = isNew && random(12) === 0;
    if (isRequest) stream.request();
    // Half of the requests are a step of their own, so that it shows when they are noticed.
    if (!isRequest || random(2) === 0) {
      while (stream.isUseful && !writer.isFull) stream.section();
      if (!stream.isUseful) stream.mixture(WASTED_COMMANDS_MAX);
    }
    const bytes = mutate(writer.take(), random);
    const cuts: FuzzCuts = [makeCuts(bytes, random), makeCuts(bytes, random)];
    return { connection, isNew, nowMs, bytes, cuts, isLazy: random(3) === 0 };
  }
}

function pickSetting(random: Random): ParserSetting {
  return {
    ...pick(random, SIZES),
    protocol: {
      alpha: pick(random, ["blend", "blend", "ignore"]),
      outsideGets: pick(random, ["silent", "black"]),
      isStrict: random(8) === 0,
    },
  };
}
