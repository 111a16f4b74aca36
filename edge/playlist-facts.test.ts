/** What is read of a playlist, and which requests it meets. */
import { describe, expect, test } from "bun:test";
import { FakeLivePlaylist } from "./fake-origin.ts";
import { contains, isTooFar, nextQuery, readPlaylistFacts, type PlaylistFacts } from "./playlist-facts.ts";

/** Segment 100 and 101 complete, five parts of 102. */
const LOW_LATENCY: PlaylistFacts = {
  targetDurationMs: 2_000,
  partTargetMs: 200,
  lastMsn: 101,
  lastParts: 10,
  openParts: 5,
  hintedPart: "aabbccdd-102.5.m4s",
  canBlock: true,
};
const AT_SEGMENT_END: PlaylistFacts = { ...LOW_LATENCY, openParts: 0, hintedPart: "aabbccdd-102.0.m4s" };
const WHOLE_SEGMENTS: PlaylistFacts = {
  ...LOW_LATENCY,
  partTargetMs: undefined,
  lastParts: 0,
  openParts: 0,
};

test("readPlaylistFacts() reads how far a playlist reaches", () => {
  expect(readPlaylistFacts(new FakeLivePlaylist(25).text())).toEqual(LOW_LATENCY);
  expect(readPlaylistFacts(new FakeLivePlaylist(20).text())).toEqual(AT_SEGMENT_END);
});

test("readPlaylistFacts() knows a playlist that does not block, and what is none", () => {
  const plain =
    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:1.0,\na.ts\n#EXTINF:1.0,\nb.ts";
  expect(readPlaylistFacts(plain)).toMatchObject({ lastMsn: 8, partTargetMs: undefined, canBlock: false });
  expect(readPlaylistFacts("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n")).toBeUndefined();
  expect(readPlaylistFacts("<html>")).toBeUndefined();
  expect(readPlaylistFacts("")).toBeUndefined();
});

describe("contains()", () => {
  const cases = [
    ["an old segment", LOW_LATENCY, 3, undefined, true],
    ["the last part listed", LOW_LATENCY, 102, 4, true],
    ["the next part", LOW_LATENCY, 102, 5, false],
    ["a segment without part: its first", LOW_LATENCY, 102, undefined, true],
    ["the segment after", LOW_LATENCY, 103, 0, false],
    ["a part past the end of a finished segment when the next has begun", LOW_LATENCY, 101, 10, true],
    ["the same at the segment's end", AT_SEGMENT_END, 101, 10, false],
    ["the finished segment itself", AT_SEGMENT_END, 101, 9, true],
    ["the first part after it", AT_SEGMENT_END, 102, 0, false],
    ["a whole segment that is there", WHOLE_SEGMENTS, 101, undefined, true],
    ["a whole segment that is not", WHOLE_SEGMENTS, 102, undefined, false],
  ] as const;
  test.each(cases)("%s", (_, facts, msn, part, expected) => {
    expect(contains(facts, { msn, part })).toBe(expected);
  });
});

test("isTooFar() refuses what an origin may refuse, and no more", () => {
  const cases = [
    [102, 5, false],
    [103, 0, false],
    [103, 14, false],
    [103, 15, true],
    [102, 19, false],
    [102, 20, true],
    [104, undefined, true],
    [1, 99, false],
  ] as const;
  for (const [msn, part, expected] of cases) {
    expect([msn, part, isTooFar(LOW_LATENCY, { msn, part })]).toEqual([msn, part, expected]);
  }
});

test("nextQuery() asks for the version after this one", () => {
  expect(nextQuery(LOW_LATENCY)).toBe("_HLS_msn=102&_HLS_part=5");
  expect(nextQuery(AT_SEGMENT_END)).toBe("_HLS_msn=102&_HLS_part=0");
  expect(nextQuery(WHOLE_SEGMENTS)).toBe("_HLS_msn=102");
});
