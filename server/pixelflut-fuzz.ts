/**
 * The differential fuzz of Pixelflut parsers: two of them get the same made-up streams, each cut in another way, and must
 * leave the same canvas, replies, counters and states after every step. `bun run fuzz pixelflut` runs any amount of
 * it, the tests ten megabytes; the input is made in `pixelflut-fuzz-input.ts`.
 */
import { FuzzInput, type FuzzRound } from "./pixelflut-fuzz-input.ts";
import { describeRound, shrinkRound } from "./pixelflut-fuzz-shrink.ts";
import { compareObservations, FuzzSubject } from "./pixelflut-fuzz-subject.ts";
import type { ParserEntry, ParserSetting } from "./pixelflut-parsers.ts";

/** What two parsers disagree on. */
export interface FuzzDifference {
  /** In words, with the values of both. */
  readonly what: string;
  /** The step after which it showed. */
  readonly stepIndex: number;
}

type Pair = readonly [FuzzSubject, FuzzSubject];

/** Runs rounds on two parsers. Subjects are made once a setting and used again, since a large canvas takes time to make. */
export class PixelflutFuzz {
  readonly #input: FuzzInput;
  readonly #sides: readonly [ParserEntry, ParserEntry];
  readonly #pairs = new Map<string, Pair>();

  constructor({
    seed,
    sides,
  }: {
    readonly seed: number;
    readonly sides: readonly [ParserEntry, ParserEntry];
  }) {
    this.#input = new FuzzInput(seed);
    this.#sides = sides;
  }

  /** What the parsers are called in reports. */
  get names(): readonly [string, string] {
    return [this.#sides[0].name, this.#sides[1].name];
  }

  /** The input of a round, the same whenever it is asked for. */
  round(index: number): FuzzRound {
    return this.#input.round(index);
  }

  /** Plays a round to its first difference. */
  findDifference(round: FuzzRound): FuzzDifference | undefined {
    const { names } = this;
    const pair = this.#pairFor(round.setting);
    const [first, second] = pair;
    for (const subject of pair) subject.reset(round);
    for (const [stepIndex, step] of round.steps.entries()) {
      const mistakes = [first.play(step, 0), second.play(step, 1)];
      const at = mistakes.findIndex((mistake) => mistake !== undefined);
      if (at >= 0) return { what: `${names[at]} ${mistakes[at]}`, stepIndex };
      const what = compareObservations(names, [first.observe(step), second.observe(step)]);
      if (what !== undefined) return { what, stepIndex };
    }
    const what = compareCanvases(names, pair) ?? findDamage(names, pair);
    return what === undefined ? undefined : { what, stepIndex: round.steps.length - 1 };
  }

  #pairFor(setting: ParserSetting): Pair {
    const key = JSON.stringify(setting);
    const known = this.#pairs.get(key);
    if (known !== undefined) return known;
    const [first, second] = this.#sides;
    const pair = [new FuzzSubject(first.create(setting)), new FuzzSubject(second.create(setting))] as const;
    this.#pairs.set(key, pair);
    return pair;
  }
}

/** How far a run is. */
export interface FuzzProgress {
  readonly rounds: number;
  /** Bytes of input, counted once for both parsers. */
  readonly bytes: number;
}

/** A round in which two parsers differ. */
export interface FuzzFailure {
  readonly round: FuzzRound;
  readonly difference: FuzzDifference;
}

export interface FuzzRunOptions {
  /** The round to begin with. Default: 0. */
  readonly firstRound?: number;
  /** The run ends with the round that reaches one of these. */
  readonly bytesMax: number;
  readonly roundsMax?: number;
  /** Called after every round. */
  readonly onProgress?: (progress: FuzzProgress) => void;
}

/** Runs rounds up to a limit or to the first difference. */
export function runFuzz(
  fuzz: PixelflutFuzz,
  { firstRound = 0, bytesMax, roundsMax = Number.POSITIVE_INFINITY, onProgress }: FuzzRunOptions,
): FuzzProgress & { readonly failure: FuzzFailure | undefined } {
  let rounds = 0;
  let bytes = 0;
  while (bytes < bytesMax && rounds < roundsMax) {
    const round = fuzz.round(firstRound + rounds);
    const difference = fuzz.findDifference(round);
    rounds += 1;
    bytes += round.steps.reduce((sum, step) => sum + step.bytes.length, 0);
    onProgress?.({ rounds, bytes });
    if (difference !== undefined) return { rounds, bytes, failure: { round, difference } };
  }
  return { rounds, bytes, failure: undefined };
}

/** A failure for people: what differs, in which round, and the smallest input found that shows it. */
export function describeFailure(fuzz: PixelflutFuzz, { round, difference }: FuzzFailure): string {
  const played = { ...round, steps: round.steps.slice(0, difference.stepIndex + 1) };
  const smallest = shrinkRound(played, (candidate) => fuzz.findDifference(candidate) !== undefined);
  // What is left may show another of several mistakes.
  const rest = fuzz.findDifference(smallest);
  return [
    `${difference.what}, after step ${difference.stepIndex} of round ${round.index} of seed ${round.seed}`,
    `again: bun run fuzz pixelflut --seed ${round.seed} --first-round ${round.index} --rounds 1`,
    rest === undefined
      ? "The round alone shows nothing: it takes the rounds before it."
      : `shrunk: ${rest.what}, after step ${rest.stepIndex} of:`,
    describeRound(smallest, fuzz.names),
  ].join("\n");
}

function compareCanvases(names: readonly [string, string], [first, second]: Pair): string | undefined {
  const [a, b] = [first.rig.framebuffer, second.rig.framebuffer];
  if (Buffer.compare(a.bytes, b.bytes) === 0) return undefined;
  const index = a.pixels.findIndex((word, at) => word !== b.pixels[at]);
  const [x, y] = [index % a.width, Math.floor(index / a.width)];
  const [left, right] = [a, b].map(({ pixels }) => (pixels[index] ?? 0).toString(16).padStart(8, "0"));
  return `canvas: pixel ${x} ${y} as abgr: ${names[0]} ${left}, ${names[1]} ${right}`;
}

function findDamage(names: readonly [string, string], pair: Pair): string | undefined {
  for (const [index, subject] of pair.entries()) {
    const damage = subject.rig.findDamage();
    if (damage !== undefined) return `${names[index]} ${damage}`;
  }
  return undefined;
}
