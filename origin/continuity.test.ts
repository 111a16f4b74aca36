/** What viewers get while the source brings nothing: the whole origin on a clock moved by hand, media read by ffmpeg. */
import { describe, expect, test } from "bun:test";
import { TESTSRC_FIGURES, testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { SEGMENT_SECONDS, type Run } from "#common/formats/frame.ts";
import { checkMediaText } from "../bench/hls-rules.ts";
import { readHlsDocument } from "../bench/hls-document.ts";
import { LOST_MS, SILENT_MS } from "./slate-timer.ts";
import { FIRST, hintIn, open, type Origin, run, TWO } from "./origin-fixture.ts";

const FRAME_MS = 1000 / run.fps;
const PLAYLISTS = ["64p/index.m3u8", "64p/ts.m3u8", "32p/index.m3u8", "32p/ts.m3u8"];

/** Frames `from` to `to` (exclusive) at their pace, as a source tells them. */
function live(origin: Origin, from: number, to: number, of: Run = run): void {
  for (let index = from; index < to; index++) {
    for (const { trackId } of of.renditions) origin.slate.handlers.onFrame(testsrcFrame(of, index, trackId));
    origin.clock.advance(FRAME_MS);
  }
}

/** An origin that has shown `frames` frames of {@link run}. */
function begin(frames: number): Origin {
  const origin = open();
  origin.slate.handlers.onRun(run);
  origin.slate.handlers.onFigures(TESTSRC_FIGURES);
  live(origin, 0, frames);
  return origin;
}

/** The source is gone for `ms`. */
function lose(origin: Origin, ms: number): void {
  origin.source.isConnected = false;
  origin.clock.advance(ms);
}

/** The run of a server that was started again `slots` segments after {@link run}. */
function runAfter(slots: number): Run {
  return testsrcRun({
    id: "11111111",
    ordinal: run.ordinal + 1,
    startFrame: run.startFrame + slots * SEGMENT_SECONDS * run.fps,
    startTimeMs: run.startTimeMs + slots * SEGMENT_SECONDS * 1000,
    renditions: TWO,
  });
}

interface Probe {
  readonly frames: number;
  /** Seconds between neighbouring frames, in hundredths. */
  readonly steps: ReadonlySet<number>;
}

/** Media of one kind in a row, decoded by ffmpeg, which stops at the first error of any kind. */
async function decode(bytes: readonly Uint8Array[], format: string): Promise<Probe> {
  const strict = ["-v", "error", "-xerror", "-err_detect", "explode"];
  const program = Bun.spawn(
    [
      "ffmpeg",
      ...strict,
      "-f",
      format,
      "-i",
      "-",
      "-fps_mode",
      "passthrough",
      "-copyts",
      "-f",
      "framehash",
      "-",
    ],
    { stdio: [Buffer.concat(bytes), "pipe", "pipe"] },
  );
  const [text, errors] = await Promise.all([
    new Response(program.stdout).text(),
    new Response(program.stderr).text(),
  ]);
  if ((await program.exited) !== 0 || errors !== "") throw new Error(`ffmpeg: ${errors}`);
  const [, base = "0", rate = "1"] = /#tb 0: (\d+)\/(\d+)/.exec(text) ?? [];
  const times = text
    .split("\n")
    .filter((line) => line.startsWith("0,"))
    .map((line) => (Number(line.split(",")[2]) * Number(base)) / Number(rate));
  const steps = times.slice(1).map((time, at) => Math.round((time - (times[at] ?? 0)) * 100));
  return { frames: times.length, steps: new Set(steps) };
}

/** All that a playlist lists, its init segment first. */
async function listedMedia(origin: Origin, path: string, runId = run.id): Promise<Uint8Array[]> {
  const text = await origin.text(path);
  const names = text.split("\n").filter((line) => line.startsWith(runId));
  const init = path.endsWith("index.m3u8") ? [`${runId}-init.mp4`] : [];
  return Promise.all([...init, ...names].map((name) => origin.bytes(`${path.split("/")[0]}/${name}`)));
}

async function expectRules(origin: Origin): Promise<void> {
  for (const path of PLAYLISTS) {
    expect(checkMediaText(readHlsDocument(await origin.text(path)))).toEqual([]);
  }
}

describe("Continuity", () => {
  test.each([
    ["is gone", false, LOST_MS],
    ["is silent", true, SILENT_MS],
  ])("begins the slate when the source %s, not before", (_, isConnected, afterMs) => {
    const origin = begin(100);
    origin.source.isConnected = isConnected;
    origin.clock.advance(afterMs - FRAME_MS - 60);
    expect([origin.slate.isShowing, origin.slate.totals.frames]).toEqual([false, 0]);
    origin.clock.advance(120);
    expect(origin.slate.isShowing).toBe(true);
    expect(origin.slate.totals.switches).toEqual({ slate: 1, source: 0 });
    const number = (): number => origin.stream.firstRendition?.nextNumber ?? 0;
    // What was missing comes at once, then everything when it is due.
    const dueIndex = 100 + Math.floor((afterMs + 60 - FRAME_MS) / FRAME_MS);
    expect(number() - run.startFrame).toBeWithin(dueIndex - 1, dueIndex + 3);
    const begun = number();
    origin.clock.advance(10_000);
    expect(number() - begun).toBeWithin(299, 302);
  });

  test("11: parts and segments of an outage come in their time, two never in one update", async () => {
    const origin = begin(180);
    const partOf = async (): Promise<number> => {
      const text = await origin.text("64p/index.m3u8");
      return (
        Number(/-(\d+)\.(\d+)/.exec(hintIn(text))?.[2] ?? 0) + 10 * Number(/-(\d+)\./.exec(hintIn(text))?.[1])
      );
    };
    lose(origin, 1000);
    let newest = await partOf();
    let changedMs = origin.clock.monotonicMs();
    for (let ms = 0; ms < 8000; ms += 10) {
      origin.clock.advance(10);
      const now = await partOf();
      expect(now - newest).toBeWithin(0, 2);
      if (now !== newest) {
        expect(origin.clock.monotonicMs() - changedMs).toBeWithin(100, 260);
        changedMs = origin.clock.monotonicMs();
      }
      newest = now;
    }
    await expectRules(origin);
  });

  test("14, 42, 44: media of source, slate and source again are one stream without a hole", async () => {
    const origin = begin(130);
    lose(origin, 5_000);
    origin.source.isConnected = true;
    // The feed's history comes first; what was shown already is left out.
    const nowIndex = 130 + Math.round(5_000 / FRAME_MS);
    origin.slate.handlers.onRun(run);
    for (let index = 0; index < nowIndex; index++) {
      for (const { trackId } of TWO) origin.slate.handlers.onFrame(testsrcFrame(run, index, trackId));
    }
    expect(origin.slate.isShowing).toBe(true);
    live(origin, nowIndex, nowIndex + 120);
    expect(origin.slate.isShowing).toBe(false);
    expect(origin.slate.totals.switches).toEqual({ slate: 1, source: 1 });
    for (const path of PLAYLISTS) {
      const text = await origin.text(path);
      // That of the first segment alone.
      expect(text.match(/#EXT-X-DISCONTINUITY$/gm)?.length).toBe(1);
      expect(text).not.toContain("EXT-X-GAP");
      const { frames, steps } = await decode(
        await listedMedia(origin, path),
        path.endsWith("ts.m3u8") ? "mpegts" : "mp4",
      );
      expect([...steps]).toEqual([3]);
      expect(frames).toBeWithin(nowIndex + 120 - 61, nowIndex + 121);
    }
    expect(origin.stream.listRestarts).toBe(0);
    await expectRules(origin);
  });

  test("8: what holds a picture of the slate has a name of its own, other names are the source's", async () => {
    const origin = begin(130);
    const hinted = hintIn(await origin.text("64p/index.m3u8"));
    const held = origin.get(`64p/${hinted}`);
    lose(origin, 3_000);
    // Its plan has changed.
    expect((await held).status).toBe(404);
    live(origin, 240, 250);
    expect(origin.slate.isShowing).toBe(false);
    const text = await origin.text("64p/index.m3u8");
    const names = [...text.matchAll(/(?:URI="|^)0a1b2c3d-(\d+[^"\n]*m4s)/gm)].map(([, name]) => name);
    const [two, three, four] = [FIRST + 2, FIRST + 3, FIRST + 4];
    expect(names.filter((name) => name?.startsWith(`${two}`))).toEqual([
      `${two}.0.m4s`,
      ...Array.from({ length: 9 }, (_, part) => `${two}.${part + 1}-s.m4s`),
      `${two}-s.m4s`,
    ]);
    expect(
      names.filter((name) => name?.startsWith(`${three}`)).every((name) => name?.endsWith("-s.m4s")),
    ).toBe(true);
    expect(names.filter((name) => name?.startsWith(`${four}`))).toEqual([`${four}.0.m4s`, `${four}.1.m4s`]);
    for (const name of names.slice(0, -1))
      expect((await origin.get(`64p/0a1b2c3d-${name}`)).status).toBe(200);
  });

  test("8, 12, 13: a server that was started again follows at its own number, dates and numbers without a step", async () => {
    const origin = begin(130);
    lose(origin, 3_500);
    const next = runAfter(4);
    origin.source.isConnected = true;
    origin.slate.handlers.onRun(next);
    origin.clock.advance(480 * FRAME_MS - 130 * FRAME_MS - 3_500 - 240 * FRAME_MS + 30);
    expect(origin.stream.run?.id).toBe(run.id);
    live(origin, 0, 130, next);
    expect(origin.stream.run?.id).toBe(next.id);
    expect([origin.stream.listRestarts, origin.stream.runs]).toEqual([0, 2]);
    for (const path of PLAYLISTS) {
      const text = await origin.text(path);
      const seconds = path.endsWith("ts.m3u8") ? 1 : 2;
      const lengths = [...text.matchAll(/#EXTINF:([\d.]+)/g)].map(([, length]) => Number(length));
      expect(lengths.every((length) => length === seconds)).toBe(true);
      const dates = [...text.matchAll(/DATE-TIME:(.*)/g)].map(([, date = ""]) => Date.parse(date));
      expect(dates).toEqual(dates.map((_, at) => run.startTimeMs + at * seconds * 1000));
      expect(text.match(/#EXT-X-DISCONTINUITY$/gm)?.length).toBe(2);
      expect(text).not.toContain("EXT-X-GAP");
      expect(text).toContain(`MEDIA-SEQUENCE:${(FIRST * 2) / seconds}\n`);
    }
    await expectRules(origin);
  });

  test("8: a run that is told of too late follows at the next segment that has nothing of the slate", async () => {
    const origin = begin(130);
    lose(origin, 6_000);
    const next = runAfter(4);
    // It began at 8 s; now it is 10.3 s.
    origin.slate.handlers.onRun(next);
    live(origin, 0, 70, next);
    expect(origin.stream.run?.id).toBe(run.id);
    live(origin, 70, 121, next);
    expect(origin.stream.run?.id).toBe(next.id);
    // Its first part that is to come, not that of its start.
    const hint = `11111111-${FIRST + 6}.0.m4s`;
    expect(hintIn(await origin.text("64p/index.m3u8"))).toBe(hint);
    const hinted = origin.get(`64p/${hint}`);
    live(origin, 121, 190, next);
    expect((await hinted).status).toBe(200);
    const text = await origin.text("64p/index.m3u8");
    expect(text).toContain(`#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="11111111-init.mp4"\n`);
    expect(text).not.toContain("11111111-" + String(FIRST + 4));
    expect(origin.stream.listRestarts).toBe(0);
    await expectRules(origin);
  });

  /** The longest time without a frame in the next `ms`. */
  function longestPauseMs(origin: Origin, ms: number, every?: (passedMs: number) => void): number {
    const number = (): number => origin.stream.firstRendition?.nextNumber ?? 0;
    let [newest, changedMs, longestMs] = [number(), 0, 0];
    for (let passedMs = 10; passedMs <= ms; passedMs += 10) {
      every?.(passedMs);
      origin.clock.advance(10);
      if (number() !== newest) changedMs = passedMs;
      newest = number();
      longestMs = Math.max(longestMs, passedMs - changedMs);
    }
    return longestMs;
  }

  test("11: a server that dies again before its first frame holds up the slate at the start of its run alone", () => {
    const origin = begin(130);
    lose(origin, 2_000);
    origin.slate.handlers.onRun(runAfter(4));
    // Its run begins 1.7 s from now; a second longer it is waited for.
    expect(longestPauseMs(origin, 3_000)).toBeWithin(900, 1_100);
    expect(longestPauseMs(origin, 10_000)).toBeLessThan(100);
    expect(origin.slate.isShowing).toBe(true);
  });

  test("11: a source that is opened again and again and has nothing new does not hold up the slate", () => {
    const origin = begin(130);
    lose(origin, 3_000);
    const pauseMs = longestPauseMs(origin, 12_000, (passedMs) => {
      if (passedMs % 3_000 !== 0) return;
      origin.slate.handlers.onRun(run);
      for (let index = 0; index < 130; index++) {
        for (const { trackId } of TWO) origin.slate.handlers.onFrame(testsrcFrame(run, index, trackId));
      }
    });
    expect(pauseMs).toBeLessThan(100);
    expect(origin.slate.isShowing).toBe(true);
  });

  test("8, 10: two origins that lose the source at the same frame write the same bytes", async () => {
    const [one, other] = [begin(137), begin(137)];
    lose(one, 4_000);
    other.clock.advance(4_300);
    live(one, 270, 400);
    other.clock.advance(100);
    live(other, 270, 400);
    for (const path of PLAYLISTS) {
      expect(await one.text(path)).toBe(await other.text(path));
      expect(await listedMedia(one, path)).toEqual(await listedMedia(other, path));
    }
  });

  test("is silent before there is anything to continue, and while history is read", () => {
    const origin = open();
    origin.clock.advance(5_000);
    origin.slate.handlers.onRun(run);
    for (let index = 0; index < 70; index++) origin.slate.handlers.onFrame(testsrcFrame(run, index));
    origin.clock.advance(1_500);
    expect(origin.slate.totals.frames).toBe(0);
  });

  test("shows no slate where frames are not all as long as the others", () => {
    const origin = open();
    origin.slate.handlers.onRun({ ...run, timescale: 90_000 });
    origin.slate.handlers.onFigures(TESTSRC_FIGURES);
    live(origin, 0, 100);
    lose(origin, 5_000);
    expect([origin.slate.isShowing, origin.slate.totals.frames]).toEqual([false, 0]);
  });
});
