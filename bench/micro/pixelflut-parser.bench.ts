/**
 * How fast the parsers turn bytes into pixels, without sockets: the plain one and the kernel take the same reads by turns,
 * for each way of sending. `bun bench/micro/pixelflut-parser.bench.ts [commands] [rounds]` prints medians, their ratio and
 * a checksum of what the work left.
 */
import { createFramebuffer, type Framebuffer } from "../../server/framebuffer.ts";
import { loadKernel, openKernel } from "../../server/kernel.ts";
import { READ_BYTES_MAX } from "../../server/kernel/layout.ts";
import type { ProtocolOptions, StatsReply } from "../../server/pixelflut-parser.ts";
import { PlainParser } from "../../server/plain-parser.ts";
import { makeParserInput, PARSER_LOADS, type ParserLoad } from "./pixelflut-parser-loads.ts";

/** One parser's side of a row. */
export interface ParserFigures {
  /** Median over the rounds: millions of commands a second, gigabits a second. */
  readonly mpxPerSecond: number;
  readonly gbitPerSecond: number;
  /** CRC-32 of the canvas and the replies: the same for every correct parser. */
  readonly checksum: string;
}

/** One row of the result. */
export interface ParserRow {
  readonly load: ParserLoad;
  readonly plain: ParserFigures;
  readonly kernel: ParserFigures;
}

const WIDTH = 1280;
const HEIGHT = 720;
const PROTOCOL: ProtocolOptions = { alpha: "blend", outsideGets: "silent", isStrict: false };

/** A parser with the place where its reads go, as a receive path has it. */
interface BenchParser {
  readonly framebuffer: Framebuffer;
  readonly read: Uint8Array;
  /** Begins a new connection. */
  reset(): void;
  /** Parses what lies at the place for reads and returns how much of it was taken. */
  parse(start: number, end: number): number;
  readonly replies: () => Uint8Array;
  clear(): void;
}

/** Runs every load `rounds` times on each parser by turns, `commands` commands each, after one round to warm up. */
export function benchPixelflutParser(
  module: WebAssembly.Module,
  { commands, rounds }: { readonly commands: number; readonly rounds: number },
): ParserRow[] {
  const parsers = [openPlain(), openCompiled(module)] as const;
  return PARSER_LOADS.map((load) => {
    const bytes = makeParserInput(load, { commands, width: WIDTH, height: HEIGHT });
    const times: [number[], number[]] = [[], []];
    const checksums: [string, string] = ["", ""];
    for (let round = 0; round <= rounds; round += 1) {
      for (const side of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
        const { parseMs, checksum } = parseAll(parsers[side], bytes);
        if (round > 0) times[side].push(parseMs);
        checksums[side] = checksum;
      }
    }
    const figures = (side: 0 | 1): ParserFigures => {
      const seconds = median(times[side]) / 1000;
      return {
        mpxPerSecond: commands / seconds / 1e6,
        gbitPerSecond: (bytes.length * 8) / seconds / 1e9,
        checksum: checksums[side],
      };
    };
    return { load, plain: figures(0), kernel: figures(1) };
  });
}

/** Each read is copied to its place first, as the system does it for a receive path; only parsing is timed. */
function parseAll(parser: BenchParser, bytes: Uint8Array): { parseMs: number; checksum: string } {
  parser.reset();
  parser.framebuffer.pixels.fill(0xff00_0000);
  let parseMs = 0;
  let checksum = 0;
  for (let start = 0; start < bytes.length; start += READ_BYTES_MAX) {
    const piece = bytes.subarray(start, start + READ_BYTES_MAX);
    parser.read.set(piece);
    for (let at = 0; at < piece.length;) {
      const startMs = performance.now();
      at += parser.parse(at, piece.length);
      parseMs += performance.now() - startMs;
      checksum = Bun.hash.crc32(parser.replies(), checksum);
      parser.clear();
    }
  }
  checksum = Bun.hash.crc32(parser.framebuffer.bytes.slice(), checksum);
  return { parseMs, checksum: checksum.toString(16).padStart(8, "0") };
}

function openPlain(): BenchParser {
  const framebuffer = createFramebuffer({ width: WIDTH, height: HEIGHT });
  const [counters] = framebuffer.counters;
  if (counters === undefined) throw new RangeError("A framebuffer has counters");
  const parser = new PlainParser({ framebuffer, counters, protocol: PROTOCOL, readStats });
  const read = new Uint8Array(READ_BYTES_MAX);
  let state = parser.open();
  return {
    framebuffer,
    read,
    reset: () => void (state = parser.open()),
    parse: (start, end) => parser.parse(state, read.subarray(start, end), 0),
    replies: () => parser.replies.view(),
    clear: () => parser.replies.clear(),
  };
}

/** The kernel as the receive path of Linux uses it: the bytes are in the shared memory already. */
function openCompiled(module: WebAssembly.Module): BenchParser {
  const framebuffer = createFramebuffer({ width: WIDTH, height: HEIGHT });
  const kernel = openKernel({ module, framebuffer, thread: 0, protocol: PROTOCOL });
  const { buffer } = framebuffer.memory;
  const { readOffset, repliesOffset } = kernel;
  const record = framebuffer.map.connectionsOffset;
  return {
    framebuffer,
    read: new Uint8Array(buffer, readOffset, READ_BYTES_MAX),
    reset: () => kernel.resetRecord(record),
    parse: (start, end) => kernel.parse(record, readOffset + start, readOffset + end, 0) - readOffset - start,
    replies: () => new Uint8Array(buffer, repliesOffset, kernel.repliesLength()),
    clear: () => kernel.clearReplies(),
  };
}

/** The loads have no STATS. */
function readStats(): StatsReply {
  return { pixels: 0, connections: 1 };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

if (import.meta.main) {
  const [commands = 2_000_000, rounds = 5] = process.argv.slice(2).map(Number);
  const rows = benchPixelflutParser(await loadKernel(), { commands, rounds });
  console.table(
    rows.map(({ load, plain, kernel }) => ({
      load,
      "plain Mpx/s": plain.mpxPerSecond.toFixed(1),
      "kernel Mpx/s": kernel.mpxPerSecond.toFixed(1),
      ratio: (kernel.mpxPerSecond / plain.mpxPerSecond).toFixed(2),
      "kernel Gbit/s": kernel.gbitPerSecond.toFixed(2),
      checksum:
        plain.checksum === kernel.checksum ? plain.checksum : `${plain.checksum} IS NOT ${kernel.checksum}`,
    })),
  );
  process.exitCode = rows.every(({ plain, kernel }) => plain.checksum === kernel.checksum) ? 0 : 1;
}
