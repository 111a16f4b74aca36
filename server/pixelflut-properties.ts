/**
 * The cases of the Pixelflut table that are rules over many inputs rather than one input (`property-*`), as checks
 * that any parser can be run against. Inputs are drawn from a fixed seed.
 */
import assert from "node:assert/strict";
import { createRandomBelow } from "#common/random.ts";
import { colourAt, type PixelflutSubject, type SubjectFactory } from "./pixelflut-cases.ts";

const encoder = new TextEncoder();
const WIDTH = 640;
const HEIGHT = 480;
const BLACK = 0xff00_0000;

/** A rule by the name that it has in the table. */
export interface PixelflutProperty {
  readonly name: string;
  /** Throws an assertion error where the subject breaks the rule. */
  readonly check: (create: SubjectFactory) => void;
}

/** All of them. */
export const PIXELFLUT_PROPERTIES: readonly PixelflutProperty[] = [
  { name: "property-whole-canvas-pxmulti", check: checkWholeCanvas },
  { name: "property-pxmulti-huge-length", check: checkHugeLength },
  { name: "property-drawing-rect", check: checkRectangles },
  { name: "property-line-of-1-MiB", check: checkLongLine },
  { name: "property-gray-all-values", check: checkGrey },
  { name: "property-all-channel-values", check: checkRandomColours },
  { name: "property-alpha-exhaustive", check: checkAlpha },
  { name: "random-segments", check: checkRandomSegments },
];

/** Sends `text` as one read to a new connection and returns the replies. */
function say(subject: PixelflutSubject, text: string): string {
  const connection = subject.connect();
  connection.send(encoder.encode(text));
  return connection.takeReplies();
}

function checkWholeCanvas(create: SubjectFactory): void {
  const random = createRandomBelow(1);
  const count = WIDTH * HEIGHT;
  const bytes = new Uint8Array(15 + count * 4);
  const view = new DataView(bytes.buffer);
  bytes.set(encoder.encode("PXMULTI"));
  view.setUint32(11, count, true);
  for (let index = 0; index < count; index += 1) view.setUint32(15 + index * 4, index << 8);
  for (const segmentBytesMax of [bytes.length, 3_000, 7]) {
    const subject = create({ width: WIDTH, height: HEIGHT, alpha: "blend" });
    const connection = subject.connect();
    for (let position = 0; position < bytes.length;) {
      const length = segmentBytesMax === bytes.length ? bytes.length : 1 + random(segmentBytesMax);
      connection.send(bytes.subarray(position, position + length));
      position += length;
    }
    for (let index = 0; index < count; index += 997) {
      const [x, y] = [index % WIDTH, Math.floor(index / WIDTH)];
      connection.send(encoder.encode(`PX ${x} ${y}\n`));
      assert.equal(connection.takeReplies(), `PX ${x} ${y} ${index.toString(16).padStart(6, "0")}\n`);
    }
    const wrong = subject.pixels.findIndex(
      (word, index) => word !== (BLACK | (index >> 16) | (index & 0xff00) | ((index & 0xff) << 16)) >>> 0,
    );
    assert.equal(wrong, -1, `segments of up to ${segmentBytesMax} bytes`);
  }
}

function checkHugeLength(create: SubjectFactory): void {
  const subject = create({ width: WIDTH, height: HEIGHT, alpha: "blend" });
  const connection = subject.connect();
  connection.send(new Uint8Array([...encoder.encode("PXMULTI"), 0, 0, 0, 0, 255, 255, 255, 255]));
  const garbage = new Uint8Array(1 << 20).fill(0x41);
  for (let sent = 0; sent < 64; sent += 1) connection.send(garbage);
  assert.equal(connection.takeReplies(), "");
  assert.equal(
    subject.pixels.findIndex((word) => word !== BLACK),
    -1,
  );
}

/** Width, height and place of the rectangles that breakwater's tests draw. */
const RECTANGLES = [
  [5, 5, 0, 0],
  [10, 10, 0, 0],
  [10, 10, 100, 200],
  [10, 10, 510, 520],
  [100, 100, 300, 400],
  [479, 361, 721, 391],
  [500, 500, 300, 400],
  [10, 10, 635, 475],
] as const;

function checkRectangles(create: SubjectFactory): void {
  for (const [width, height, left, top] of RECTANGLES) {
    const subject = create({ width: WIDTH, height: HEIGHT, alpha: "ignore" });
    let sets = "";
    let gets = "";
    let expected = "";
    const places = new Set<number>();
    for (let y = top; y < Math.min(top + height, HEIGHT); y += 1) {
      for (let x = left; x < Math.min(left + width, WIDTH); x += 1) {
        const colour = (0x0a_0000 + x * 977 + y).toString(16).padStart(6, "0");
        sets += `PX ${x} ${y} ${colour}\n`;
        gets += `PX ${x} ${y}\n`;
        expected += `PX ${x} ${y} ${colour}\n`;
        places.add(y * WIDTH + x);
      }
    }
    assert.equal(say(subject, sets + gets), expected);
    const stray = subject.pixels.findIndex((word, index) => word !== BLACK && !places.has(index));
    assert.equal(stray, -1);
  }
}

function checkLongLine(create: SubjectFactory): void {
  const subject = create({ width: WIDTH, height: HEIGHT, alpha: "blend" });
  const connection = subject.connect();
  const piece = new Uint8Array(4_096).fill(0x41);
  for (let sent = 0; sent < 256; sent += 1) connection.send(piece);
  connection.send(encoder.encode("\nPX 3 3 010203\n"));
  assert.equal(colourAt(subject, 3, 3), "010203");
}

function checkGrey(create: SubjectFactory): void {
  const subject = create({ width: WIDTH, height: HEIGHT, alpha: "blend" });
  for (let value = 0; value < 256; value += 1) {
    const lower = value.toString(16).padStart(2, "0");
    for (const grey of [lower, lower.toUpperCase()]) {
      say(subject, `PX 1 1 808182\nPX 1 1 ${grey}\n`);
      assert.equal(colourAt(subject, 1, 1), lower.repeat(3));
    }
  }
}

function checkRandomColours(create: SubjectFactory): void {
  const random = createRandomBelow(2);
  const subject = create({ width: WIDTH, height: HEIGHT, alpha: "blend" });
  let text = "";
  let expected = "";
  for (let count = 0; count < 10_000; count += 1) {
    const colour = random(0x100_0000).toString(16).padStart(6, "0");
    const mixed = colour.replace(/[a-f]/g, (digit) => (random(2) === 0 ? digit : digit.toUpperCase()));
    const [x, y] = [random(WIDTH), random(HEIGHT)];
    text += `PX ${x} ${y} ${mixed}\nPX ${x} ${y}\n`;
    expected += `PX ${x} ${y} ${colour}\n`;
  }
  assert.equal(say(subject, text), expected);
}

function checkAlpha(create: SubjectFactory): void {
  const random = createRandomBelow(3);
  const subject = create({ width: WIDTH, height: HEIGHT, alpha: "blend" });
  const values = [0, 1, 2, 127, 128, 254, 255, ...Array.from({ length: 6 }, () => random(256))];
  let text = "";
  const expected: number[] = [];
  for (let alpha = 0; alpha < 256; alpha += 1) {
    for (const below of values) {
      for (const source of values) {
        const place = expected.length;
        const at = `PX ${place % WIDTH} ${Math.floor(place / WIDTH)}`;
        const over = [source, alpha].map((value) => value.toString(16).padStart(2, "0"));
        text += `${at} ${below.toString(16).padStart(2, "0")}\n${at} ${over[0]}${over[0]}${over[0]}${over[1]}\n`;
        expected.push(alpha === 0 ? below : Math.floor((alpha * source + (255 - alpha) * below) / 255));
      }
    }
  }
  say(subject, text);
  const wrong = expected.findIndex(
    (grey, place) => subject.pixels[place] !== (BLACK | (grey * 0x01_0101)) >>> 0,
  );
  assert.equal(wrong, -1);
}

/** Pieces of a made-up stream: commands of all kinds, wrong ones, and what lies at the limits. */
const PIECES: readonly string[] = [
  "PX 1 2 a0b1c2\n",
  "PX 600 400 a0b1c2d3\n",
  "PX  7\t8 ff \r\n",
  "PX 1 2\n",
  "PX 639 479\n",
  "PX 640 1 ffffff\n",
  "PX -1 1 ffffff\n",
  "PX 99999999999999999999 0\n",
  "OFFSET -3 5\n",
  "OFFSET 3\n",
  "OFFSET 0 0\n",
  "SIZE",
  " \tSIZE\n",
  "STATS\n",
  "STATS 1\n",
  "PB\x01\x00\x02\x00\x10\x20\x30\x40",
  "PB\n\n\n\n\n\n\n\n",
  "PXMULTI\x05\x00\x06\x00\x02\x00\x00\x00PX 1SIZE",
  "PXMULTI\xff\xff\x06\x00\x01\x00\x00\x00\n\n\n\n",
  "PXM\n",
  "\n\r\n  \r\n",
  "GET / HTTP/1.1\n",
  "garbage PX 1 1 ffffff\n",
  `PX 1 ${" ".repeat(1_000)}1 ffffff\n`,
  `PX 1 ${" ".repeat(1_009)}1 0000ff\n`,
  `PX 1 ${" ".repeat(1_010)}1 00ff00\n`,
  `${" ".repeat(1_020)}SIZE\n`,
  `${" ".repeat(1_021)}SIZE\n`,
  `${"A".repeat(3_000)}\n`,
];

function checkRandomSegments(create: SubjectFactory): void {
  const random = createRandomBelow(4);
  const whole = create({ width: WIDTH, height: HEIGHT, alpha: "blend" });
  const cut = create({ width: WIDTH, height: HEIGHT, alpha: "blend" });
  for (let round = 0; round < 200; round += 1) {
    const text = `\n${Array.from({ length: 40 }, () => PIECES[random(PIECES.length)] ?? "").join("")}`;
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    for (const { pixels } of [whole, cut]) pixels.fill(BLACK);
    const first = whole.connect();
    first.send(bytes);
    const second = cut.connect();
    const segmentBytesMax = [3, 40, 1_500][round % 3] ?? 1;
    for (let position = 0; position < bytes.length;) {
      const length = 1 + random(segmentBytesMax);
      second.send(bytes.subarray(position, position + length));
      position += length;
    }
    assert.equal(second.takeReplies(), first.takeReplies(), `replies of round ${round}`);
    assert.equal(Buffer.compare(asBytes(cut), asBytes(whole)), 0, `canvas of round ${round}`);
  }
}

function asBytes({ pixels }: PixelflutSubject): Uint8Array {
  return new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength);
}
