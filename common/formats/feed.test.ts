/** The feed: round trips, cuts at every byte, and refusal of what is no feed. */
import { describe, expect, test } from "bun:test";
import { encodeFeedFigures, encodeFeedFrame, encodeFeedHeader, FeedReader } from "#common/formats/feed.ts";
import {
  type CanvasFigures,
  type EncodedFrame,
  evenTimes,
  evenTimescale,
  type Run,
} from "#common/formats/frame.ts";
import { FeedFormatError, wrapBox } from "#common/formats/mp4-boxes.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { createRandomBelow } from "#common/random.ts";

const AVC_C = Uint8Array.fromHex(
  "0164001fffe1001c6764001facb402802dd350101014000003000400000300f23c60ca8001000468ef3cb0fdf8f800",
);
const RUN: Run = {
  id: "0123abcd",
  ordinal: 1_795_230_000,
  // Past 2^32, as a number counted since 1970 is.
  startFrame: 60 * 897_615_000,
  startTimeMs: 1_795_230_000_123.25,
  fps: 30,
  timescale: evenTimescale(30),
  renditions: [
    { trackId: 1, name: "720p", width: 1280, height: 720, bitsPerSecondMax: 6_000_000, avcC: AVC_C },
    { trackId: 2, name: "360p", width: 640, height: 360, bitsPerSecondMax: 800_000, avcC: AVC_C },
  ],
};
const FIGURES: CanvasFigures = {
  timeMs: 1_795_230_001_000.5,
  pixels: 2 ** 50,
  bytes: 3,
  connections: 4,
  pixelsPerSecond: 5,
  bitsPerSecond: 6,
  pixelflutPort: 1234,
};

/** The same bytes for the same seed. */
function randomBytes(length: number, seed: number): Uint8Array {
  const random = createRandomBelow(seed);
  return Uint8Array.from({ length }, () => random(256));
}

function frame(index: number, trackId = 1): EncodedFrame {
  return {
    trackId,
    number: RUN.startFrame + index,
    captureTimeMs: RUN.startTimeMs + (index * 1000) / RUN.fps,
    isKey: index % RUN.fps === 0,
    ...evenTimes(index),
    data: randomBytes(1 + ((index * 7919) % 3000), index + trackId),
  };
}

function read(chunks: Iterable<Uint8Array>): {
  runs: Run[];
  frames: EncodedFrame[];
  figures: CanvasFigures[];
  unreadableFigures: number;
} {
  const got = { runs: [] as Run[], frames: [] as EncodedFrame[], figures: [] as CanvasFigures[] };
  const reader = new FeedReader({
    onRun: (run) => got.runs.push(run),
    onFrame: (one) => got.frames.push(one),
    onFigures: (figures) => got.figures.push(figures),
  });
  for (const chunk of chunks) reader.push(chunk);
  return { ...got, unreadableFigures: reader.unreadableFigures };
}

/** NTP times are fractions of 2^-32 s, and pass through floating point. */
function withNearTimes(frames: readonly EncodedFrame[]): EncodedFrame[] {
  return frames.map((one) => ({ ...one, captureTimeMs: Math.round(one.captureTimeMs * 100) / 100 }));
}

const HEADER = encodeFeedHeader(RUN);
const KEY = encodeFeedFrame(RUN, frame(0));

describe("FeedReader.push()", () => {
  test("reads back run, frames of all tracks and figures", () => {
    const frames = Array.from({ length: 100 }, (_, index) => [frame(index, 1), frame(index, 2)]).flat();
    const bytes = [HEADER, encodeFeedFigures(FIGURES), ...frames.map((one) => encodeFeedFrame(RUN, one))];
    const got = read(bytes);
    expect(got.runs).toEqual([RUN]);
    expect(withNearTimes(got.frames)).toEqual(withNearTimes(frames));
    expect(got.figures).toEqual([FIGURES]);
  });

  test("finds the same at every two-way split and byte by byte", () => {
    const small = { ...frame(0), data: randomBytes(20, 1) };
    const feed = joinBytes([HEADER, encodeFeedFrame(RUN, small), encodeFeedFigures(FIGURES)]);
    const whole = read([feed]);
    expect(whole.frames.length).toBe(1);
    for (let at = 0; at <= feed.length; at++) {
      expect(read([feed.subarray(0, at), feed.subarray(at)])).toEqual(whole);
    }
    expect(read([...feed].map((byte) => Uint8Array.of(byte)))).toEqual(whole);
  });

  test("skips boxes that it does not know", () => {
    const others = [wrapBox("free", AVC_C), wrapBox("styp", AVC_C), wrapBox("uuid", randomBytes(40, 3))];
    expect(read([...others, HEADER, ...others, KEY]).frames.length).toBe(1);
  });

  test("keeps capture times of the next NTP era", () => {
    const captureTimeMs = Date.UTC(2040, 0, 1) + 0.25;
    const { frames } = read([HEADER, encodeFeedFrame(RUN, { ...frame(0), captureTimeMs })]);
    expect(frames[0]?.captureTimeMs).toBeCloseTo(captureTimeMs, 2);
  });

  test.each<[string, string]>([
    ["no JSON", "{"],
    ["no object", "null"],
    ["a field too few", JSON.stringify({ ...FIGURES, pixels: undefined })],
    ["a negative field", JSON.stringify({ ...FIGURES, pixels: -1 })],
  ])("counts figures that cannot be read (%s) and reads on", (_, message) => {
    const event = joinBytes([encodeFeedFigures(FIGURES)]);
    const text = JSON.stringify(FIGURES);
    const body = event.length - text.length;
    const broken = joinBytes([event.subarray(0, body), new TextEncoder().encode(message)]);
    new DataView(broken.buffer).setUint32(0, broken.length);
    const got = read([HEADER, broken, KEY, encodeFeedFigures(FIGURES)]);
    expect(got.frames.length).toBe(1);
    expect(got.figures).toEqual([FIGURES]);
    expect(got.unreadableFigures).toBe(1);
  });

  test.each<[string, readonly Uint8Array[]]>([
    ["bytes that are no boxes", [randomBytes(100, 5)]],
    ["HTML", [new TextEncoder().encode("<!doctype html><title>503</title>")]],
    ["a fragment before the header", [KEY]],
    ["a header without the run", [HEADER.subarray(28 + boxBytes(HEADER, 28))]],
    ["a second header", [HEADER, HEADER]],
    ["a track that begins without a key frame", [HEADER, encodeFeedFrame(RUN, frame(1))]],
    ["a number left out", [HEADER, KEY, encodeFeedFrame(RUN, frame(2))]],
    ["a number twice", [HEADER, KEY, KEY]],
    ["a number before the run", [HEADER, encodeFeedFrame(RUN, { ...frame(0), number: RUN.startFrame - 30 })]],
    ["an unknown track", [HEADER, encodeFeedFrame(RUN, frame(0, 3))]],
    ["a fragment without its capture time", [HEADER, KEY.subarray(boxBytes(KEY, 0))]],
    ["mdat of another length", [HEADER, KEY.subarray(0, KEY.length - 9), wrapBox("mdat", AVC_C)]],
    ["mdat alone", [HEADER, wrapBox("mdat", AVC_C)]],
    ["a second run of frames, of 2^32", [HEADER, withSecondRun(KEY)]],
    ["2^32 samples in the header", [withSamples(HEADER)]],
    ["a run that begins at no date", [encodeFeedHeader({ ...RUN, startTimeMs: 1e300 })]],
  ])("throws on %s", (_, chunks) => {
    expect(() => read([joinBytes(chunks)])).toThrow(FeedFormatError);
  });

  test("throws FeedFormatError or reads on, whatever single byte is wrong", () => {
    const small = encodeFeedFrame(RUN, { ...frame(0), data: randomBytes(8, 2) });
    const feed = joinBytes([HEADER, small, encodeFeedFigures(FIGURES)]);
    let refused = 0;
    for (let at = 0; at < feed.length; at++) {
      for (const flipped of [0x01, 0x80, 0xff]) {
        try {
          read([feed.with(at, (feed[at] ?? 0) ^ flipped)]);
        } catch (error) {
          expect(error).toBeInstanceOf(FeedFormatError);
          refused++;
        }
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});

test("encodeFeedFrame() adds 136 bytes to a frame", () => {
  expect(KEY.length - frame(0).data.length).toBe(136);
});

/** The fragment with another `traf`, whose `trun` is said to have as many frames as fit into 32 bits. */
function withSecondRun(fragment: Uint8Array): Uint8Array {
  const at = boxBytes(fragment, 0);
  const end = at + boxBytes(fragment, at);
  const counts = Uint8Array.of(0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);
  const moof = joinBytes([fragment.subarray(at + 8, end), wrapBox("traf", wrapBox("trun", counts))]);
  return joinBytes([fragment.subarray(0, at), wrapBox("moof", moof), fragment.subarray(end)]);
}

/** The header with as many samples of one byte as fit into 32 bits in each track. */
function withSamples(header: Uint8Array): Uint8Array {
  const edited = Buffer.from(header);
  for (let at = edited.indexOf("stsz"); at !== -1; at = edited.indexOf("stsz", at + 1)) {
    edited.writeUInt32BE(1, at + 8);
    edited.writeUInt32BE(0xffffffff, at + 12);
  }
  return new Uint8Array(edited);
}

function boxBytes(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
}
