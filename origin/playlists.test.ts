/** What playlists say as frames come in, over runs and renditions. */
import { describe, expect, test } from "bun:test";
import * as hls from "hls-parser";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { findBoxContent, joinBytes } from "#common/formats/mp4-boxes.ts";
import { TsInspector } from "#common/formats/fixtures/mpegts-reader.ts";
import type { Run } from "#common/formats/frame.ts";
import { FIGURES, FIRST, open, type Origin, run, TWO } from "./origin-fixture.ts";

hls.setOptions({ strictMode: true });

const value = (text: string, pattern: RegExp): string | undefined => pattern.exec(text)?.[1];

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

  test("4: a second origin, begun later with the last half minute, writes the same playlists and media", async () => {
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
      expect(tfdt?.toHex()).toBe(`01000000${((number - FIRST) * 60_000).toString(16).padStart(16, "0")}`);
    }
    const inspector = new TsInspector();
    for (let number = 2 * FIRST; number < 2 * FIRST + 8; number++) {
      const before = inspector.counts.randomAccessPoints;
      inspector.push(await origin.bytes(`64p/${run.id}-${number}.ts`));
      expect(inspector.counts.randomAccessPoints).toBe(before + 1);
    }
    expect(inspector.counts).toMatchObject({ continuityErrors: 0, syncLosses: 0, accessUnits: 240 });
  });

  test("27: the other rendition's report is true and relative", async () => {
    const origin = open();
    origin.play(run, 0, 139);
    const report = `#EXT-X-RENDITION-REPORT:URI="../32p/index.m3u8",LAST-MSN=${FIRST + 2},LAST-PART=2\n`;
    expect(await origin.text("64p/index.m3u8")).toEndWith(report);
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

describe("a source that begins anew", () => {
  const following = (startFrame: number): Run =>
    testsrcRun({
      id: "11111111",
      ordinal: 8,
      startFrame,
      startTimeMs: run.startTimeMs + 20_000,
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

  test("15: hints at the next run's init segment and at its first part", async () => {
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
  test("23: shows nothing of the history while it reads it: no 400, no lower number", async () => {
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
    origin.stream.onFigures(FIGURES);
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

test("18: one position has one text, whichever rendition's frame came last", async () => {
  const origin = open();
  origin.play(run, 0, 60);
  const texts = new Map<string, string>();
  for (let index = 60; index < 130; index++) {
    for (const { trackId } of run.renditions) {
      origin.stream.onFrame(testsrcFrame(run, index, trackId));
      for (const file of ["64p/index.m3u8", "32p/index.m3u8"]) {
        const text = await origin.text(file);
        const key = `${file} ${value(text, /HINT:TYPE=PART,URI="([^"]+)/)}`;
        expect(texts.get(key) ?? text).toBe(text);
        texts.set(key, text);
      }
    }
  }
  expect(texts.size).toBe(2 * 12);
});

describe("blocking reload", () => {
  const url = (segment: number, part?: number): string =>
    `64p/index.m3u8?_HLS_msn=${segment}${part === undefined ? "" : `&_HLS_part=${part}`}`;

  /** Last whole segment is FIRST + 1; of the next one, parts 0 to 2 are there. */
  function begun(options = {}): Origin {
    const origin = open(options);
    origin.play(run, 0, 138);
    return origin;
  }

  /** Whether a request is answered before anything more is published. */
  async function isHeld(origin: Origin, path: string): Promise<boolean> {
    const before = origin.budget.count;
    const response = origin.get(path);
    await Bun.sleep(0);
    const held = origin.budget.count > before;
    origin.stream.close();
    await response;
    return held;
  }

  test.each([
    [url(FIRST + 2, 2), 200],
    [url(FIRST + 1, 9), 200],
    [url(0, 0), 200],
    [url(FIRST + 1), 200],
    [url(FIRST + 2), 200],
    [`${url(0, 0)}&_HLS_skip=YES&_HLS_new=1`, 200],
    [url(FIRST + 4), 400],
    [url(FIRST + 4, 0), 400],
    [url(FIRST + 3, 9), 400],
    ["64p/index.m3u8?_HLS_part=1", 400],
    ["64p/index.m3u8?_HLS_msn=x", 400],
    ["64p/index.m3u8?_HLS_msn=-1", 400],
    ["64p/index.m3u8?_HLS_msn=1.5", 400],
    ["64p/index.m3u8?_HLS_msn=1e3", 400],
    ["64p/index.m3u8?_HLS_msn=99999999999999999999", 400],
    ["64p/index.m3u8?_HLS_msn=1&_HLS_msn=1", 400],
    ["64p/ts.m3u8?_HLS_msn=99999999", 400],
  ])("30, 31, 33: %s is answered at once with %d", async (path, status) => {
    const origin = begun();
    const response = await origin.get(path);
    expect(response.status).toBe(status);
    expect(response.headers.get("cache-control")).toBe(status === 200 ? "max-age=12" : "no-store");
  });

  test.each([
    url(FIRST + 2, 3),
    url(FIRST + 2, 9),
    url(FIRST + 2, 10),
    url(FIRST + 3),
    url(FIRST + 3, 0),
    `64p/ts.m3u8?_HLS_msn=${2 * FIRST + 4}`,
  ])("29, 32, 36: %s is held", async (path) => expect(await isHeld(begun(), path)).toBe(true));

  test("29, 31: is answered with the whole playlist as soon as it has the part", async () => {
    const origin = begun();
    const part = origin.text(url(FIRST + 2, 3));
    const next = origin.text(url(FIRST + 2, 10));
    origin.play(run, 138, 143);
    expect(origin.budget.count).toBe(2);
    origin.play(run, 143, 144);
    expect(await part).toContain(`URI="${run.id}-${FIRST + 2}.3.m4s"\n#EXT-X-PRELOAD-HINT`);
    origin.play(run, 144, 180);
    expect(origin.budget.count).toBe(1);
    origin.play(run, 180, 186);
    expect(await next).toContain(`${run.id}-${FIRST + 3}.0.m4s`);
  });

  test("34: 503 with Retry-After after three target durations, never the old playlist", async () => {
    const origin = begun();
    const response = origin.get(url(FIRST + 2, 3));
    await Bun.sleep(0);
    origin.clock.advance(6000);
    expect((await response).status).toBe(503);
    expect((await response).headers.get("retry-after")).toBe("1");
  });

  test("38: a client that leaves frees its place; past the bound 503", async () => {
    const origin = begun({ heldMax: 1 });
    const leaving = new AbortController();
    const first = origin.get(url(FIRST + 2, 3), { signal: leaving.signal });
    await Bun.sleep(0);
    expect((await origin.get(url(FIRST + 2, 3))).status).toBe(503);
    leaving.abort();
    await first;
    expect(origin.budget.count).toBe(0);
  });

  test("38: all who wait get the same compressed bytes", async () => {
    const origin = begun();
    const waiting = Array.from({ length: 50 }, () =>
      origin.get(url(FIRST + 2, 3), { headers: { "accept-encoding": "gzip" } }),
    );
    await Bun.sleep(0);
    origin.play(run, 138, 144);
    const answers = await Promise.all(waiting);
    const bodies = await Promise.all(
      answers.map(async (response) => Bun.gunzipSync(await response.bytes()).toHex()),
    );
    expect(new Set(bodies).size).toBe(1);
    expect(new Set(answers.map((response) => response.headers.get("etag"))).size).toBe(1);
  });

  test("47: the hinted part is held until it is whole; one not hinted is 404 at once", async () => {
    const origin = begun();
    const hinted = value(await origin.text("64p/index.m3u8"), /HINT:TYPE=PART,URI="([^"]+)/) ?? "";
    const response = origin.get(`64p/${hinted}`);
    expect((await origin.get(`64p/${hinted}`, { method: "HEAD" })).status).toBe(404);
    expect((await origin.get(`64p/${run.id}-${FIRST + 2}.4.m4s`)).status).toBe(404);
    expect(origin.budget.count).toBe(1);
    origin.play(run, 138, 144);
    expect((await response).status).toBe(200);
    expect((await (await response).bytes()).toHex()).toBe((await origin.bytes(`64p/${hinted}`)).toHex());
  });

  test("47: where another run begins instead, the hinted part is 404", async () => {
    const origin = begun();
    const response = origin.get(`64p/${run.id}-${FIRST + 2}.3.m4s`);
    await Bun.sleep(0);
    origin.play(
      testsrcRun({ id: "11111111", ordinal: 8, startFrame: run.startFrame + 180, renditions: TWO }),
      0,
      6,
    );
    expect((await response).status).toBe(404);
  });
});
