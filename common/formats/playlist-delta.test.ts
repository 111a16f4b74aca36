/** Delta updates made from a text are those that the writer of the text makes. */
import { describe, expect, test } from "bun:test";
import { deltaOf } from "./playlist-delta.ts";
import { type ListedSegment, writeMediaPlaylist } from "./playlist.ts";

const TIMESCALE = 30_000;
const START_MS = Date.UTC(2026, 0, 1);

/** Segments of `seconds` each; a new run begins with each of `restarts`. */
function segmentsOf(
  seconds: readonly number[],
  restarts: readonly number[] = [],
  hasMaps = true,
): ListedSegment[] {
  let startTimeMs = START_MS;
  let ordinal = 3;
  return seconds.map((duration, index) => {
    const isFirstOfRun = restarts.includes(index);
    if (isFirstOfRun) ordinal++;
    const segment = {
      mediaSequence: 700 + index,
      uri: `${ordinal}-${700 + index}.m4s`,
      durationUnits: Math.round(duration * TIMESCALE),
      timescale: TIMESCALE,
      startTimeMs,
      ordinal,
      isFirstOfRun,
      isComplete: index < seconds.length - 1,
      ...(hasMaps ? { mapUri: `${ordinal}-init.mp4` } : {}),
      parts: [0, 1].map((part) => ({
        uri: `${ordinal}-${700 + index}.${part}.m4s`,
        durationUnits: (duration * TIMESCALE) / 2,
        isIndependent: part === 0,
      })),
    };
    startTimeMs += duration * 1_000;
    return segment;
  });
}

describe("deltaOf()", () => {
  const cases = [
    ["equal segments", Array.from({ length: 30 }, () => 2), []],
    ["just at the boundary", Array.from({ length: 8 }, () => 2), []],
    ["just below the boundary", Array.from({ length: 7 }, () => 2), []],
    ["odd lengths", [1.5, 2, 0.7, 2, 1.9, 1.2, 2, 2, 1, 0.5, 2, 2, 2, 0.4, 1.1], []],
    ["a run that begins in what is skipped", Array.from({ length: 20 }, () => 2), [4]],
    ["a run that begins at the boundary", Array.from({ length: 20 }, () => 2), [13]],
    ["a run that begins behind it", Array.from({ length: 20 }, () => 2), [0, 17]],
  ] as const;
  for (const [title, seconds, restarts] of cases) {
    for (const hasParts of [true, false]) {
      test(`E32: ${title}, ${hasParts ? "with" : "without"} parts: what the origin writes`, () => {
        const segments = segmentsOf(seconds, restarts, hasParts);
        const parts = { partUnits: TIMESCALE, timescale: TIMESCALE, preloadHintUri: "next.m4s", reports: [] };
        const playlist = {
          targetDurationSeconds: 2,
          segments: hasParts ? segments : segments.slice(0, -1),
          canSkip: true,
          ...(hasParts ? { parts } : {}),
        };
        const full = writeMediaPlaylist(playlist);
        const delta = writeMediaPlaylist(playlist, "delta");
        expect(deltaOf(full) ?? full).toBe(delta);
      });
    }
  }

  test("needs the offer, a stream that goes on, and something to leave out", () => {
    const playlist = { targetDurationSeconds: 2, segments: segmentsOf(Array.from({ length: 20 }, () => 2)) };
    expect(deltaOf(writeMediaPlaylist(playlist))).toBeUndefined();
    const full = writeMediaPlaylist({ ...playlist, canSkip: true });
    expect(deltaOf(full)).toContain("#EXT-X-SKIP:SKIPPED-SEGMENTS=13\n");
    expect(deltaOf(`${full}#EXT-X-ENDLIST\n`)).toBeUndefined();
    expect(deltaOf(deltaOf(full) ?? "")).toBeUndefined();
    expect(deltaOf("")).toBeUndefined();
  });

  test("keeps date ranges, foreign tags behind the boundary and line ends, and raises the version", () => {
    const segment = (index: number): string => `#EXTINF:4,\r\n#EXT-X-BITRATE:9\r\n${index}.ts\r\n`;
    const head =
      "#EXTM3U\r\n#EXT-X-VERSION:6\r\n#EXT-X-TARGETDURATION:4\r\n#X-OWN:1\r\n" +
      "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=8.0\r\n#EXT-X-MEDIA-SEQUENCE:5\r\n";
    const range = '#EXT-X-DATERANGE:ID="a,b",START-DATE="2026-01-01T00:00:00Z"\r\n';
    const full = `${head}#EXT-X-KEY:METHOD=NONE\r\n${segment(5)}${range}#X-CUE\r\n${segment(6)}${segment(7)}#X-CUE\r\n${segment(8)}`;
    expect(deltaOf(full)).toBe(
      `${head.replace("VERSION:6", "VERSION:9")}#EXT-X-SKIP:SKIPPED-SEGMENTS=2\r\n${range}${segment(7)}#X-CUE\r\n${segment(8)}`,
    );
  });
});
