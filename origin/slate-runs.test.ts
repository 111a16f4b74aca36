/** The slate between the runs of a source without a grid: numbers and dates go on, and what it is made of decodes. */
import assert from "node:assert";
import { describe, expect, test } from "bun:test";
import { writeAvcConfig } from "#common/formats/annex-b.ts";
import { BitWriter } from "#common/formats/bit-writer.ts";
import { decodeH264 } from "#common/formats/fixtures/decode-h264.ts";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { type PlainSequence, plainSps } from "#common/formats/fixtures/plain-sps.ts";
import type { EncodedFrame, Rendition, Run } from "#common/formats/frame.ts";
import { readAvcConfig, splitNalUnits } from "#common/formats/h264.ts";
import { writePictureParameters } from "#common/formats/h264-writer.ts";
import { checkMediaText } from "../bench/hls-rules.ts";
import { readHlsDocument } from "../bench/hls-document.ts";
import { open, type Origin } from "./origin-fixture.ts";
import { SlateRun, SlateWriter } from "./slate-writer.ts";

const FPS = 30;
const FRAME_MS = 1000 / FPS;
const PLAYLISTS = ["64p/index.m3u8", "64p/ts.m3u8"];

/** A run of MPEG-TS whose groups of a second fill segments of two. */
function runAt(fields: Partial<Run> = {}): Run {
  return testsrcRun({ timescale: 90_000, offGrid: { targetDurationSeconds: 2, frameRate: FPS }, ...fields });
}

function frameOf(run: Run, index: number): EncodedFrame {
  return {
    ...testsrcFrame(run, index),
    decodeUnits: index * 3000,
    durationUnits: 3000,
    place: {
      segmentNumber: Math.floor(run.startFrame / 60) + Math.floor(index / 60),
      isSegmentEnd: index % 60 === 59,
      isGroupEnd: index % 30 === 29,
    },
  };
}

function live(origin: Origin, run: Run, from: number, to: number): void {
  for (let index = from; index < to; index++) {
    origin.slate.handlers.onFrame(frameOf(run, index));
    origin.clock.advance(FRAME_MS);
  }
}

/** Runs as they are listed, oldest first, and all else that must hold of a playlist. */
async function listedRuns(origin: Origin, path: string): Promise<string[]> {
  const text = await origin.text(path);
  expect({ text, findings: checkMediaText(readHlsDocument(text)) }).toEqual({ text, findings: [] });
  let endMs = 0;
  for (const [, date = "", seconds = ""] of text.matchAll(/DATE-TIME:(.*)(?:\n#.*)*?\n#EXTINF:([\d.]+)/g)) {
    expect(Date.parse(date)).toBeGreaterThanOrEqual(endMs - 1);
    endMs = Date.parse(date) + Number(seconds) * 1000;
  }
  const names = text.split("\n").filter((line) => /^[0-9a-f]{8}-/.test(line));
  for (const name of names) expect((await origin.get(`64p/${name}`)).status).toBe(200);
  const numbers = names.map((name) => Number(name.slice(9).split(/[-.]/)[0]));
  expect(numbers).toEqual(numbers.map((_, at) => (numbers[0] ?? 0) + at));
  return [...new Set(names.map((name) => name.slice(0, 8) + (name.includes("-s.") ? "-s" : "")))];
}

describe("SlateRuns", () => {
  test("8, 12, 13: a source that only paused goes on in another run, behind one of the slate", async () => {
    const origin = open();
    const run = runAt({
      id: "00000014",
      ordinal: 20,
      startFrame: 5000 * 60,
      startTimeMs: origin.clock.wallMs(),
    });
    origin.slate.handlers.onRun(run);
    live(origin, run, 0, 60);
    // Caught up, and lost for the first time.
    origin.clock.advance(4_000);
    live(origin, run, 60, 140);
    expect(origin.slate.isShowing).toBe(false);
    origin.clock.advance(3_100);
    expect(origin.slate.isShowing).toBe(true);
    // Not before a key frame.
    live(origin, run, 140, 150);
    expect(origin.slate.isShowing).toBe(true);
    live(origin, run, 150, 300);
    expect(origin.slate.isShowing).toBe(false);
    // For players that keep the parameter sets that they began with.
    const inits = await Promise.all(["14", "15", "16"].map((id) => origin.bytes(`64p/000000${id}-init.mp4`)));
    expect(inits.every((bytes) => bytes.length > 100 && Buffer.from(bytes).equals(inits[0] ?? bytes))).toBe(
      true,
    );
    for (const path of PLAYLISTS) {
      expect(await listedRuns(origin, path)).toEqual([
        "00000014",
        "00000015-s",
        "00000016",
        "00000017-s",
        "00000018",
      ]);
    }
  });
});

/** A rendition of 63 x 61 pixels of 4:4:4, as an encoder makes it that nobody told otherwise. */
function fullChromaRendition(): Rendition {
  const writer = new BitWriter();
  // High 4:4:4 Predictive, level 1.1, number 0; 4:4:4 in one plane, 8 bits, not lossless, no scaling lists.
  for (const byte of [244, 0, 11]) writer.bits(byte, 8);
  writer.unsigned(0);
  writer.unsigned(3);
  writer.bits(0, 1);
  writer.unsigned(0);
  writer.unsigned(0);
  writer.bits(0b00, 2);
  // As in the test picture; cropped by a pixel and by three.
  writer.unsigned(0);
  writer.unsigned(2);
  writer.unsigned(1);
  writer.bits(0, 1);
  writer.unsigned(3);
  writer.unsigned(3);
  writer.bits(0b111, 3);
  for (const pixels of [0, 1, 0, 3]) writer.unsigned(pixels);
  writer.bits(0, 1);
  const avcC = writeAvcConfig(writer.finish(0x67), [writePictureParameters(0, 0)]);
  assert(avcC !== undefined, "parameter sets make a configuration");
  return { trackId: 1, name: "64p", width: 63, height: 61, bitsPerSecondMax: 1_000_000, avcC };
}

describe("a source of 4:4:4, which the slate shares no parameter sets with", () => {
  test("8, 12, 13: has a slate between its runs all the same", async () => {
    const origin = open();
    const run = runAt({
      id: "00000014",
      ordinal: 20,
      startFrame: 5000 * 60,
      startTimeMs: origin.clock.wallMs(),
      renditions: [fullChromaRendition()],
    });
    origin.slate.handlers.onRun(run);
    live(origin, run, 0, 60);
    origin.clock.advance(4_000);
    expect(origin.slate.isShowing).toBe(true);
    live(origin, run, 60, 180);
    expect(origin.slate.isShowing).toBe(false);
    for (const path of PLAYLISTS) {
      expect(await listedRuns(origin, path)).toEqual(["00000014", "00000015-s", "00000016"]);
    }
    const inits = await Promise.all(["14", "15", "16"].map((id) => origin.bytes(`64p/000000${id}-init.mp4`)));
    const profiles = inits.map((bytes) => bytes[Buffer.from(bytes).indexOf("avcC") + 5]);
    expect(profiles).toEqual([244, 66, 244]);
  });

  test("SlateWriter.openApart() has pictures of its size that decode", async () => {
    const rendition = fullChromaRendition();
    expect(SlateWriter.open(rendition, { continues: false })).toBeUndefined();
    const writer = SlateWriter.openApart(rendition);
    const slate = writer && new SlateRun(runAt(), writer, 0);
    const config = readAvcConfig(writer?.rendition.avcC ?? new Uint8Array());
    const units = [...(config?.sequenceParameterSets ?? []), ...(config?.pictureParameterSets ?? [])];
    for (let index = 0; index < 40; index++) {
      units.push(...(splitNalUnits(slate?.next().data ?? new Uint8Array()) ?? []));
    }
    expect((await decodeH264(units)).length).toBe(40 * 64 * 62 * 1.5);
  });
});

/** A rendition of 64 x 64 pixels whose parameter sets are written for it. */
function plainRendition(fields: Pick<PlainSequence, "hiddenMacroblocks">): Rendition {
  const { sps } = plainSps({ width: 64, height: 64, ...fields });
  const avcC = writeAvcConfig(sps, [writePictureParameters(0, 0)]);
  assert(avcC !== undefined, "parameter sets make a configuration");
  return { trackId: 1, name: "64p", width: 64, height: 64, bitsPerSecondMax: 1_000_000, avcC };
}

test("SlateWriter.picture() looks the same where the encoder's frames are wider than what is shown", async () => {
  const [plain, cropped] = await Promise.all(
    [0, 2].map(async (hiddenMacroblocks) => {
      const writer = SlateWriter.open(plainRendition({ hiddenMacroblocks }), { continues: true });
      const words = { what: "THE SOURCE", sinceMs: 0 };
      const config = readAvcConfig(writer?.rendition.avcC ?? new Uint8Array());
      const units = [...(config?.sequenceParameterSets ?? []), ...(config?.pictureParameterSets ?? [])];
      units.push(...(splitNalUnits(writer?.picture(0, words) ?? new Uint8Array()) ?? []));
      return Buffer.from(await decodeH264(units));
    }),
  );
  expect(plain?.length).toBe(64 * 64 * 1.5);
  expect(cropped?.equals(plain ?? Buffer.alloc(0))).toBe(true);
});

test("SlateRun.next() decodes, under the parameter sets of the source", async () => {
  const run = runAt({ startFrame: 600 });
  const [rendition] = run.renditions;
  const writer = rendition && SlateWriter.open(rendition, { continues: false });
  const slate = writer && new SlateRun(run, writer, Date.UTC(2026, 0, 1, 12, 34));
  const frames = Array.from({ length: 70 }, () => slate?.next());
  const config = readAvcConfig(slate?.run.renditions[0]?.avcC ?? new Uint8Array());
  const units = [...(config?.sequenceParameterSets ?? []), ...(config?.pictureParameterSets ?? [])];
  for (const frame of frames) units.push(...(splitNalUnits(frame?.data ?? new Uint8Array()) ?? []));
  const pictures = await decodeH264(units);
  expect(pictures.length).toBe(70 * 64 * 64 * 1.5);
  expect(Buffer.from(pictures.subarray(0, 6144)).equals(pictures.subarray(69 * 6144))).toBe(true);
  expect(frames.map((frame) => frame?.isKey)).toEqual(frames.map((_, index) => index % 30 === 0));
  expect(frames.map((frame) => frame?.place.segmentNumber)).toEqual(
    frames.map((_, index) => 10 + Math.floor(index / 60)),
  );
});
