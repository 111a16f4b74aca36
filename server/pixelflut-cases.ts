/**
 * The case table of Pixelflut (`pixelflut-cases.jsonl`) as code that any parser can be run against: whole, one byte
 * a read, and cut in two at every position. Each run must leave the same replies, pixels and nothing else.
 */
import assert from "node:assert/strict";
import { OPAQUE } from "./framebuffer.ts";
import type { ProtocolOptions } from "./pixelflut-parser.ts";

/** One line of the table. */
export interface PixelflutCase {
  readonly name: string;
  /** Canvas, in pixels. */
  readonly width: number;
  readonly height: number;
  /** What the client sends. */
  readonly bytes: Uint8Array;
  /** What comes back; `<HELP>` stands for the whole help text. */
  readonly expectReply: string;
  /** Pixels afterwards: `[x, y, "rrggbb"]`. */
  readonly thenRead: readonly (readonly [number, number, string])[];
  /** The alpha modes in which the case holds. */
  readonly alphas: readonly ProtocolOptions["alpha"][];
  /** Offsets at which the client's segments end, where the case asks for some. */
  readonly splitAt: readonly number[];
  /** True where the client sends FIN right after its bytes. */
  readonly halfClose: boolean;
  /** False where `bytes` is only what a rule repeats or continues ({@link BUILDING_BLOCKS}). */
  readonly isComplete: boolean;
}

/** Cases whose bytes alone show nothing: `pixelflut-properties.ts` and the tests over sockets check their rules. */
const BUILDING_BLOCKS: ReadonlySet<string> = new Set([
  "property-line-of-1-MiB",
  "property-reads-never-drained",
  "property-disconnect-anywhere",
]);

/** A server under test, with one canvas. */
export interface PixelflutSubject {
  readonly width: number;
  readonly height: number;
  /** The canvas's words, to be read and reset. */
  readonly pixels: Uint32Array<ArrayBufferLike>;
  /** The help text. */
  readonly help: string;
  /** A new connection. */
  connect(): SubjectConnection;
}

export interface SubjectConnection {
  /** One read of the server. */
  send(bytes: Uint8Array): void;
  /** All replies since the last call. */
  takeReplies(): string;
}

/** Makes a subject with a black canvas. */
export type SubjectFactory = (options: {
  readonly width: number;
  readonly height: number;
  readonly alpha: ProtocolOptions["alpha"];
}) => PixelflutSubject;

const BLACK = OPAQUE >>> 0;

/** The table, read from the file beside this one. */
export async function loadPixelflutCases(): Promise<readonly PixelflutCase[]> {
  const text = await Bun.file(new URL("pixelflut-cases.jsonl", import.meta.url)).text();
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => readCase(JSON.parse(line)));
}

/** A line of the file as it is written there. */
interface CaseLine {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly send_base64: string;
  readonly expect_reply: string;
  readonly then_read: Readonly<Record<string, string>>;
  readonly config?: { readonly alpha?: ProtocolOptions["alpha"] };
  readonly split_at?: readonly number[];
  readonly half_close?: boolean;
}

function readCase(line: CaseLine): PixelflutCase {
  const alpha = line.config?.alpha;
  return {
    name: line.name,
    width: line.width,
    height: line.height,
    bytes: Uint8Array.fromBase64(line.send_base64),
    expectReply: line.expect_reply,
    thenRead: Object.entries(line.then_read).map(([place, colour]) => {
      const [x = 0, y = 0] = place.split(",").map(Number);
      return [x, y, colour] as const;
    }),
    alphas: alpha === undefined ? ["blend", "ignore"] : [alpha],
    splitAt: line.split_at ?? [],
    halfClose: line.half_close ?? false,
    isComplete: !BUILDING_BLOCKS.has(line.name),
  };
}

/**
 * Runs one case against a subject in all three ways. Throws an assertion error that names the way which failed.
 *
 * @returns how many runs there were
 */
export function checkCase(subject: PixelflutSubject, testCase: PixelflutCase): number {
  const { bytes } = testCase;
  const expected = testCase.expectReply.replaceAll("<HELP>", subject.help);
  const whole = runCase(subject, [bytes]);
  assert.equal(whole.replies, expected, "replies, whole");
  for (const [x, y, colour] of testCase.thenRead) {
    assert.equal(colourAt(subject, x, y), colour, `pixel ${x},${y}, whole`);
  }
  const touched = [...subject.pixels.keys()].filter((index) => subject.pixels[index] !== BLACK);
  const colours = touched.map((index) => subject.pixels[index]);

  function check(segments: readonly Uint8Array[], way: string): void {
    const { replies } = runCase(subject, segments);
    assert.equal(replies, expected, `replies, ${way}`);
    // One comparison a pixel rather than one of a list a run: there are many runs.
    touched.forEach((index, at) => {
      if (subject.pixels[index] !== colours[at]) assert.fail(`pixel number ${index}, ${way}`);
      subject.pixels[index] = BLACK;
    });
  }

  for (const index of touched) subject.pixels[index] = BLACK;
  check(
    Array.from(bytes, (_, index) => bytes.subarray(index, index + 1)),
    "one byte a read",
  );
  for (let cut = 1; cut < bytes.length; cut += 1) {
    check([bytes.subarray(0, cut), bytes.subarray(cut)], `cut at ${cut}`);
  }
  // Whatever any run painted beside the pixels that it should is still there.
  assert.equal(
    subject.pixels.findIndex((word) => word !== BLACK),
    -1,
    "no run paints elsewhere",
  );
  return 2 + Math.max(0, bytes.length - 1);
}

function runCase(subject: PixelflutSubject, segments: readonly Uint8Array[]): { readonly replies: string } {
  const connection = subject.connect();
  for (const segment of segments) connection.send(segment);
  return { replies: connection.takeReplies() };
}

/** The colour of a pixel as the protocol writes it. */
export function colourAt(subject: PixelflutSubject, x: number, y: number): string {
  const word = subject.pixels[y * subject.width + x] ?? BLACK;
  return [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff]
    .map((channel) => channel.toString(16).padStart(2, "0"))
    .join("");
}
