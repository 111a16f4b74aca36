/** What is read of a playlist, and what is asked for next. */
import { expect, test } from "bun:test";
import { placeOf, standingOf } from "#common/playlist-reach.ts";
import { createRandom } from "#common/random.ts";
import { FakeLivePlaylist } from "./fake-origin.ts";
import {
  compareReach,
  type ListedPart,
  nextQuery,
  type PlaylistFacts,
  readPlaylistFacts,
} from "./playlist-facts.ts";

const ODD_LINES = [
  "#EXT-X-PART:",
  "#EXT-X-PART:DURATION=,URI=",
  "#EXT-X-MAP:",
  "#EXT-X-PRELOAD-HINT:TYPE=PART",
  "#EXTINF:-1,",
  "#EXTINF:x",
  "#EXTINF:.,",
  `#EXTINF:${"9".repeat(400)},`,
  "#EXT-X-MEDIA-SEQUENCE:-5",
  `#EXT-X-TARGETDURATION:${"9".repeat(308)}`,
  "#EXT-X-PART:DURATION=x,URI=y",
  "#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=x",
  "#EXT-X-PART-INF:PART-TARGET=-1",
  "#EXT-X-SERVER-CONTROL:",
  "#EXT-X-SKIP:SKIPPED-SEGMENTS=3",
  "\0",
];

/** Segment 100 and 101 complete, five parts of 102. */
const LOW_LATENCY: PlaylistFacts = {
  targetDurationMs: 2_000,
  partTargetMs: 200,
  reach: {
    lastSegment: 101,
    newest: { segmentNumber: 102, part: 4 },
    parts: { perSegment: 10, aheadMax: 15 },
  },
  media: {
    segments: [100, 101].map((segmentNumber) => ({
      segmentNumber,
      uri: `aabbccdd-${segmentNumber}.m4s`,
      durationMs: 2_000,
    })),
    parts: [...partsOf(100, 10), ...partsOf(101, 10), ...partsOf(102, 5)],
    maps: ["aabbccdd-init.mp4"],
    hintedPart: "aabbccdd-102.5.m4s",
    holdBackMs: 600,
  },
  canBlock: true,
  isEnded: false,
};
const AT_SEGMENT_END: PlaylistFacts = {
  ...LOW_LATENCY,
  reach: { ...LOW_LATENCY.reach, newest: { segmentNumber: 101, part: 9 } },
  media: {
    ...LOW_LATENCY.media,
    parts: LOW_LATENCY.media.parts.slice(0, 20),
    hintedPart: "aabbccdd-102.0.m4s",
  },
};

function partsOf(segmentNumber: number, count: number): ListedPart[] {
  return Array.from({ length: count }, (_, part) => ({
    place: placeOf({ segmentNumber, part }),
    uri: `aabbccdd-${segmentNumber}.${part}.m4s`,
    durationMs: 200,
    isIndependent: part === 0,
  }));
}

test("readPlaylistFacts() reads how far a playlist reaches", () => {
  expect(readPlaylistFacts(new FakeLivePlaylist(25).text())).toEqual(LOW_LATENCY);
  expect(readPlaylistFacts(new FakeLivePlaylist(20).text())).toEqual(AT_SEGMENT_END);
});

test("readPlaylistFacts() knows a playlist that does not block, and what is none", () => {
  const plain =
    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:1.0,\na.ts\n#EXTINF:1.0,\nb.ts";
  expect(readPlaylistFacts(plain)).toMatchObject({
    reach: { lastSegment: 8 },
    partTargetMs: undefined,
    canBlock: false,
  });
  expect(readPlaylistFacts("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n")).toBeUndefined();
  expect(readPlaylistFacts("<html>")).toBeUndefined();
  expect(readPlaylistFacts("")).toBeUndefined();
});

test("readPlaylistFacts() of a playlist that lists no parts of whole segments: all of them are there", () => {
  const text = new FakeLivePlaylist(25).text().replaceAll(/#EXT-X-PART:.*-10[01]\..*\n/g, "");
  expect(readPlaylistFacts(text)?.reach).toMatchObject({ lastSegment: 101, parts: { perSegment: 5 } });
  const atEnd = new FakeLivePlaylist(20).text().replaceAll(/#EXT-X-PART:.*\n/g, "");
  const reach = readPlaylistFacts(atEnd)?.reach;
  const standing = (segmentNumber: number, part: number): string | undefined =>
    reach && standingOf(reach, { segmentNumber, part });
  expect([standing(101, 9), standing(102, 0)]).toEqual(["listed", "ahead"]);
});

test.each([
  ["TARGETDURATION:0", { targetDurationMs: 1_000 }],
  ["TARGETDURATION:x", { targetDurationMs: 2_000 }],
  ["TARGETDURATION:99999999999", { targetDurationMs: 3_600_000 }],
  ["PART-INF:PART-TARGET=0.001", { partTargetMs: 20 }],
  ["MEDIA-SEQUENCE:-5", undefined],
  ["MEDIA-SEQUENCE:99999999999999999999", undefined],
])("readPlaylistFacts() makes sense of %s, or nothing", (tag, facts) => {
  const name = tag.split(":")[0] ?? "";
  const text = new FakeLivePlaylist(25).text().replace(new RegExp(`#EXT-X-${name}:.*`), `#EXT-X-${tag}`);
  if (facts === undefined) expect(readPlaylistFacts(text)).toBeUndefined();
  else expect(readPlaylistFacts(text)).toMatchObject(facts);
});

test("readPlaylistFacts() of encrypted segments is the same as of others, whatever their keys say", () => {
  const text = new FakeLivePlaylist(25).text();
  const key = '#EXT-X-KEY:METHOD=AES-128,URI="key",IV=0x1\n';
  expect(readPlaylistFacts(text.replace("#EXT-X-MAP", `${key}#EXT-X-MAP`))).toEqual(LOW_LATENCY);
});

test("readPlaylistFacts() of a map and a hint without a URI: there are none", () => {
  const text = new FakeLivePlaylist(25)
    .text()
    .replace(/(#EXT-X-MAP:).*/, "$1X=1")
    .replace(/(TYPE=PART),URI=.*/, "$1");
  expect(readPlaylistFacts(text)?.media).toMatchObject({ maps: [], hintedPart: undefined });
});

test("readPlaylistFacts() of playlists with random faults: numbers, or nothing", () => {
  const random = createRandom(7);
  const lines = new FakeLivePlaylist(47).text().split("\n");
  for (let round = 0; round < 2_000; round++) {
    const faulty = [...lines];
    for (let fault = 0; fault < 1 + random() * 4; fault++) {
      const at = Math.floor(random() * faulty.length);
      const odd = ODD_LINES[Math.floor(random() * ODD_LINES.length)] ?? "";
      const cut = (faulty[at] ?? "").slice(0, Math.floor(random() * 24));
      faulty.splice(at, random() < 0.7 ? 1 : 0, ...(random() < 0.5 ? [odd] : [cut]));
    }
    const facts = readPlaylistFacts(faulty.join("\n"));
    if (facts === undefined) continue;
    const { media, reach, targetDurationMs, partTargetMs = 1 } = facts;
    const listed = [...media.segments, ...media.parts].map(({ durationMs }) => durationMs);
    const durations = [targetDurationMs, partTargetMs, ...listed];
    const numbers = [...durations, media.holdBackMs, reach.lastSegment + 1, reach.newest.part + 1];
    expect([faulty, durations.filter((duration) => duration > 3_600_000)]).toEqual([faulty, []]);
    expect([faulty, numbers.filter((number) => !(number >= 0 && number < Infinity))]).toEqual([faulty, []]);
  }
});

test("compareReach() knows which version ends later", () => {
  expect(compareReach(LOW_LATENCY.reach, AT_SEGMENT_END.reach)).toBeGreaterThan(0);
  expect(compareReach(LOW_LATENCY.reach, LOW_LATENCY.reach)).toBe(0);
  const before = { ...LOW_LATENCY.reach, lastSegment: 100, newest: AT_SEGMENT_END.reach.newest };
  expect(compareReach(before, AT_SEGMENT_END.reach)).toBeLessThan(0);
});

test("nextQuery() asks for the version after this one", () => {
  expect(nextQuery(LOW_LATENCY)).toBe("_HLS_msn=102&_HLS_part=5");
  expect(nextQuery(AT_SEGMENT_END)).toBe("_HLS_msn=102&_HLS_part=0");
  const { parts: _, ...wholeSegments } = AT_SEGMENT_END.reach;
  expect(nextQuery({ ...AT_SEGMENT_END, reach: wholeSegments })).toBe("_HLS_msn=102");
});
