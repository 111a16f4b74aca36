/** What playlists say where a run ends and another begins, and of the history that a source sends first. */
import { describe, expect, test } from "bun:test";
import * as hls from "hls-parser";
import { TESTSRC_FIGURES, testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import type { Run } from "#common/formats/frame.ts";
import { FIRST, open, run, TWO } from "./origin-fixture.ts";

hls.setOptions({ strictMode: true });

describe("a source that begins anew", () => {
  const following = (startFrame: number, afterMs = 20_000): Run =>
    testsrcRun({
      id: "11111111",
      ordinal: 8,
      startFrame,
      startTimeMs: run.startTimeMs + afterMs,
      renditions: TWO,
    });

  test.each([
    ["in the first second of a segment", 195, 240],
    ["in the second one", 225, 240],
    ["before a segment that was begun", 240, 300],
  ])("14: whose server died %s leaves no hole in the numbers", async (_, died, start) => {
    const origin = open();
    origin.play(run, 0, 150);
    const gaps = { "index.m3u8": 0, "ts.m3u8": 0 };
    const next = following(run.startFrame + start);
    for (let index = 150; index < died; index++) origin.play(run, index, index + 1);
    for (let index = 0; index < 90; index++) {
      origin.play(next, index, index + 1);
      for (const file of ["index.m3u8", "ts.m3u8"] as const) {
        const text = await origin.text(`64p/${file}`);
        const playlist = hls.parse(text);
        if (playlist.isMasterPlaylist) throw new Error("a media playlist was expected");
        expect(playlist.mediaSequenceBase).toBe(file === "ts.m3u8" ? 2 * FIRST : FIRST);
        gaps[file] = playlist.segments.filter((segment) => segment.gap).length;
      }
    }
    expect(gaps).toEqual({
      "index.m3u8": start / 60 - Math.ceil(died / 60),
      "ts.m3u8": start / 30 - Math.ceil(died / 30),
    });
    expect(origin.stream.listRestarts).toBe(0);
    const ts = await origin.text("64p/ts.m3u8");
    expect(ts.includes("#EXT-X-VERSION:8\n")).toBe(gaps["ts.m3u8"] > 0);
    for (const [, name = ""] of ts.matchAll(/GAP\n#EXTINF:1\.00000,\n(.*)/g)) {
      expect((await origin.get(`64p/${name}`)).status).toBe(404);
    }
  });

  test("12, 14: a gap is as long as what is missing, so that dates never go back behind it", async () => {
    const origin = open();
    origin.play(run, 0, 240);
    // The next run begins 0.3 s after the last frame, in the slot after the one that nobody saw.
    origin.play(following(run.startFrame + 300, 8300), 0, 61);
    const text = await origin.text("64p/index.m3u8");
    expect(text).toContain(
      `#EXT-X-GAP\n#EXTINF:0.30000,\n${run.id}-${FIRST + 4}.m4s\n#EXT-X-DISCONTINUITY\n`,
    );
    for (const file of ["index.m3u8", "ts.m3u8"]) {
      const segments = (await origin.text(`64p/${file}`)).matchAll(
        /DATE-TIME:(.*)(?:\n#.*)*?\n#EXTINF:([\d.]+)/g,
      );
      let endMs = 0;
      for (const [, date = "", seconds = ""] of segments) {
        expect(Date.parse(date)).toBeGreaterThanOrEqual(endMs - 1);
        endMs = Date.parse(date) + Number(seconds) * 1000;
      }
      expect(endMs).toBeGreaterThanOrEqual(run.startTimeMs + 8300 + 1000);
    }
  });

  test("26: hints at the next run's init segment and at its first part", async () => {
    const origin = open();
    origin.play(run, 0, 200);
    const next = following(run.startFrame + 300);
    origin.play(next, 0, 0);
    const text = await origin.text("64p/index.m3u8");
    expect(text).toContain('#EXT-X-PRELOAD-HINT:TYPE=MAP,URI="11111111-init.mp4"\n');
    expect(text).toContain(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="11111111-${FIRST + 5}.0.m4s"\n`);
    const hinted = origin.get(`64p/11111111-${FIRST + 5}.0.m4s`);
    origin.play(next, 0, 6);
    expect((await hinted).status).toBe(200);
    expect(() => hls.parse(text)).not.toThrow();
  });
});

describe("an origin that begins in the midst of a stream", () => {
  test("8, 9: shows nothing of the history while it reads it: no 400, no lower number", async () => {
    const origin = open();
    const asked = `64p/index.m3u8?_HLS_msn=${FIRST + 20}&_HLS_part=0`;
    for (let index = 0; index < 1200; index++) {
      origin.play(run, index, index + 1, true);
      for (const path of ["64p/index.m3u8", "64p/ts.m3u8", asked, "index.m3u8", "stream.ts"]) {
        const response = await origin.get(path);
        if (response.status === 503) expect(response.headers.get("retry-after")).toBe("1");
        else throw new Error(`${path} is ${response.status} at frame ${index}`);
      }
      expect((await origin.get(`64p/${run.id}-1.m4s`)).status).toBe(503);
    }
    origin.stream.onFigures(TESTSRC_FIGURES);
    expect(await origin.text("64p/index.m3u8")).toContain(`MEDIA-SEQUENCE:${FIRST + 8}\n`);
    const held = origin.get(asked);
    origin.play(run, 1200, 1206);
    expect((await held).status).toBe(200);
  });

  test("without figures it goes by the pace, and by silence", async () => {
    const origin = open();
    origin.play(run, 0, 90, true);
    expect((await origin.get("64p/index.m3u8")).status).toBe(503);
    origin.clock.advance(2000);
    expect((await origin.get("64p/index.m3u8")).status).toBe(200);
    const other = open();
    other.play(run, 0, 90, true);
    const live = (from: number, to: number): void => {
      for (let index = from; index < to; index++) {
        other.clock.advance(1000 / 30);
        other.stream.onFrame(testsrcFrame(run, index));
      }
    };
    live(90, 110);
    expect(other.stream.isCatchingUp).toBe(true);
    live(110, 160);
    expect(other.stream.isCatchingUp).toBe(false);
  });
});
