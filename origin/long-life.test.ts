/** What holds for as long as a stream lives, and from whatever moment an origin sees it. */
import { describe, expect, test } from "bun:test";
import { TsInspector } from "#common/formats/fixtures/mpegts-reader.ts";
import { testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { findBoxContent } from "#common/formats/mp4-boxes.ts";
import { createRandom } from "#common/random.ts";
import type { ViewerSink } from "#common/ts-fan-out.ts";
import { TICKS_WRAP } from "#common/units.ts";
import { numberOf, readHlsDocument, type SegmentBlock, tagOf } from "../bench/hls-document.ts";
import { checkMediaText } from "../bench/hls-rules.ts";
import { hintIn, open, type Origin, randomRuns } from "./origin-fixture.ts";

const FPS = 30;
const HOUR_FRAMES = 3600 * FPS;
/** Frames after which decode times in microseconds, and ticks of 90 kHz, pass their 32 and 33 bits. */
const TFDT_WRAP_FRAMES = Math.floor((2 ** 32 / 1_000_000) * FPS);
const PTS_WRAP_FRAMES = Math.floor(TICKS_WRAP / 3000);

/** A run without a rendition but the first. */
const run = testsrcRun();

/** Decode times of all fragments in a file, one after the other. */
function decodeTimes(file: Uint8Array): number[] {
  const times: number[] = [];
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  for (let at = 0; at < file.length; at += view.getUint32(at)) {
    const tfdt = findBoxContent(file.subarray(at, at + view.getUint32(at)), ["moof", "traf", "tfdt"]);
    if (tfdt === undefined) continue;
    const content = new DataView(tfdt.buffer, tfdt.byteOffset, tfdt.length);
    expect(content.getUint8(0)).toBe(1);
    times.push(Number(content.getBigUint64(4)));
  }
  return times;
}

/** Plays frames `from` to `to` at their pace by the origin's clock. */
function playLive(origin: Origin, from: number, to: number): void {
  for (let index = from; index < to; index++) {
    origin.clock.advance(1000 / FPS);
    origin.play(run, index, index + 1);
  }
}

async function segmentsOf(origin: Origin, file: string): Promise<readonly SegmentBlock[]> {
  const document = readHlsDocument(await origin.text(`64p/${file}`));
  expect(checkMediaText(document)).toEqual([]);
  const first = numberOf(document.header, "MEDIA-SEQUENCE") ?? 0;
  const seconds = numberOf(document.header, "TARGETDURATION") ?? 0;
  for (const [index, { tags }] of document.segments.entries()) {
    const frames = (first + index) * seconds * FPS - run.startFrame;
    const date = Date.parse(tagOf(tags, "PROGRAM-DATE-TIME")?.value ?? "");
    expect(date).toBe(run.startTimeMs + (frames * 1000) / FPS);
  }
  return document.segments.filter(({ uri }) => uri !== undefined);
}

/** Decode times go on from fragment to fragment and from segment to segment. */
async function expectDecodeTimes(origin: Origin): Promise<void> {
  let due: number | undefined;
  for (const { uri = "" } of await segmentsOf(origin, "index.m3u8")) {
    const segmentNumber = Number(/-(\d+)\./.exec(uri)?.[1]);
    due ??= segmentNumber * 2_000_000 - (run.startFrame / FPS) * 1_000_000;
    for (const time of decodeTimes(await origin.bytes(`64p/${uri}`))) {
      expect(time).toBe(due);
      due += 200_000;
    }
  }
}

/** Presentation times go on from frame to frame and from segment to segment, past 33 bits. */
async function expectPresentationTimes(origin: Origin): Promise<void> {
  let due: number | undefined;
  const inspector = new TsInspector({
    onAccessUnit({ ptsTicks = -1 }) {
      expect(ptsTicks).toBe(due ?? ptsTicks);
      due = (ptsTicks + 3000) % TICKS_WRAP;
    },
  });
  for (const { uri = "" } of await segmentsOf(origin, "ts.m3u8")) {
    inspector.push(await origin.bytes(`64p/${uri}`));
  }
  expect(inspector.counts).toMatchObject({ continuityErrors: 0, syncLosses: 0, discontinuities: 0 });
  expect(inspector.pcrGapTicksMax).toBeLessThanOrEqual(9000);
}

/** A viewer of the endless `.ts`, who sees what goes out. */
function joinRelay(origin: Origin): { readonly inspector: TsInspector; readonly steps: Set<number> } {
  const steps = new Set<number>();
  let last: number | undefined;
  const inspector = new TsInspector({
    onAccessUnit({ ptsTicks = -1 }) {
      if (last !== undefined) steps.add((ptsTicks - last + TICKS_WRAP) % TICKS_WRAP);
      last = ptsTicks;
    },
  });
  const sink: ViewerSink = {
    canWrite: true,
    isClosed: false,
    write: (bytes) => inspector.push(bytes as Uint8Array),
    close() {},
    abort() {},
  };
  origin.stream.rendition("64p")?.relay.join(sink);
  return { inspector, steps };
}

test("6, 12, 42, 44: five days by a fake clock: numbers, dates and times go on, memory does not grow", async () => {
  const origin = open();
  const sizes: number[] = [];
  let before = -1;
  for (const hours of [0, 7, 24, 26, 48, 72, 96, 119.9]) {
    const from = Math.floor(hours * HOUR_FRAMES);
    // The source is away in between: one clock for all of it.
    origin.clock.advance(run.startTimeMs + (from * 1000) / FPS - origin.clock.wallMs());
    playLive(origin, from, from + 64 * FPS);
    await expectDecodeTimes(origin);
    await expectPresentationTimes(origin);
    const text = await origin.text("64p/index.m3u8");
    const first = numberOf(readHlsDocument(text).header, "MEDIA-SEQUENCE") ?? -1;
    expect(first).toBeGreaterThan(before);
    expect(text.match(/#EXTINF/g)).toHaveLength(12);
    before = first;
    sizes.push(origin.stream.windowBytes);
  }
  expect(Math.max(...sizes)).toBeLessThan(1.1 * (sizes[0] ?? 0));
});

test("42: decode times go on past 32 bits, in segments and from one to the next", async () => {
  const origin = open();
  const from = TFDT_WRAP_FRAMES - (TFDT_WRAP_FRAMES % 60) - 600;
  playLive(origin, from, from + 1200);
  await expectDecodeTimes(origin);
  const uris = (await segmentsOf(origin, "index.m3u8")).map(({ uri = "" }) => uri);
  const times = (await Promise.all(uris.map((uri) => origin.bytes(`64p/${uri}`)))).flatMap(decodeTimes);
  expect(Math.min(...times)).toBeLessThan(2 ** 32);
  expect(Math.max(...times)).toBeGreaterThan(2 ** 32);
});

test("44: presentation times go on past 33 bits, in segments and in the endless stream", async () => {
  const origin = open();
  const from = PTS_WRAP_FRAMES - (PTS_WRAP_FRAMES % 60) - 300;
  playLive(origin, from, from + 60);
  const { inspector, steps } = joinRelay(origin);
  playLive(origin, from + 60, from + 600);
  await expectPresentationTimes(origin);
  // It wrapped: the last time is lower than a third of what 33 bits hold.
  expect(inspector.ptsTicks).toBeLessThan(TICKS_WRAP / 3);
  expect([...steps]).toEqual([3000]);
  expect(inspector.counts).toMatchObject({ continuityErrors: 0, discontinuities: 0 });
});

describe.each([11, 12, 13, 14, 15, 16])("random runs, seed %d", (seed) => {
  const runs = randomRuns({ seed, count: 7, fps: FPS });
  const frames = runs.flatMap((played) =>
    Array.from({ length: played.frames }, (_, index) => ({ run: played.run, index })),
  );

  function played(from: number): Origin {
    const origin = open();
    for (const { run, index } of frames.slice(from)) origin.play(run, index, index + 1);
    return origin;
  }

  test("8, 10, 55: origins that begin at different moments have the same bytes for the same names", async () => {
    const next = createRandom(seed);
    const first = played(0);
    // Long enough before the end to have seen all that is listed.
    const second = played(Math.floor(next() * Math.max(0, frames.length - 30 * FPS)));
    const gzip = { headers: { "accept-encoding": "gzip" } };
    for (const path of [
      "index.m3u8",
      "ts.m3u8",
      ...["64p", "32p"].flatMap((name) => [`${name}/index.m3u8`, `${name}/ts.m3u8`]),
    ]) {
      const [one, other] = await Promise.all([first.get(path, gzip), second.get(path, gzip)]);
      expect(other.headers.get("etag")).toBe(one.headers.get("etag"));
      expect((await other.bytes()).toHex()).toBe((await one.bytes()).toHex());
      const text = await first.text(path);
      const folder = path.includes("/") ? path.slice(0, path.indexOf("/") + 1) : "";
      const names = [...text.matchAll(/(?:URI="|^)([0-9a-f]{8}-[\w.]+)/gm)].map(([, name = ""]) => name);
      for (const name of names.filter((name) => name !== hintIn(text))) {
        const [mine, theirs] = await Promise.all([
          first.get(`${folder}${name}`),
          second.get(`${folder}${name}`),
        ]);
        expect(theirs.status).toBe(mine.status);
        if (mine.status === 200) expect((await theirs.bytes()).toHex()).toBe((await mine.bytes()).toHex());
      }
    }
  });

  test("25, 46: all that is listed is there, and every segment is its parts", async () => {
    const origin = played(0);
    const { segments } = readHlsDocument(await origin.text("64p/index.m3u8"));
    for (const { tags, uri } of segments) {
      if (uri === undefined || tagOf(tags, "GAP") !== undefined) continue;
      const whole = await origin.get(`64p/${uri}`);
      expect(whole.status).toBe(200);
      // All parts are there, listed or not, for as long as the segment is.
      const parts: string[] = [];
      for (let part = 0; ; part++) {
        const response = await origin.get(`64p/${uri.replace(".m4s", `.${part}.m4s`)}`);
        if (response.status !== 200) break;
        parts.push((await response.bytes()).toHex());
      }
      expect(parts.join("")).toBe((await whole.bytes()).toHex());
    }
  });
});
