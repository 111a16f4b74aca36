/** Time stamps that go forward whatever becomes of the source. */
import { describe, expect, test } from "bun:test";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { createTsMuxer } from "#common/formats/mpegts.ts";
import { TICKS_PER_SECOND, TICKS_WRAP } from "#common/units.ts";
import { PACKET_BYTES, shiftTimes } from "./ts-packets.ts";
import { TsTimeline } from "./ts-timeline.ts";

const run = testsrcRun();
const [rendition] = run.renditions;
if (rendition === undefined) throw new Error("the test picture has a rendition");
const picture = rendition;

/** Packets of 30 frames with clock references, presentation and decoding times, from `startTicks` on. */
function mux(startTicks: number): Uint8Array {
  const muxer = createTsMuxer({ rendition: picture, fps: 30 });
  const frames = Array.from({ length: 30 }, (_, index) => {
    const { isKey, data } = testsrcFrame(run, index);
    const times = {
      decodeTicks: startTicks + index * 12_000,
      durationTicks: 12_000,
      compositionTicks: (index % 3) * 3_000,
      isGroupEnd: false,
    };
    return muxer.muxFrame({ index, isKey, data, times });
  });
  return joinBytes(frames);
}

test.each([
  ["a little", 1, 1],
  ["ten hours", 7, 36_000 * TICKS_PER_SECOND],
  ["across the wrap", TICKS_WRAP - 100_000, 90_000],
  ["back", 20_000_001, TICKS_WRAP - 10_000_000],
])("shiftTimes() moves PCR, PTS and DTS as if they had been written so: %s", (_, startTicks, shift) => {
  const bytes = mux(startTicks);
  for (let at = 0; at < bytes.length; at += PACKET_BYTES) shiftTimes(bytes, at, shift);
  expect(Buffer.from(bytes).equals(mux((startTicks + shift) % TICKS_WRAP))).toBe(true);
});

test("shiftTimes() leaves packets alone that have no times, or hide them", () => {
  const bytes = new Uint8Array(PACKET_BYTES).fill(0xff);
  for (const head of [
    [0x47, 0x1f, 0xff, 0x10],
    [0x47, 0x40, 0x00, 0x10, 0, 0, 0xb0, 13],
    // Scrambled.
    [0x47, 0x41, 0x00, 0xd0, 0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1],
    // An adaptation field that says it is longer than the packet.
    [0x47, 0x41, 0x00, 0x30, 250, 0x00, 0, 0, 1, 0xe0],
  ]) {
    bytes.set(head);
    const before = Buffer.from(bytes);
    shiftTimes(bytes, 0, 1_000);
    expect(before.equals(bytes)).toBe(true);
  }
});

describe("TsTimeline", () => {
  /** Blocks of one second that begin at given seconds of the source and of the wall; where viewers have them. */
  function play(blocks: readonly (readonly [source: number, wall: number, isBreak?: boolean])[]): {
    readonly starts: readonly number[];
    readonly shifts: number;
  } {
    const timeline = new TsTimeline();
    const starts = blocks.map(([source, wall, isBreak = false]) => {
      if (isBreak) timeline.breakOff();
      const startPts = (source * TICKS_PER_SECOND) % TICKS_WRAP;
      const bytes = mux(startPts)
        .subarray(0, 3 * PACKET_BYTES)
        .slice();
      const before = mux(startPts).subarray(2 * PACKET_BYTES);
      timeline.shift(
        {
          bytes,
          startPts,
          isGopStart: true,
          tables: new Uint8Array(0),
          lastPts: startPts + 87_000,
          pictureAt: undefined,
        },
        wall * 1_000,
      );
      // What was added to the clock reference of the key frame, in the third packet.
      const added = referenceOf(bytes.subarray(2 * PACKET_BYTES)) - referenceOf(before);
      return Math.round((((source * TICKS_PER_SECOND + added) % TICKS_WRAP) / TICKS_PER_SECOND) * 100) / 100;
    });
    return { starts, shifts: timeline.shifts };
  }

  function referenceOf(packet: Uint8Array): number {
    return Buffer.from(packet).readUInt32BE(6) * 2 + ((packet[10] ?? 0) >> 7);
  }

  test.each([
    [
      "one that goes on",
      [
        [10, 0],
        [11, 1],
        [12, 2],
      ],
      [10, 11, 12],
      0,
    ],
    [
      "a second that is missing",
      [
        [10, 0],
        [12, 2, true],
      ],
      [10, 12],
      0,
    ],
    [
      "pictures that are rare",
      [
        [10, 0],
        [20, 10],
        [31, 20],
      ],
      [10, 20, 31],
      0,
    ],
    [
      "a run that begins anew",
      [
        [100, 0],
        [1, 1, true],
        [2, 2],
      ],
      [100, 101.01, 102.01],
      1,
    ],
    [
      "a run that begins anew on the same connection",
      [
        [100, 0],
        [1, 1],
        [2, 2],
      ],
      [100, 101.01, 102.01],
      1,
    ],
    [
      "an outage of a minute",
      [
        [10, 0],
        [71, 61, true],
        [72, 62],
      ],
      [10, 11.01, 12.01],
      1,
    ],
    [
      "a jump ahead",
      [
        [10, 0],
        [900, 1],
        [901, 2],
      ],
      [10, 11.01, 12.01],
      1,
    ],
  ] as const)("%s", (_, blocks, starts, shifts) => {
    expect(play(blocks)).toEqual({ starts, shifts });
  });
});
