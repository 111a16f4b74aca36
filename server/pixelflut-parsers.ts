/**
 * The server's parsers in one table, each with a canvas of its own and a look into its connections. What holds for one
 * must hold for all: the case table, the differential fuzz and the benchmark go through here.
 */
import { openConnections, sumCounter } from "./counters.ts";
import { createFramebuffer, type CanvasSize, type Framebuffer } from "./framebuffer.ts";
import { createKernelRig, createPlacedKernelRig } from "./kernel-rigs.ts";
import type { ParserPhase, ParserState, PixelflutParser, ProtocolOptions } from "./pixelflut-parser.ts";
import { PlainParser } from "./plain-parser.ts";
import type { PlainState } from "./plain-state.ts";

/** What stays the same as long as a parser runs. */
export interface ParserSetting extends CanvasSize {
  readonly protocol: ProtocolOptions;
}

/** A connection as every parser must know it between two reads. */
export interface ConnectionSnapshot {
  readonly phase: ParserPhase;
  readonly isFresh: boolean;
  readonly offsetX: number;
  readonly offsetY: number;
  /** The incomplete command. */
  readonly tail: Uint8Array;
  readonly isDroppingLine: boolean;
  readonly multiRemaining: number;
  readonly multiIndex: number;
  readonly helpCount: number;
  readonly helpWindowStartMs: number;
}

/** A parser with its canvas. It counts in the first slot. */
export interface ParserRig<State extends ParserState = ParserState> {
  readonly framebuffer: Framebuffer;
  readonly parser: PixelflutParser<State>;
  describe(state: State): ConnectionSnapshot;
  /** To be called before each read `bytes[start..end)`, in order to set traps. */
  prepare(bytes: Uint8Array, read: { readonly start: number; readonly end: number }): void;
  /** Gives back what the parser's `open` took. */
  close(state: State): void;
  /** Looks for traces where the parser has no business. */
  findDamage(): string | undefined;
}

/** One row of the table. */
export interface ParserEntry {
  readonly name: string;
  readonly create: (setting: ParserSetting) => ParserRig;
}

/** The specification first, then the kernel behind the same interface. `module` is the compiled kernel. */
export function parserEntries(module: WebAssembly.Module): readonly [ParserEntry, ParserEntry] {
  return [plainEntry, { name: "kernel", create: (setting) => createKernelRig(module, setting) }];
}

/** The kernel as the receive path of Linux uses it: reads and connections stay in the shared memory. */
export function placedKernelEntry(module: WebAssembly.Module): ParserEntry {
  return { name: "kernel in place", create: (setting) => createPlacedKernelRig(module, setting) };
}

/** The plain parser. */
export const plainEntry: ParserEntry = { name: "plain", create: createPlainRig };

function createPlainRig({ protocol, ...size }: ParserSetting): ParserRig<PlainState> {
  const framebuffer = createFramebuffer(size);
  const { counters } = framebuffer;
  const [slot] = counters;
  if (slot === undefined) throw new RangeError("A framebuffer has counters");
  const readStats = () => ({
    pixels: sumCounter(counters, "pixels"),
    connections: openConnections(counters),
  });
  return {
    framebuffer,
    parser: new PlainParser({ framebuffer, counters: slot, protocol, readStats }),
    describe: ({ tail, tailLength, ...rest }) => ({
      ...rest,
      // Not -0, which `OFFSET -0 0` leaves.
      offsetX: rest.offsetX + 0,
      offsetY: rest.offsetY + 0,
      tail: tail?.subarray(0, tailLength) ?? new Uint8Array(0),
    }),
    prepare() {},
    close() {},
    findDamage: () => undefined,
  };
}
