/** Where a modelled player begins and what it fetches next. */
import { describe, expect, test } from "bun:test";
import { parsePlaylist, type MediaPlaylist } from "./hls-playlist.ts";
import { isListed, nextListing, nextStep, startPosition } from "./playlist-position.ts";

/** Segments 10 to 13 of 1 s, parts of 0.25 s listed from 12 on, two parts of 14. */
const TEXT = `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.75
#EXT-X-PART-INF:PART-TARGET=0.25
#EXT-X-MEDIA-SEQUENCE:10
#EXT-X-MAP:URI="init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:10.000Z
#EXTINF:1.00000,
10.m4s
#EXTINF:1.00000,
11.m4s
${parts(12, 4)}#EXTINF:1.00000,
12.m4s
${parts(13, 4)}#EXTINF:1.00000,
13.m4s
${parts(14, 2)}#EXT-X-PRELOAD-HINT:TYPE=PART,URI="14.2.m4s"
`;

function parts(msn: number, count: number): string {
  let text = "";
  for (let part = 0; part < count; part += 1) {
    text += `#EXT-X-PART:DURATION=0.25,URI="${msn}.${part}.m4s"${part === 0 ? ",INDEPENDENT=YES" : ""}\n`;
  }
  return text;
}

function playlist(): MediaPlaylist {
  const parsed = parsePlaylist(TEXT, "http://host/live/media.m3u8");
  if (parsed?.type !== "media") throw new Error("not read");
  return parsed;
}

test("parsePlaylist() makes addresses absolute, dates every segment and keeps the open one apart", () => {
  const { segments, open, hintUri, ...facts } = playlist();
  expect(facts).toEqual({
    type: "media",
    targetDurationMs: 1_000,
    partTargetMs: 250,
    holdBackMs: 3_000,
    partHoldBackMs: 750,
    canBlockReload: true,
    isEnded: false,
    firstMsn: 10,
  });
  expect(segments.map(({ msn, uri, parts }) => [msn, uri, parts.length])).toEqual([
    [10, "http://host/live/10.m4s", 0],
    [11, "http://host/live/11.m4s", 0],
    [12, "http://host/live/12.m4s", 4],
    [13, "http://host/live/13.m4s", 4],
  ]);
  expect(segments[3]?.startWallMs).toBe(Date.UTC(2026, 0, 1, 0, 0, 13));
  expect(open).toMatchObject({
    msn: 14,
    uri: undefined,
    durationMs: 500,
    startWallMs: Date.UTC(2026, 0, 1, 0, 0, 14),
    mapUri: "http://host/live/init.mp4",
  });
  expect(hintUri).toBe("http://host/live/14.2.m4s");
});

test("parsePlaylist() reads variants in order and refuses what is no playlist", () => {
  const text =
    "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2\na/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://other/b.m3u8\n";
  expect(parsePlaylist(text, "http://host/live/index.m3u8")).toEqual({
    type: "multivariant",
    variantUris: ["http://host/live/a/index.m3u8", "http://other/b.m3u8"],
  });
  expect(parsePlaylist("<html>", "http://host/")).toBeUndefined();
});

describe("startPosition()", () => {
  test("takes the last independent part before the part hold-back", () => {
    // The end is at 4.5 s: 0.75 s before it lies within segment 13, whose key frame is 0.75 s earlier.
    expect(startPosition(playlist(), true)).toEqual({ at: { msn: 13, part: 0 }, offsetMs: 750 });
  });

  test("takes the segment that contains the hold-back without parts", () => {
    expect(startPosition(playlist(), false)).toEqual({ at: { msn: 11, part: 0 }, offsetMs: 0 });
  });

  test("waits for a first segment", () => {
    const empty = { ...playlist(), segments: [] };
    expect(startPosition(empty, false)).toBeUndefined();
  });
});

describe("nextStep()", () => {
  for (const [name, at, isLowLatency, expected] of [
    ["a listed part", { msn: 13, part: 2 }, true, { type: "part", at: { msn: 13, part: 2 } }],
    [
      "the next segment's part behind a finished one",
      { msn: 13, part: 4 },
      true,
      { type: "part", at: { msn: 14, part: 0 } },
    ],
    ["the hinted part", { msn: 14, part: 2 }, true, { type: "hint", uri: "http://host/live/14.2.m4s" }],
    ["nothing beyond the hint", { msn: 14, part: 3 }, true, { type: "wait" }],
    [
      "a whole segment whose parts are gone",
      { msn: 11, part: 2 },
      true,
      { type: "segment", at: { msn: 11, part: 2 } },
    ],
    [
      "whole segments without low latency",
      { msn: 13, part: 0 },
      false,
      { type: "segment", at: { msn: 13, part: 0 } },
    ],
    ["nothing before a segment is finished", { msn: 14, part: 0 }, false, { type: "wait" }],
    ["that the window has passed", { msn: 9, part: 0 }, true, { type: "lost" }],
  ] as const) {
    test(`finds ${name}`, () => {
      expect(nextStep({ playlist: playlist(), at, isLowLatency, canHint: true })).toMatchObject(expected);
    });
  }

  test("waits for the listing where hints are not used", () => {
    const at = { msn: 14, part: 2 };
    expect(nextStep({ playlist: playlist(), at, isLowLatency: true, canHint: false })).toEqual({
      type: "wait",
    });
  });
});

test("isListed() knows what a held reload must contain", () => {
  expect(nextListing(playlist())).toEqual({ msn: 14, part: 2 });
  const places = [
    { msn: 13, part: 9 },
    { msn: 14, part: 1 },
    { msn: 14, part: 2 },
    { msn: 15, part: 0 },
  ];
  expect(places.map((at) => isListed(playlist(), at))).toEqual([true, true, false, false]);
});
