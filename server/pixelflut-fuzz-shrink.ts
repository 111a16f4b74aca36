/**
 * Makes the input of a failed round small: steps, cuts and bytes go as long as the two parsers still differ. What is left
 * is printed so that a person can read it and a test can replay it.
 */
import type { FuzzRound, FuzzStep } from "./pixelflut-fuzz-input.ts";
import { LINE_FEED } from "./pixelflut-fuzz-writer.ts";
import { describeValue } from "./pixelflut-fuzz-subject.ts";

/** Most times that the round is played again. */
const TRIALS_MAX = 20_000;

/** Plays a round; true where the parsers differ. */
type DiffersIn = (round: FuzzRound) => boolean;

/** The smallest round found that still differs, or `round` itself. */
export function shrinkRound(round: FuzzRound, differsIn: DiffersIn): FuzzRound {
  const shrinking = new Shrinking(round, differsIn);
  for (let size = Number.POSITIVE_INFINITY; shrinking.size < size;) {
    ({ size } = shrinking);
    shrinking.dropSteps();
    for (let index = 0; index < shrinking.round.steps.length; index += 1) shrinking.shrinkStep(index);
  }
  return shrinking.round;
}

/** A round on its way down. Each change stays only where the parsers still differ. */
class Shrinking {
  round: FuzzRound;
  readonly #differsIn: DiffersIn;
  #trials = 0;

  constructor(round: FuzzRound, differsIn: DiffersIn) {
    this.round = round;
    this.#differsIn = differsIn;
  }

  /** Bytes, cuts and steps together: what a person has to read. */
  get size(): number {
    const sizes = this.round.steps.map(({ bytes, cuts: [first, second] }) => {
      return 1 + bytes.length + first.length + second.length;
    });
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  dropSteps(): void {
    const { steps } = this.round;
    dropParts(steps.length, ({ start, end }) =>
      this.#keep(this.round.steps.filter((_, index) => index < start || index >= end)),
    );
  }

  shrinkStep(index: number): void {
    const step = this.round.steps[index];
    if (step === undefined) return;
    this.#change(index, { isLazy: false });
    this.#change(index, { nowMs: 0 });
    this.#dropBytes(index, linesOf(step.bytes));
    const { bytes } = this.round.steps[index] ?? step;
    this.#dropBytes(index, [...bytes.keys(), bytes.length]);
    for (const side of [0, 1] as const) {
      const count = this.round.steps[index]?.cuts[side].length ?? 0;
      dropParts(count, (part) => this.#dropCuts(index, side, part));
    }
  }

  /** Tries to do without what lies between some of the `places`, the first of which is 0 and the last the end. */
  #dropBytes(index: number, places: readonly number[]): void {
    let left = places;
    dropParts(places.length - 1, ({ start, end }) => {
      const step = this.round.steps[index];
      const [from, to] = [left[start], left[end]];
      if (step === undefined || from === undefined || to === undefined) return false;
      if (!this.#change(index, withoutBytes(step, { start: from, end: to }))) return false;
      left = [...left.slice(0, start), ...left.slice(end).map((place) => place - (to - from))];
      return true;
    });
  }

  #dropCuts(index: number, side: 0 | 1, { start, end }: Part): boolean {
    const step = this.round.steps[index];
    if (step === undefined) return false;
    const [first, second] = step.cuts;
    const fewer = step.cuts[side].filter((_, at) => at < start || at >= end);
    return this.#change(index, { cuts: side === 0 ? [fewer, second] : [first, fewer] });
  }

  #change(index: number, change: Partial<FuzzStep>): boolean {
    return this.#keep(this.round.steps.map((step, at) => (at === index ? { ...step, ...change } : step)));
  }

  #keep(steps: readonly FuzzStep[]): boolean {
    if (this.#trials >= TRIALS_MAX) return false;
    this.#trials += 1;
    const candidate = { ...this.round, steps };
    if (!this.#differsIn(candidate)) return false;
    this.round = candidate;
    return true;
  }
}

interface Part {
  readonly start: number;
  readonly end: number;
}

/** Where lines begin, and the end. */
function linesOf(bytes: Uint8Array): readonly number[] {
  const starts = [0];
  for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, at + 1)) starts.push(at + 1);
  if (starts.at(-1) !== bytes.length) starts.push(bytes.length);
  return starts;
}

/** Tries to do without parts of a list: first of large ones, at last of each element. `drop` says whether it worked. */
function dropParts(length: number, drop: (part: Part) => boolean): void {
  let left = length;
  for (let size = left; size >= 1; size = Math.floor(size / 2)) {
    // From the end: what came before a difference matters more often than what is behind it.
    for (let end = left; end > 0;) {
      const start = Math.max(0, end - size);
      if (drop({ start, end })) left -= end - start;
      end = start;
    }
  }
}

function withoutBytes({ bytes, cuts }: FuzzStep, { start, end }: Part): Partial<FuzzStep> {
  const kept = new Uint8Array(Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)]));
  const move = (list: readonly number[]): readonly number[] => {
    const places = list.map((cut) => (cut <= start ? cut : Math.max(start, cut - (end - start))));
    return [...new Set(places)].filter((cut) => cut > 0 && cut < kept.length);
  };
  return { bytes: kept, cuts: [move(cuts[0]), move(cuts[1])] };
}

/** Longest text and list of cuts that are printed. */
const SHOWN_MAX = 2_000;

/** A round for people, and in base64 for a test. */
export function describeRound(
  { setting, background, pixelsBefore, steps }: FuzzRound,
  names: readonly [string, string],
): string {
  const { width, height, protocol } = setting;
  const colour = background.toString(16).padStart(6, "0");
  const strict = protocol.isStrict ? ", strict" : "";
  const lines = [
    `canvas ${width} x ${height} of colour ${colour} (b g r), alpha ${protocol.alpha}, outside gets ${protocol.outsideGets}${strict}; ${pixelsBefore} pixels counted before`,
  ];
  for (const [index, { connection, isNew, isLazy, nowMs, bytes, cuts }] of steps.entries()) {
    const which = `connection ${connection}${isNew ? " (new)" : ""}`;
    const lazy = isLazy ? ", replies are sent only where their buffer is full" : "";
    lines.push(
      `step ${index}: ${which}, at ${nowMs} ms, ${bytes.length} bytes${lazy}`,
      `  text    ${shorten(describeValue(bytes))}`,
      `  base64  ${bytes.toBase64()}`,
      `  ${names[0]} reads end at ${shorten([...cuts[0], bytes.length].join(" "))}`,
      `  ${names[1]} reads end at ${shorten([...cuts[1], bytes.length].join(" "))}`,
    );
  }
  return lines.join("\n");
}

function shorten(text: string): string {
  return text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX)} … (${text.length} characters)`;
}
