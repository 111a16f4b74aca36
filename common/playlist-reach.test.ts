/** Which reloads a playlist answers, which wait, and which are refused. */
import { expect, test } from "bun:test";
import {
  type PlaylistReach,
  partsAheadMax,
  placeOf,
  positionAt,
  standingOf,
} from "#common/playlist-reach.ts";

/** Segment 101 whole, five of ten parts of 102. */
const LOW_LATENCY: PlaylistReach = {
  lastSegment: 101,
  newest: { segmentNumber: 102, part: 4 },
  parts: { perSegment: 10, aheadMax: 15 },
};
const AT_SEGMENT_END: PlaylistReach = { ...LOW_LATENCY, newest: { segmentNumber: 101, part: 9 } };
/** The same, segment 101 having ended after four parts. */
const AT_SHORT_END: PlaylistReach = { ...LOW_LATENCY, newest: { segmentNumber: 101, part: 3 } };
const WHOLE_SEGMENTS: PlaylistReach = { lastSegment: 101, newest: { segmentNumber: 101, part: 0 } };

test.each([
  ["30: an old segment", LOW_LATENCY, 3, undefined, "listed"],
  ["30: any part of an old segment", LOW_LATENCY, 3, 999_999, "listed"],
  ["30: the last part", LOW_LATENCY, 102, 4, "listed"],
  ["29: the next part", LOW_LATENCY, 102, 5, "ahead"],
  ["32: a segment without part, its first", LOW_LATENCY, 102, undefined, "listed"],
  ["32: the same of the next segment", LOW_LATENCY, 103, undefined, "ahead"],
  ["29: the segment after", LOW_LATENCY, 103, 0, "ahead"],
  ["31: a part past the end of a finished segment, the next begun", LOW_LATENCY, 101, 10, "listed"],
  ["31: the same at the segment's end", AT_SEGMENT_END, 101, 10, "ahead"],
  ["31: far past the segment's end", AT_SEGMENT_END, 101, 999_999, "ahead"],
  ["31: past the end of a short segment", AT_SHORT_END, 101, 4, "ahead"],
  ["30: the last part of a short segment", AT_SHORT_END, 101, 3, "listed"],
  ["30: the finished segment itself", AT_SEGMENT_END, 101, 9, "listed"],
  ["29: the first part after it", AT_SEGMENT_END, 102, 0, "ahead"],
  ["33: fifteen parts ahead", LOW_LATENCY, 103, 9, "ahead"],
  ["33: sixteen parts ahead", LOW_LATENCY, 103, 10, "far"],
  ["33: a part past the end of the open segment", LOW_LATENCY, 102, 99, "ahead"],
  ["33: two segments ahead, too many parts", LOW_LATENCY, 103, 14, "far"],
  ["33: three segments ahead", LOW_LATENCY, 104, undefined, "far"],
  ["30: a whole segment that is there", WHOLE_SEGMENTS, 101, undefined, "listed"],
  ["30: a part of it, which it does not have", WHOLE_SEGMENTS, 101, 7, "listed"],
  ["36: a whole segment that is not there yet", WHOLE_SEGMENTS, 102, undefined, "ahead"],
  ["33: whole segments, two ahead", WHOLE_SEGMENTS, 103, 99, "ahead"],
  ["33: whole segments, three ahead", WHOLE_SEGMENTS, 104, undefined, "far"],
] as const)("standingOf() %s", (_, reach, segmentNumber, part, expected) =>
  expect(standingOf(reach, { segmentNumber, part })).toBe(expected),
);

test.each([
  [200, 15],
  [333.34, 9],
  [206.9, 14],
  [166.67, 18],
  [999, 3],
  [1000, 3],
  [2000, 3],
])("33: partsAheadMax() with parts of %d ms is %d", (partDurationMs, expected) =>
  expect(partsAheadMax(partDurationMs)).toBe(expected),
);

test("placeOf() keeps the order of positions, positionAt() gives them back", () => {
  const position = { segmentNumber: 881_234_567, part: 9 };
  expect(positionAt(placeOf(position))).toEqual(position);
  expect(placeOf({ segmentNumber: 5, part: 999_999 })).toBeLessThan(placeOf({ segmentNumber: 6, part: 0 }));
});
