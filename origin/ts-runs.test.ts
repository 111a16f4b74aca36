/** Pictures with times and parameter sets that cannot be: what becomes of them, and of what follows. */
import { describe, expect, test } from "bun:test";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import type { EncodedFrame, Run } from "#common/formats/frame.ts";
import { readAvcConfig, splitNalUnits } from "#common/formats/h264.ts";
import { joinBytes } from "#common/join-bytes.ts";
import type { VideoPes } from "#common/formats/mpegts-demuxer.ts";
import { TsRuns } from "./ts-runs.ts";

const FRAME_TICKS = 3000;
const GROUP_FRAMES = 30;
const START_CODE = Uint8Array.of(0, 0, 0, 1);
const testsrc = testsrcRun();
const config = readAvcConfig(testsrc.renditions[0]?.avcC ?? new Uint8Array(0));
const SETS = [...(config?.sequenceParameterSets ?? []), ...(config?.pictureParameterSets ?? [])];

interface Reading {
  readonly runs: Run[];
  readonly frames: EncodedFrame[];
  readonly troubles: (string | undefined)[];
  readonly taken: TsRuns;
}

function read(pictures: readonly VideoPes[]): Reading {
  const runs: Run[] = [];
  const frames: EncodedFrame[] = [];
  const troubles: (string | undefined)[] = [];
  const taken = new TsRuns({
    handlers: { onRun: (run) => void runs.push(run), onFrame: (frame) => void frames.push(frame) },
    numbers: {
      beginRun: () => ({ id: "0000000a", ordinal: runs.length, startFrame: 60, startTimeMsMin: 0 }),
      reserveSegment: () => {},
    },
    wallMs: () => 0,
    targetDurationSeconds: 2,
    partDurationMs: 200,
    onTrouble: (reason) => void troubles.push(reason),
  });
  for (const picture of pictures) taken.onPes(picture);
  taken.finish();
  return { runs, frames, troubles, taken };
}

/** Picture `index` of the test picture as MPEG-TS has it, with `sets` before each key frame. */
function pesOf(index: number, sets: readonly Uint8Array[] = SETS): VideoPes {
  const frame = testsrcFrame(testsrc, index);
  const slices = splitNalUnits(frame.data) ?? [];
  const units = index % GROUP_FRAMES === 0 ? [...sets, ...slices] : slices;
  const ticks = index * FRAME_TICKS;
  return {
    ptsTicks: ticks,
    dtsTicks: ticks,
    data: joinBytes(units.flatMap((unit) => [START_CODE, unit])),
  };
}

const PICTURES = Array.from({ length: 2 * GROUP_FRAMES }, (_, index) => pesOf(index));

describe("TsRuns", () => {
  test.each([
    ["600 s", 600 * 90_000, [10, 30], 2],
    ["10 s", 10 * 90_000, [60], 1],
  ])("42: a picture that is to be shown %s after it is decoded", (_, ticks, lengths, runs) => {
    const pictures = PICTURES.map((pes, index) =>
      index === 10 ? { ...pes, ptsTicks: (pes.ptsTicks ?? 0) + ticks } : pes,
    );
    const reading = read(pictures);
    expect(reading.runs).toHaveLength(runs);
    expect(reading.frames).toHaveLength(lengths.reduce((sum, length) => sum + length, 0));
    expect(reading.taken.droppedPictures).toBe(60 - reading.frames.length);
  });

  test("parameter sets of kilobytes are not kept", () => {
    const [sequence = new Uint8Array(0), ...pictures] = SETS;
    const long = joinBytes([sequence, new Uint8Array(4096).fill(0x55)]);
    const reading = read([pesOf(0, [long, ...pictures]), pesOf(1), ...PICTURES.slice(GROUP_FRAMES)]);
    expect(reading.troubles[0]).toBe("key frames without readable parameter sets");
    expect(reading.frames).toHaveLength(GROUP_FRAMES);
    expect(reading.runs[0]?.renditions[0]?.avcC.length).toBeLessThan(200);
  });
});
