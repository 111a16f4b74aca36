/** Playlists as text, read back by two independent parsers. */
import { describe, expect, test } from "bun:test";
import * as hls from "hls-parser";
import { Parser } from "m3u8-parser";
import {
  type ListedSegment,
  type MediaPlaylist,
  writeMediaPlaylist,
  writeMultivariantPlaylist,
} from "#common/formats/playlist.ts";

hls.setOptions({ strictMode: true });

function segment(mediaSequence: number, fields: Partial<ListedSegment> = {}): ListedSegment {
  const parts = Array.from({ length: 10 }, (_, part) => ({
    uri: `0a1b2c3d-${mediaSequence}.${part}.m4s`,
    durationUnits: 6,
    isIndependent: part % 5 === 0,
  }));
  return {
    mediaSequence,
    uri: `0a1b2c3d-${mediaSequence}.m4s`,
    durationUnits: 60,
    timescale: 30,
    startTimeMs: Date.UTC(2026, 0, 1) + mediaSequence * 2000,
    ordinal: 3,
    isFirstOfRun: false,
    isComplete: true,
    mapUri: "0a1b2c3d-init.mp4",
    parts,
    ...fields,
  };
}

function lowLatency(segments: readonly ListedSegment[], fields: Partial<MediaPlaylist> = {}): string {
  return writeMediaPlaylist({
    targetDurationSeconds: 2,
    segments,
    parts: {
      partUnits: 6,
      timescale: 30,
      preloadHintUri: "0a1b2c3d-105.2.m4s",
      reports: [{ uri: "../360p/index.m3u8", lastMediaSequence: 105, lastPart: 1 }],
    },
    ...fields,
  });
}

const open = segment(105, { isComplete: false, durationUnits: 12, parts: segment(105).parts.slice(0, 2) });
const window = [100, 101, 102, 103, 104].map((number) => segment(number));

describe("writeMediaPlaylist()", () => {
  test("1, 3, 4, 12, 19 to 24, 26, 27: the whole text of a playlist with parts", () => {
    const text = lowLatency([segment(103), segment(104, { parts: segment(104).parts.slice(0, 1) }), open]);
    expect(text.split("\n").filter((line) => !line.includes("-103."))).toEqual([
      "#EXTM3U",
      "#EXT-X-VERSION:9",
      "#EXT-X-TARGETDURATION:2",
      "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.60000",
      "#EXT-X-PART-INF:PART-TARGET=0.20000",
      "#EXT-X-MEDIA-SEQUENCE:103",
      "#EXT-X-DISCONTINUITY-SEQUENCE:3",
      '#EXT-X-MAP:URI="0a1b2c3d-init.mp4"',
      "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:03:26.000Z",
      "#EXTINF:2.00000,",
      "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:03:28.000Z",
      '#EXT-X-PART:DURATION=0.20000,URI="0a1b2c3d-104.0.m4s",INDEPENDENT=YES',
      "#EXTINF:2.00000,",
      "0a1b2c3d-104.m4s",
      "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:03:30.000Z",
      '#EXT-X-PART:DURATION=0.20000,URI="0a1b2c3d-105.0.m4s",INDEPENDENT=YES',
      '#EXT-X-PART:DURATION=0.20000,URI="0a1b2c3d-105.1.m4s"',
      '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="0a1b2c3d-105.2.m4s"',
      '#EXT-X-RENDITION-REPORT:URI="../360p/index.m3u8",LAST-MSN=105,LAST-PART=1',
      "",
    ]);
  });

  test("24: parts stand on the last two whole segments and the open one only", () => {
    const text = lowLatency([...window, open]);
    const listed = [...text.matchAll(/PART:.*-(\d+)\.\d+\.m4s/g)].map((match) => Number(match[1]));
    expect([...new Set(listed)]).toEqual([103, 104, 105]);
  });

  test("hls-parser in strict mode and m3u8-parser accept and agree", () => {
    const text = lowLatency([...window, open]);
    const strict = hls.parse(text);
    if (strict.isMasterPlaylist) throw new Error("a media playlist was expected");
    expect(strict).toMatchObject({
      version: 9,
      targetDuration: 2,
      partTargetDuration: 0.2,
      mediaSequenceBase: 100,
    });
    expect(strict.segments).toHaveLength(6);
    expect(strict.renditionReports).toHaveLength(1);
    const parser = new Parser();
    parser.push(text);
    parser.end();
    expect(parser.manifest.segments).toHaveLength(5);
    expect(parser.manifest.preloadSegment?.parts).toHaveLength(2);
    expect(parser.manifest.serverControl).toMatchObject({ canBlockReload: true, partHoldBack: 0.6 });
  });

  test("13: a new run is announced by discontinuity and map, and its number counts the tag once", () => {
    const next = { ordinal: 4, mapUri: "11111111-init.mp4" };
    const first = segment(104, { ...next, isFirstOfRun: true });
    const rows: (readonly [readonly ListedSegment[], number, number])[] = [
      [[segment(103), first, segment(105, next)], 3, 1],
      [[first, segment(105, next)], 3, 1],
      [[segment(105, next)], 4, 0],
    ];
    for (const [segments, sequence, tags] of rows) {
      const text = lowLatency(segments);
      expect(text).toContain(`#EXT-X-DISCONTINUITY-SEQUENCE:${sequence}\n`);
      expect(text.match(/^#EXT-X-DISCONTINUITY$/gm)?.length ?? 0).toBe(tags);
      expect(() => hls.parse(text)).not.toThrow();
    }
    expect(lowLatency([segment(103), first])).toContain(
      '#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="11111111-init.mp4"\n#EXT-X-PROGRAM-DATE-TIME',
    );
  });

  test.each([
    [24, 5],
    [25, 5],
    [30, 4],
    [50, 10],
    [7, 1],
    [60, 13],
  ])("19, 21: at %d fps and %d frames a part no printed part exceeds the target", (fps, partFrames) => {
    const parts = [{ uri: "a", durationUnits: partFrames, isIndependent: true }];
    const text = lowLatency([segment(1, { timescale: fps, durationUnits: 2 * fps, parts })], {
      parts: { partUnits: partFrames, timescale: fps, preloadHintUri: "b", reports: [] },
    });
    const value = (pattern: RegExp): number => Number(pattern.exec(text)?.[1]);
    const target = value(/PART-TARGET=([\d.]+)/);
    expect(value(/PART:DURATION=([\d.]+)/)).toBeLessThanOrEqual(target);
    expect(value(/PART-HOLD-BACK=([\d.]+)/)).toBeGreaterThanOrEqual(3 * target - 1e-9);
  });

  test("4, 7, 12, 36: a playlist of whole segments", () => {
    const listed = [50, 51].map((number) => {
      const { mapUri: _, ...rest } = segment(number, {
        uri: `r-${number}.ts`,
        durationUnits: 30,
        parts: [],
        startTimeMs: number * 1000 + 33.34,
      });
      return rest;
    });
    const text = writeMediaPlaylist({ targetDurationSeconds: 1, segments: listed });
    expect(text).toBe(
      `#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES
#EXT-X-MEDIA-SEQUENCE:50
#EXT-X-DISCONTINUITY-SEQUENCE:3
#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:50.033Z
#EXTINF:1.00000,
r-50.ts
#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:51.033Z
#EXTINF:1.00000,
r-51.ts
`,
    );
    expect(() => hls.parse(text)).not.toThrow();
  });
});

test("4, 15, 16: writeMultivariantPlaylist() writes every attribute, and independent segments", () => {
  const text = writeMultivariantPlaylist([
    {
      uri: "720p/index.m3u8",
      bitsPerSecondMax: 6_600_000.2,
      codecs: "avc1.64001f",
      width: 1280,
      height: 720,
      fps: 30,
    },
    {
      uri: "https://edge/live/canvas/360p/index.m3u8",
      bitsPerSecondMax: 900_000,
      codecs: "avc1.64001e",
      width: 640,
      height: 360,
      fps: 30,
    },
  ]);
  expect(text).toStartWith(
    '#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-STREAM-INF:BANDWIDTH=6600001,AVERAGE-BANDWIDTH=6600001,CODECS="avc1.64001f",RESOLUTION=1280x720,FRAME-RATE=30.000\n720p/index.m3u8\n',
  );
  const strict = hls.parse(text);
  expect(strict.isMasterPlaylist ? strict.variants.length : 0).toBe(2);
});

test("6, 19: parts that no decimal is exact for add up to their segment, and none is longer than PART-TARGET", () => {
  const parts = Array.from({ length: 12 }, (_, index) => ({
    uri: `p${index}`,
    durationUnits: 5,
    isIndependent: index % 6 === 0,
  }));
  const text = lowLatency([segment(1, { timescale: 30, durationUnits: 60, parts })], {
    parts: { partUnits: 5, timescale: 30, preloadHintUri: "b", reports: [] },
  });
  const printed = [...text.matchAll(/PART:DURATION=([0-9.]+)/g)].map(([, seconds]) => Number(seconds));
  const sum = (values: readonly number[]) =>
    values.reduce((total, value) => total + Math.round(value * 1e5), 0);
  expect([sum(printed.slice(0, 6)), sum(printed)]).toEqual([100_000, 200_000]);
  const target = Number(/PART-TARGET=([0-9.]+)/.exec(text)?.[1]);
  expect(Math.max(...printed)).toBeLessThanOrEqual(target);
});
