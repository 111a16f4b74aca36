/**
 * One of the two parsers in a differential fuzz, with a few connections: plays steps as the receive path does, and tells
 * what can be seen of it after each. `pixelflut-fuzz.ts` compares two of them.
 */
import { isDeepStrictEqual } from "node:util";
import { COUNTER_NAMES, type CounterName } from "./counters.ts";
import { FUZZ_CONNECTIONS, STEP_BYTES_MAX, type FuzzRound, type FuzzStep } from "./pixelflut-fuzz-input.ts";
import type { ParserState } from "./pixelflut-parser.ts";
import type { ConnectionSnapshot, ParserRig } from "./pixelflut-parsers.ts";

export interface FuzzObservation {
  readonly replies: Uint8Array;
  /** Bytes of the step that belong to a browser's request, or 0. */
  readonly restBytes: number;
  readonly counters: Readonly<Record<string, number>>;
  readonly state: Partial<ConnectionSnapshot>;
}

/** Room for the replies to one step: SIZE without line end is answered with about four times its bytes. */
const REPLIES_BYTES_MAX = 8 * STEP_BYTES_MAX + 65_536;

/** What a parser counts; the others belong to the receive path. */
const PARSER_COUNTERS: readonly CounterName[] = COUNTER_NAMES.filter((name) =>
  ["pixels", "outsideSets", "gets", "outsideGets", "invalidLines", "longLines", "refusedHelps"].includes(
    name,
  ),
);

export class FuzzSubject {
  readonly rig: ParserRig;
  readonly #states: (ParserState | undefined)[] = Array.from({ length: FUZZ_CONNECTIONS });
  readonly #replies = new Uint8Array(REPLIES_BYTES_MAX);
  #repliesLength = 0;
  #restBytes = 0;

  constructor(rig: ParserRig) {
    this.rig = rig;
  }

  /** Back to how a round begins: no connections, a canvas of one colour, and nothing counted but what STATS tells of others. */
  reset({ background, pixelsBefore }: FuzzRound): void {
    for (let connection = 0; connection < FUZZ_CONNECTIONS; connection += 1) this.#close(connection);
    const { counters, pixels } = this.rig.framebuffer;
    for (const slot of counters) {
      for (const name of COUNTER_NAMES) slot.add(name, -slot.read(name));
    }
    counters[1]?.add("pixels", pixelsBefore);
    pixels.fill((0xff00_0000 | background) >>> 0);
    this.rig.parser.replies.clear();
  }

  /** Plays one step with the cuts of one side. Returns a mistake that shows without any comparison. */
  play(step: FuzzStep, side: 0 | 1): string | undefined {
    this.#repliesLength = 0;
    this.#restBytes = 0;
    if (step.isNew) this.#close(step.connection);
    const state = (this.#states[step.connection] ??= this.#open());
    let start = 0;
    for (const cut of step.cuts[side]) {
      const mistake = this.#read(state, step, { start, end: cut });
      if (mistake !== undefined) return mistake;
      start = cut;
    }
    const mistake = this.#read(state, step, { start, end: step.bytes.length });
    return mistake ?? this.#takeReplies();
  }

  /** Everything that the last step can have changed but the canvas. */
  observe({ connection }: FuzzStep): FuzzObservation {
    const [slot] = this.rig.framebuffer.counters;
    const state = this.#states[connection];
    return {
      replies: this.#replies.subarray(0, this.#repliesLength),
      restBytes: this.#restBytes,
      counters: Object.fromEntries(PARSER_COUNTERS.map((name) => [name, slot?.read(name) ?? 0])),
      state: state === undefined ? {} : withoutMeaningless(this.rig.describe(state)),
    };
  }

  #open(): ParserState {
    this.rig.framebuffer.counters[0]?.add("accepted", 1);
    return this.rig.parser.open();
  }

  #close(connection: number): void {
    const state = this.#states[connection];
    if (state === undefined) return;
    this.rig.framebuffer.counters[0]?.add("closed", 1);
    this.rig.close(state);
    this.#states[connection] = undefined;
  }

  /** One read, handed to the parser as `connection.ts` does it. */
  #read(
    state: ParserState,
    step: FuzzStep,
    read: { readonly start: number; readonly end: number },
  ): string | undefined {
    const { rig } = this;
    const { parser } = rig;
    const { bytes, nowMs, isLazy } = step;
    const { end } = read;
    let start = read.start;
    while (start < end && state.phase === "open") {
      rig.prepare(bytes, { start, end });
      const taken = parser.parse(state, bytes.subarray(start, end), nowMs);
      if (!Number.isSafeInteger(taken) || taken < 0 || taken > end - start) {
        return `takes ${taken} of ${end - start} bytes`;
      }
      start += taken;
      const isFull = start < end && state.phase === "open";
      if (isFull && taken === 0 && parser.replies.length === 0)
        return "takes nothing, though there is room for replies";
      if (isLazy && !isFull) continue;
      const mistake = this.#takeReplies();
      if (mistake !== undefined) return mistake;
    }
    if (state.phase === "http") this.#restBytes += end - start;
    return undefined;
  }

  #takeReplies(): string | undefined {
    const { replies } = this.rig.parser;
    const view = replies.view();
    if (this.#repliesLength + view.length > REPLIES_BYTES_MAX)
      return "answers with more bytes than there can be";
    this.#replies.set(view, this.#repliesLength);
    this.#repliesLength += view.length;
    replies.clear();
    return undefined;
  }
}

function withoutMeaningless(snapshot: ConnectionSnapshot): Partial<ConnectionSnapshot> {
  const { phase, multiRemaining, helpCount } = snapshot;
  if (phase !== "open") return { phase };
  return {
    ...snapshot,
    multiIndex: multiRemaining > 0 ? snapshot.multiIndex : 0,
    helpWindowStartMs: helpCount > 0 ? snapshot.helpWindowStartMs : 0,
  };
}

/** The first difference between what two parsers did, in words; `undefined` where there is none. */
export function compareObservations(
  names: readonly [string, string],
  [first, second]: readonly [FuzzObservation, FuzzObservation],
): string | undefined {
  if (Buffer.compare(first.replies, second.replies) !== 0) {
    return `replies: ${describeReplies(names, [first.replies, second.replies])}`;
  }
  if (first.restBytes !== second.restBytes) {
    return `bytes left for HTTP: ${names[0]} ${first.restBytes}, ${names[1]} ${second.restBytes}`;
  }
  for (const part of ["state", "counters"] as const) {
    const [a, b]: Readonly<Record<string, unknown>>[] = [first[part], second[part]];
    for (const key of Object.keys({ ...a, ...b })) {
      const values = [a?.[key], b?.[key]] as const;
      if (isDeepStrictEqual(values[0], values[1])) continue;
      return `${part} ${key}: ${names[0]} ${describeValue(values[0])}, ${names[1]} ${describeValue(values[1])}`;
    }
  }
  return undefined;
}

const CONTEXT_BYTES = 30;

function describeReplies(
  names: readonly [string, string],
  replies: readonly [Uint8Array, Uint8Array],
): string {
  const [first, second] = replies;
  let at = 0;
  while (at < first.length && first[at] === second[at]) at += 1;
  const start = Math.max(0, at - CONTEXT_BYTES);
  const [a, b] = [first, second].map((bytes) => describeValue(bytes.subarray(start, at + CONTEXT_BYTES)));
  return `at byte ${at} (of ${first.length} and ${second.length}), from byte ${start}: ${names[0]} ${a}, ${names[1]} ${b}`;
}

/** A value for people; bytes as a string of characters up to U+00FF. */
export function describeValue(value: unknown): string {
  return (
    JSON.stringify(value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : value) ?? "nothing"
  );
}
