/** What the parsers' benchmark sends: every way of painting that clients use, and what players do wrong. */
import { createRandomBelow } from "#common/random.ts";
import type { CanvasSize } from "../../server/framebuffer.ts";

export const PARSER_LOADS = [
  "ordered 6",
  "shuffled 6",
  "shuffled 8, ff",
  "shuffled 8, random alpha",
  "shuffled 6 and 8",
  "shuffled gg",
  "PB",
  "PB, random alpha",
  "PXMULTI",
  "PX get",
  "OFFSET, shuffled 6",
  "half outside",
  "double blanks",
  "CR LF",
  "1 % garbage",
  "1 % gets",
] as const;
export type ParserLoad = (typeof PARSER_LOADS)[number];

export interface ParserInputOptions extends CanvasSize {
  readonly commands: number;
}

/** The OFFSET of the load that has one. Below 0, so that the whole canvas is reached without a sign. */
const OFFSET = { x: -1_000, y: -500 };
/** Commands of which one is garbage or a get, in the loads that have some. */
const ONE_IN = 100;

type Random = (limit: number) => number;

/** One command of a load at a place of the canvas. */
type WriteLine = (place: { readonly x: number; readonly y: number }, random: Random) => string;

const LINES: Readonly<Partial<Record<ParserLoad, WriteLine>>> = {
  "shuffled 8, ff": ({ x, y }, random) => `PX ${x} ${y} ${colour(random)}ff\n`,
  "shuffled 8, random alpha": ({ x, y }, random) => `PX ${x} ${y} ${colour(random)}${hex(random(256), 2)}\n`,
  "shuffled 6 and 8": ({ x, y }, random) => `PX ${x} ${y} ${colour(random)}${random(2) === 0 ? "" : "ff"}\n`,
  "shuffled gg": ({ x, y }, random) => `PX ${x} ${y} ${hex(random(256), 2)}\n`,
  "PX get": ({ x, y }) => `PX ${x} ${y}\n`,
  "OFFSET, shuffled 6": ({ x, y }, random) => `PX ${x - OFFSET.x} ${y - OFFSET.y} ${colour(random)}\n`,
  "half outside": ({ x, y }, random) => `PX ${random(2) === 0 ? x : x + 2_000} ${y} ${colour(random)}\n`,
  "double blanks": ({ x, y }, random) => `PX ${x}  ${y}  ${colour(random)}\n`,
  "CR LF": ({ x, y }, random) => `PX ${x} ${y} ${colour(random)}\r\n`,
  "1 % garbage": ({ x, y }, random) =>
    random(ONE_IN) === 0 ? `px ${x},${y} ${colour(random)}\n` : `PX ${x} ${y} ${colour(random)}\n`,
  "1 % gets": ({ x, y }, random) =>
    random(ONE_IN) === 0 ? `PX ${x} ${y}\n` : `PX ${x} ${y} ${colour(random)}\n`,
};

/** The bytes of a load: the same whenever they are made. */
export function makeParserInput(load: ParserLoad, options: ParserInputOptions): Uint8Array {
  const { commands, width, height } = options;
  const random = createRandomBelow(7);
  if (load === "PXMULTI") return makeMulti(options, random);
  const isOrdered = load === "ordered 6";
  const places = Array.from({ length: commands }, (_, index) => {
    const place = isOrdered ? index % (width * height) : random(width * height);
    return { x: place % width, y: Math.floor(place / width) };
  });
  if (load === "PB") return makeBinary(places, () => (0xff00_0000 | random(0x100_0000)) >>> 0);
  if (load === "PB, random alpha") return makeBinary(places, () => random(2 ** 32));
  const writeLine = LINES[load] ?? (({ x, y }, random) => `PX ${x} ${y} ${colour(random)}\n`);
  const head = load.startsWith("OFFSET") ? `OFFSET ${OFFSET.x} ${OFFSET.y}\n` : "";
  return new TextEncoder().encode(head + places.map((place) => writeLine(place, random)).join(""));
}

function makeBinary(
  places: readonly { readonly x: number; readonly y: number }[],
  nextColour: () => number,
): Uint8Array {
  const bytes = new Uint8Array(places.length * 10);
  const view = new DataView(bytes.buffer);
  places.forEach(({ x, y }, index) => {
    bytes.set([0x50, 0x42], index * 10);
    view.setUint16(index * 10 + 2, x, true);
    view.setUint16(index * 10 + 4, y, true);
    view.setUint32(index * 10 + 6, nextColour(), true);
  });
  return bytes;
}

/** Rows of PXMULTI, each a command. */
function makeMulti({ commands, width, height }: ParserInputOptions, random: Random): Uint8Array {
  const rows: Uint8Array[] = [];
  for (let sent = 0; sent < commands; sent += width) {
    const count = Math.min(width, commands - sent);
    const bytes = new Uint8Array(15 + count * 4);
    const view = new DataView(bytes.buffer);
    bytes.set(new TextEncoder().encode("PXMULTI"));
    view.setUint16(9, (sent / width) % height, true);
    view.setUint32(11, count, true);
    for (let index = 0; index < count; index += 1) view.setUint32(15 + index * 4, random(0x100_0000), true);
    rows.push(bytes);
  }
  return Buffer.concat(rows);
}

function colour(random: Random): string {
  return hex(random(0x100_0000), 6);
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
