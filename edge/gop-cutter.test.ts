/** Cutting a transport stream at key frames, and the marks that make a gap legal. */
import { describe, expect, test } from "bun:test";
import { countContinuityErrors, FakeTransportStream, VIDEO_PID } from "./fake-transport-stream.ts";
import { GopCutter, type Block } from "./gop-cutter.ts";
import { discontinuityPackets, isRepeat, PACKET_BYTES, pidAt } from "./ts-packets.ts";

function cut(bytes: Uint8Array, chunkBytes: number): Block[] {
  const blocks: Block[] = [];
  const cutter = new GopCutter((block) => blocks.push(block));
  for (let at = 0; at < bytes.length; at += chunkBytes) cutter.push(bytes.slice(at, at + chunkBytes));
  cutter.flush();
  return blocks;
}

describe("GopCutter", () => {
  test.each([1, 100, 188, 1_316, 1_000_000])(
    "keeps every packet and finds every start in chunks of %d",
    (size) => {
      const stream = new FakeTransportStream();
      const gops = [stream.gop(), stream.gop(), stream.gop()];
      const blocks = cut(Buffer.concat(gops), size);
      expect(Buffer.concat(blocks.map(({ bytes }) => bytes))).toEqual(Buffer.concat(gops));
      const starts = blocks.filter(({ isGopStart }) => isGopStart);
      expect(starts.map(({ startPts }) => startPts)).toEqual([90_000, 120_000, 150_000]);
      expect(starts.map(({ bytes }) => [pidAt(bytes, 0), pidAt(bytes, PACKET_BYTES)])).toEqual([
        [0, 0x1000],
        [0, 0x1000],
        [0, 0x1000],
      ]);
      expect(starts.every(({ tables }) => tables.length === 0)).toBe(true);
    },
  );

  test("brings the tables along where the stream has none at a start", () => {
    const stream = new FakeTransportStream();
    const blocks = cut(Buffer.concat([stream.gop(), stream.gop(10, 5, false)]), 500);
    const second = blocks.find(({ startPts }) => startPts === 120_000);
    expect([second?.tables.length, pidAt(second?.bytes ?? new Uint8Array(), 0)]).toEqual([376, VIDEO_PID]);
  });

  test("brings both tables along where only one of them is at a start", () => {
    const stream = new FakeTransportStream();
    const [one, two] = [stream.gop(), stream.gop()];
    // PAT in front, PMT behind the key frame.
    const pmt = two.slice(PACKET_BYTES, 2 * PACKET_BYTES);
    const parted = Buffer.concat([two.subarray(0, PACKET_BYTES), two.subarray(2 * PACKET_BYTES), pmt]);
    const blocks = cut(Buffer.concat([one, parted]), 500);
    const { tables = new Uint8Array(0) } = blocks.find(({ startPts }) => startPts === 120_000) ?? {};
    expect([tables.length, pidAt(tables, 0), pidAt(tables, PACKET_BYTES)]).toEqual([376, 0, 0x1000]);
    expect(Buffer.concat(blocks.map(({ bytes }) => bytes))).toEqual(Buffer.concat([one, parted]));
  });

  test("finds packets again behind garbage", () => {
    const stream = new FakeTransportStream();
    const blocks = cut(Buffer.concat([Buffer.from("\x47garbage"), stream.gop(), stream.gop()]), 333);
    expect(blocks.filter(({ isGopStart }) => isGopStart).length).toBe(2);
  });

  test("flush() leaves tables with the picture that they belong to", () => {
    const stream = new FakeTransportStream();
    const blocks: Block[] = [];
    const cutter = new GopCutter((block) => blocks.push(block));
    const [first, second] = [stream.gop(), stream.gop()];
    cutter.push(Buffer.concat([first, second.subarray(0, 2 * PACKET_BYTES)]));
    cutter.flush();
    cutter.push(second.subarray(2 * PACKET_BYTES));
    cutter.flush();
    expect(blocks.map(({ bytes }) => bytes.length)).toEqual([first.length, second.length]);
  });
});

test("discontinuityPackets() makes a gap legal for every stream in it", () => {
  const stream = new FakeTransportStream();
  const [first, , third] = [stream.gop(10, 5), stream.gop(7, 3), stream.gop(10, 5)];
  if (third === undefined || first === undefined) throw new Error("three groups were made");
  expect(countContinuityErrors(Buffer.concat([first, third])).errors).toBeGreaterThan(0);
  const joined = Buffer.concat([first, discontinuityPackets(third), third]);
  expect(countContinuityErrors(joined)).toEqual({ errors: 0, marked: 3 });
});

test("isRepeat() tells pictures seen from pictures to come, across the wrap", () => {
  const wrap = 2 ** 33;
  const cases = [
    [100, 100, true],
    [3_100, 100, false],
    [100, 3_100, true],
    [500, wrap - 500, false],
    [wrap - 500, 500, true],
    [0, 60 * 90_000, false],
  ] as const;
  for (const [pts, last, expected] of cases)
    expect([pts, last, isRepeat(pts, last, 30 * 90_000)]).toEqual([pts, last, expected]);
});
