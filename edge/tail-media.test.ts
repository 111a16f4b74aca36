/** Which media are fetched ahead, and in which order. */
import { expect, test } from "bun:test";
import { placeOf } from "#common/playlist-reach.ts";
import { FakeLivePlaylist } from "./fake-origin.ts";
import { type PlaylistFacts, readPlaylistFacts } from "./playlist-facts.ts";
import { progressOf, wantedMedia } from "./tail-media.ts";

function factsOf(text: string): PlaylistFacts {
  const facts = readPlaylistFacts(text);
  if (facts === undefined) throw new Error("no media playlist");
  return facts;
}

const name = (suffix: string): string => `aabbccdd-${suffix}`;

test("wantedMedia() of a playlist that nobody has followed yet: what players begin with, in their order", () => {
  expect(wantedMedia(factsOf(new FakeLivePlaylist(45).text()), undefined)).toEqual({
    now: ["init.mp4", "104.0.m4s", "104.1.m4s", "104.2.m4s", "104.3.m4s", "104.4.m4s", "104.5.m4s"].map(name),
    later: ["101.m4s", "102.m4s", "103.m4s"].map(name),
  });
});

test("wantedMedia() begins with a key frame that is as far from the end as players stay", () => {
  const { now } = wantedMedia(factsOf(new FakeLivePlaylist(42).text()), undefined);
  expect(now.slice(0, 2)).toEqual(["init.mp4", "103.0.m4s"].map(name));
  expect(now).toHaveLength(14);
});

test("wantedMedia() of a later version: what has come since, and what comes next", () => {
  const before = progressOf(factsOf(new FakeLivePlaylist(45).text()));
  expect(wantedMedia(factsOf(new FakeLivePlaylist(46).text()), before)).toEqual({
    now: ["init.mp4", "104.5.m4s", "104.6.m4s"].map(name),
    later: [],
  });
  // Four versions were missed.
  expect(wantedMedia(factsOf(new FakeLivePlaylist(50).text()), before)).toEqual({
    now: ["init.mp4", "104.5.m4s", "104.6.m4s", "104.7.m4s", "104.8.m4s", "104.9.m4s", "105.0.m4s"].map(name),
    later: [name("104.m4s")],
  });
});

test("wantedMedia() of a playlist that was not followed for three segments: what players begin with, as at first", () => {
  const facts = factsOf(new FakeLivePlaylist(45).text());
  const atFirst = wantedMedia(facts, undefined);
  expect(
    wantedMedia(facts, { lastSegment: 100, lastPlace: placeOf({ segmentNumber: 101, part: 3 }) }),
  ).toEqual(atFirst);
  const { now } = wantedMedia(facts, {
    lastSegment: 101,
    lastPlace: placeOf({ segmentNumber: 102, part: 3 }),
  });
  expect(now).toContain(name("102.4.m4s"));
});

test("wantedMedia() leaves out ranges of files, and what the playlist says is missing", () => {
  const text = [
    "#EXTM3U",
    "#EXT-X-TARGETDURATION:2",
    "#EXT-X-PART-INF:PART-TARGET=1",
    "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3",
    '#EXT-X-MAP:URI="all.mp4",BYTERANGE="100@0"',
    "#EXTINF:2,",
    "#EXT-X-BYTERANGE:1000@100",
    "all.mp4",
    '#EXT-X-PART:DURATION=1,URI="gone.m4s",GAP=YES',
    '#EXT-X-PART:DURATION=1,URI="part.m4s",INDEPENDENT=YES',
    '#EXT-X-PRELOAD-HINT:TYPE=MAP,URI="new.mp4"',
    '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="all.mp4",BYTERANGE-START=1100',
    "",
  ].join("\n");
  expect(wantedMedia(factsOf(text), undefined)).toEqual({ now: ["new.mp4", "part.m4s"], later: [] });
});
