/** What the plain parser keeps of a connection from one read to the next: O(1), with a tail of at most 1 KiB. */
import { LINE_BYTES_MAX, type ParserPhase, type ParserState } from "./pixelflut-parser.ts";

/** One byte more than a line may have: with it in hand, a line without LF is known to be too long. */
export const TAIL_CAPACITY_BYTES = LINE_BYTES_MAX + 1;

/** A connection as the plain parser knows it. */
export interface PlainState extends ParserState {
  phase: ParserPhase;
  /** True until the connection's first command is over. */
  isFresh: boolean;
  /** Added to the coordinates of PX. */
  offsetX: number;
  offsetY: number;
  /** The beginning of an incomplete command, in the first `tailLength` bytes. `undefined` until there is one. */
  tail: Uint8Array | undefined;
  tailLength: number;
  /** True while the rest of a line that is too long is dropped. */
  isDroppingLine: boolean;
  /** Pixels of PXMULTI still to come. */
  multiRemaining: number;
  /** Where the next of them goes in the canvas, or -1 where they are swallowed. */
  multiIndex: number;
  /** HELPs since `helpWindowStartMs`. */
  helpCount: number;
  helpWindowStartMs: number;
}

/** The state of a new connection. */
export function createPlainState(): PlainState {
  return {
    phase: "open",
    isFresh: true,
    offsetX: 0,
    offsetY: 0,
    tail: undefined,
    tailLength: 0,
    isDroppingLine: false,
    multiRemaining: 0,
    multiIndex: 0,
    helpCount: 0,
    helpWindowStartMs: Number.NEGATIVE_INFINITY,
  };
}

/** Keeps the beginning of an incomplete command, at most {@link LINE_BYTES_MAX} bytes. */
export function keepTail(state: PlainState, rest: Uint8Array): void {
  if (rest.length === 0) return;
  state.tail ??= new Uint8Array(TAIL_CAPACITY_BYTES);
  state.tail.set(rest);
  state.tailLength = rest.length;
}
