/**
 * How fast the plain parser turns bytes into pixels, without sockets: million pixels a second for each way of sending,
 * and a checksum of the canvas that the work left. `bun bench/micro/pixelflut-parser.bench.ts [pixels]`.
 */
import { createFramebuffer, type Framebuffer } from "../../server/framebuffer.ts";
import type { ProtocolOptions, StatsReply } from "../../server/pixelflut-parser.ts";
import { seededRandom } from "../../server/pixelflut-properties.ts";
import { PlainParser } from "../../server/plain-parser.ts";

/** What a client sends. */
export const PARSER_LOADS = [
  "ordered 6",
  "shuffled 6",
  "shuffled 8, ff",
  "shuffled 8, blended",
  "PB",
  "PXMULTI",
  "PX get",
] as const;
export type ParserLoad = (typeof PARSER_LOADS)[number];

/** One row of the result. */
export interface ParserFigures {
  readonly load: ParserLoad;
  /** Median over the rounds: millions of commands a second, gigabits a second. */
  readonly mpxPerSecond: number;
  readonly gbitPerSecond: number;
  /** CRC-32 of the canvas afterwards: the same for every correct parser. */
  readonly checksum: string;
}

const WIDTH = 1280;
const HEIGHT = 720;
/** Bytes of a read, as `Bun.listen` hands them out under load. */
const READ_BYTES = 256 * 1024;
const PROTOCOL: ProtocolOptions = { alpha: "blend", outsideGets: "silent", isStrict: false };

/** Runs every load `rounds` times in turn, `pixels` commands each. */
export function benchPixelflutParser({
  pixels,
  rounds,
}: {
  readonly pixels: number;
  readonly rounds: number;
}): ParserFigures[] {
  const inputs = PARSER_LOADS.map((load) => ({ load, bytes: makeInput(load, pixels) }));
  const times = inputs.map((): number[] => []);
  const checksums = inputs.map(() => "");
  for (let round = 0; round < rounds; round += 1) {
    inputs.forEach(({ bytes }, index) => {
      const framebuffer = createFramebuffer({ width: WIDTH, height: HEIGHT });
      const startMs = performance.now();
      parseAll(framebuffer, bytes);
      times[index]?.push(performance.now() - startMs);
      checksums[index] = Bun.hash.crc32(framebuffer.bytes.slice()).toString(16).padStart(8, "0");
    });
  }
  return inputs.map(({ load, bytes }, index) => {
    const seconds = median(times[index] ?? []) / 1000;
    return {
      load,
      mpxPerSecond: pixels / seconds / 1e6,
      gbitPerSecond: (bytes.length * 8) / seconds / 1e9,
      checksum: checksums[index] ?? "",
    };
  });
}

function parseAll(framebuffer: Framebuffer, bytes: Uint8Array): void {
  const [counters] = framebuffer.counters;
  if (counters === undefined) throw new RangeError("A framebuffer has counters");
  const parser = new PlainParser({ framebuffer, counters, protocol: PROTOCOL, readStats });
  const state = parser.open();
  for (let start = 0; start < bytes.length;) {
    start += parser.parse(state, bytes.subarray(start, start + READ_BYTES), 0);
    parser.replies.clear();
  }
}

/** The loads have no STATS. */
function readStats(): StatsReply {
  return { pixels: 0, connections: 1 };
}

function makeInput(load: ParserLoad, pixels: number): Uint8Array {
  const random = seededRandom(7);
  const places = Array.from({ length: pixels }, (_, index) =>
    load === "ordered 6" ? index % (WIDTH * HEIGHT) : random(WIDTH * HEIGHT),
  );
  if (load === "PXMULTI") return makeMulti(pixels, random);
  if (load === "PB") return makeBinary(places, random);
  const lines = places.map((place) => {
    const at = `PX ${place % WIDTH} ${Math.floor(place / WIDTH)}`;
    if (load === "PX get") return `${at}\n`;
    const alpha =
      { "shuffled 8, ff": "ff", "shuffled 8, blended": hex(random(256), 2) }[load as string] ?? "";
    return `${at} ${hex(random(0x100_0000), 6)}${alpha}\n`;
  });
  return new TextEncoder().encode(lines.join(""));
}

function makeBinary(places: readonly number[], random: (limit: number) => number): Uint8Array {
  const bytes = new Uint8Array(places.length * 10);
  const view = new DataView(bytes.buffer);
  places.forEach((place, index) => {
    bytes.set([0x50, 0x42], index * 10);
    view.setUint16(index * 10 + 2, place % WIDTH, true);
    view.setUint16(index * 10 + 4, Math.floor(place / WIDTH), true);
    view.setUint32(index * 10 + 6, (0xff00_0000 | random(0x100_0000)) >>> 0, true);
  });
  return bytes;
}

/** Rows of PXMULTI, each a command. */
function makeMulti(pixels: number, random: (limit: number) => number): Uint8Array {
  const commands: Uint8Array[] = [];
  for (let sent = 0; sent < pixels; sent += WIDTH) {
    const count = Math.min(WIDTH, pixels - sent);
    const bytes = new Uint8Array(15 + count * 4);
    const view = new DataView(bytes.buffer);
    bytes.set(new TextEncoder().encode("PXMULTI"));
    view.setUint16(9, (sent / WIDTH) % HEIGHT, true);
    view.setUint32(11, count, true);
    for (let index = 0; index < count; index += 1) view.setUint32(15 + index * 4, random(0x100_0000), true);
    commands.push(bytes);
  }
  return Buffer.concat(commands);
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

if (import.meta.main) {
  const pixels = Number(process.argv[2] ?? 2_000_000);
  console.table(
    benchPixelflutParser({ pixels, rounds: 5 }).map(({ load, mpxPerSecond, gbitPerSecond, checksum }) => ({
      load,
      "Mpx/s": mpxPerSecond.toFixed(1),
      "Gbit/s": gbitPerSecond.toFixed(2),
      checksum,
    })),
  );
}
