/** What playlists say as frames come in, in all renditions. */
import { describe, expect, test } from "bun:test";
import * as hls from "hls-parser";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { findBoxContent } from "#common/formats/mp4-boxes.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { TsInspector } from "#common/formats/fixtures/mpegts-reader.ts";
import { FIRST, hintIn, open, run, TWO } from "./origin-fixture.ts";

hls.setOptions({ strictMode: true });

describe("media playlists", () => {
  test("3, 5, 8, 9, 10, 13, 26: strict at every frame of 40 s; sequence numbers and their names never change", async () => {
    const origin = open();
    const names = new Map<string, string>();
    let previous = -1;
    origin.play(run, 0, 60);
    for (let index = 60; index < 1200; index++) {
      origin.play(run, index, index + 1);
      if (index % 3 !== 0) continue;
      for (const file of ["index.m3u8", "ts.m3u8"]) {
        const text = await origin.text(`64p/${file}`);
        const playlist = hls.parse(text);
        if (playlist.isMasterPlaylist) throw new Error("a media playlist was expected");
        for (const [offset, segment] of playlist.segments.entries()) {
          if (segment.uri === "") continue;
          const key = `${file} ${(playlist.mediaSequenceBase ?? 0) + offset}`;
          expect(names.get(key) ?? segment.uri).toBe(segment.uri);
          names.set(key, segment.uri);
        }
        if (file === "ts.m3u8") continue;
        expect(text.match(/PRELOAD-HINT/g)).toHaveLength(1);
        const base = playlist.mediaSequenceBase ?? 0;
        expect(base).toBeGreaterThanOrEqual(previous);
        expect(base).toBeLessThanOrEqual(Math.max(FIRST, previous + 1));
        previous = base;
      }
    }
    expect(await origin.text("64p/index.m3u8")).toContain(
      `MEDIA-SEQUENCE:${FIRST + 8}\n#EXT-X-DISCONTINUITY-SEQUENCE:7\n`,
    );
  });

  test("8, 55: a second origin, begun later with the last half minute, writes the same playlists and media", async () => {
    const first = open();
    const second = open();
    first.play(run, 0, 1337);
    second.play(run, 420, 1337);
    for (const file of ["index.m3u8", "ts.m3u8"]) {
      const text = await first.text(`64p/${file}`);
      expect(await second.text(`64p/${file}`)).toBe(text);
      const names = [...text.matchAll(/(?:URI="|^)([0-9a-f]{8}-[\w.]+)/gm)].map(([, name = ""]) => name);
      for (const name of names.filter((name) => !text.includes(`HINT:TYPE=PART,URI="${name}"`))) {
        expect((await second.bytes(`64p/${name}`)).toHex()).toBe((await first.bytes(`64p/${name}`)).toHex());
      }
      expect(names.length).toBeGreaterThan(20);
    }
    expect(await second.text("index.m3u8")).toBe(await first.text("index.m3u8"));
  });

  test("12: dates come from the media's time line", async () => {
    const origin = open();
    origin.play(run, 0, 130);
    const dates = [...(await origin.text("64p/index.m3u8")).matchAll(/DATE-TIME:(.*)/g)].map(
      ([, date = ""]) => Date.parse(date),
    );
    expect(dates).toEqual([0, 2000, 4000].map((ms) => run.startTimeMs + ms));
  });

  test("25, 45: a segment is its parts; continuity and times go on from file to file", async () => {
    const origin = open();
    origin.play(run, 0, 240);
    for (const number of [FIRST, FIRST + 1, FIRST + 2]) {
      const parts: Uint8Array[] = [];
      for (let part = 0; part < 10; part++)
        parts.push(await origin.bytes(`64p/${run.id}-${number}.${part}.m4s`));
      const segment = await origin.bytes(`64p/${run.id}-${number}.m4s`);
      expect(joinBytes(parts).toHex()).toBe(segment.toHex());
      const tfdt = findBoxContent(segment, ["moof", "traf", "tfdt"]);
      expect(tfdt?.toHex()).toBe(`01000000${((number - FIRST) * 2_000_000).toString(16).padStart(16, "0")}`);
    }
    const inspector = new TsInspector();
    for (let number = 2 * FIRST; number < 2 * FIRST + 8; number++) {
      const before = inspector.counts.randomAccessPoints;
      inspector.push(await origin.bytes(`64p/${run.id}-${number}.ts`));
      expect(inspector.counts.randomAccessPoints).toBe(before + 1);
    }
    expect(inspector.counts).toMatchObject({ continuityErrors: 0, syncLosses: 0, accessUnits: 240 });
  });

  test("27: the other rendition's report is relative and true, of one shown later the position before", async () => {
    const origin = open();
    origin.play(run, 0, 139);
    const report = (name: string, part: number): string =>
      `#EXT-X-RENDITION-REPORT:URI="../${name}/index.m3u8",LAST-MSN=${FIRST + 2},LAST-PART=${part}\n`;
    expect(await origin.text("64p/index.m3u8")).toEndWith(report("32p", 1));
    expect(await origin.text("32p/index.m3u8")).toEndWith(report("64p", 2));
  });

  test("13: a server that begins anew ends its segment short and begins a discontinuity", async () => {
    const origin = open();
    origin.play(run, 0, 200);
    const next = testsrcRun({
      id: "11111111",
      ordinal: 8,
      startFrame: run.startFrame + 240,
      startTimeMs: run.startTimeMs + 20_000,
      renditions: TWO,
    });
    origin.play(next, 0, 10);
    const text = await origin.text("64p/index.m3u8");
    expect(text).toContain(
      `${run.id}-${FIRST + 3}.3.m4s"\n#EXTINF:0.66667,\n${run.id}-${FIRST + 3}.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="11111111-init.mp4"\n`,
    );
    expect(text).toContain("#EXT-X-PART:DURATION=0.06667,");
    expect((await origin.get("64p/11111111-init.mp4")).status).toBe(200);
    expect((await origin.get(`64p/${run.id}-init.mp4`)).status).toBe(200);
    expect(() => hls.parse(text)).not.toThrow();
  });
});

test("27: the first rendition's part is listed before the second's frame has come, which lists its own after it", async () => {
  const origin = open();
  origin.play(run, 0, 137);
  const last = (part: number): string => `LAST-MSN=${FIRST + 2},LAST-PART=${part}\n`;
  // Frame 137 is the last of part 2 of its segment.
  origin.stream.onFrame(testsrcFrame(run, 137, 1));
  const first = await origin.text("64p/index.m3u8");
  expect(first).toContain(`${run.id}-${FIRST + 2}.2.m4s"\n#EXT-X-PRELOAD-HINT`);
  expect(first).toEndWith(last(1));
  expect(await origin.text("32p/index.m3u8")).toEndWith(last(1));
  origin.stream.onFrame(testsrcFrame(run, 137, 2));
  expect(await origin.text("32p/index.m3u8")).toEndWith(last(2));
});

test("10: one position has one text, whichever rendition's frame came last", async () => {
  const origin = open();
  origin.play(run, 0, 60);
  const texts = new Map<string, string>();
  for (let index = 60; index < 130; index++) {
    for (const { trackId } of run.renditions) {
      origin.stream.onFrame(testsrcFrame(run, index, trackId));
      for (const file of ["64p/index.m3u8", "32p/index.m3u8"]) {
        const text = await origin.text(file);
        const key = `${file} ${hintIn(text)}`;
        expect(texts.get(key) ?? text).toBe(text);
        texts.set(key, text);
      }
    }
  }
  expect(texts.size).toBe(2 * 12);
});
