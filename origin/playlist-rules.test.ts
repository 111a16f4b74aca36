/** Every version of every playlist against the rules of `bench/hls-rules.ts`, while runs begin and end at random. */
import { describe, expect, test } from "bun:test";
import { testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { SEGMENT_SECONDS } from "#common/formats/frame.ts";
import { findBoxContent } from "#common/formats/mp4-boxes.ts";
import { TsInspector } from "#common/formats/fixtures/mpegts-reader.ts";
import { MICROSECONDS_PER_SECOND, TICKS_PER_SECOND } from "#common/units.ts";
import { type HlsDocument, readHlsDocument, tagOf } from "../bench/hls-document.ts";
import { checkMediaText, checkMultivariantText, partsOf, readMedia, secondsOf } from "../bench/hls-rules.ts";
import { checkUpdate, hintedPart, partsAdded } from "../bench/hls-updates.ts";
import { open, type Origin, type PlayedRun, randomRuns, run } from "./origin-fixture.ts";

const FILES = ["index.m3u8", "ts.m3u8"] as const;

/** Plays runs of random lengths, a frame at a time, and calls `onVersion` after each. */
async function playAtRandom(
  origin: Origin,
  runs: readonly PlayedRun[],
  onVersion: () => Promise<void>,
): Promise<void> {
  for (const { run: present, frames } of runs) {
    for (let index = 0; index < frames; index++) {
      origin.play(present, index, index + 1);
      await onVersion();
    }
  }
}

describe.each([
  [1, 30],
  [2, 30],
  [3, 7],
  [4, 24],
  [5, 25],
  [6, 50],
])("playlists of random runs, seed %d at %d fps", (seed, fps) => {
  test("1, 3 to 8, 10 to 14, 19 to 28: no version breaks a rule, alone or after the one before", async () => {
    const origin = open();
    const before = new Map<string, { readonly text: string; readonly document: HlsDocument }>();
    let versions = 0;
    await playAtRandom(origin, randomRuns({ seed, count: 6, fps }), async () => {
      for (const file of FILES) {
        const response = await origin.get(`64p/${file}`);
        if (response.status !== 200) continue;
        const text = await response.text();
        const last = before.get(file);
        if (last?.text === text) continue;
        const document = readHlsDocument(text);
        const findings = [...checkMediaText(document), ...(last ? checkUpdate(last.document, document) : [])];
        expect({ text, findings }).toEqual({ text, findings: [] });
        if (last !== undefined) expectInStep(last.document, document);
        before.set(file, { text, document });
        versions++;
      }
    });
    expect(versions).toBeGreaterThan(100);
  });
});

/** Parts come one at a time, and the first is the one that was hinted at; a run that ends may bring two. */
function expectInStep(before: HlsDocument, after: HlsDocument): void {
  const added = partsAdded(before, after);
  const { firstMsn } = readMedia(after);
  const isNewList = firstMsn > readMedia(before).firstMsn + 1;
  if (isNewList || added.length === 0) return;
  expect(added.length).toBe(1);
  const hint = hintedPart(before) ?? "";
  // Another run has begun, or is about to: then its first part is hinted at, in the version after.
  if (added[0]?.split("-")[0] === hint.split("-")[0]) expect(added[0]).toBe(hint);
}

describe("media and playlists", () => {
  test.each([7, 24, 29, 50, 60])(
    "6, 22, 25: at %d fps EXTINF adds up to decode and presentation times, parts with a key frame say so, parents are their parts",
    async (fps) => {
      const origin = open();
      const present = testsrcRun({ fps, startFrame: 1000 * SEGMENT_SECONDS * fps });
      const next = testsrcRun({
        id: "11111111",
        ordinal: 8,
        fps,
        startFrame: present.startFrame + 5 * SEGMENT_SECONDS * fps,
        startTimeMs: present.startTimeMs + 10_000,
      });
      // The last segment of the first run is a short one.
      const cut = Math.floor(4.6 * SEGMENT_SECONDS * fps);
      origin.play(present, 0, cut);
      origin.play(next, 0, 2 * SEGMENT_SECONDS * fps);
      const { segments } = readHlsDocument(await origin.text("64p/index.m3u8"));
      let sum = 0;
      for (const block of segments) {
        if (block.uri === undefined) continue;
        if (tagOf(block.tags, "DISCONTINUITY") !== undefined) sum = 0;
        const media = await origin.bytes(`64p/${block.uri}`);
        const tfdt = findBoxContent(media, ["moof", "traf", "tfdt"]);
        const units = Number(new DataView(tfdt?.slice().buffer ?? new ArrayBuffer(12)).getBigUint64(4));
        expect(Math.abs(units / MICROSECONDS_PER_SECOND - sum)).toBeLessThan(1 / fps);
        sum += secondsOf(block) ?? 0;
        const parts: string[] = [];
        for (const { attributes } of partsOf(block)) {
          const bytes = await origin.bytes(`64p/${attributes.get("URI")}`);
          parts.push(bytes.toHex());
          expect(attributes.get("INDEPENDENT") === "YES").toBe(holdsKeyFrame(bytes));
        }
        if (parts.length > 0) expect(parts.join("")).toBe(media.toHex());
      }
      expect(segments.length).toBeGreaterThan(6);
      await expectPresentationTimes(origin, fps);
    },
  );

  test("5, 19, 21: another frame rate changes neither the target duration nor that of parts", async () => {
    const origin = open();
    let before: HlsDocument | undefined;
    let startFrame = 1000 * SEGMENT_SECONDS * 30;
    for (const [index, fps] of [30, 25, 50, 60].entries()) {
      startFrame = (startFrame / (SEGMENT_SECONDS * 30)) * SEGMENT_SECONDS * fps;
      const startTimeMs = run.startTimeMs + index * 10_000;
      origin.play(
        testsrcRun({ id: `${index}`.repeat(8), ordinal: 7 + index, fps, startFrame, startTimeMs }),
        0,
        10 * fps,
      );
      startFrame = (startFrame / fps + 10) * 30;
      const document = readHlsDocument(await origin.text("64p/index.m3u8"));
      expect(checkMediaText(document)).toEqual([]);
      if (before !== undefined) expect(checkUpdate(before, document)).toEqual([]);
      before = document;
    }
    expect(origin.stream.listRestarts).toBe(0);
  });

  test.each([
    [25, 7],
    [7, 25],
  ])(
    "19, 20: parts of a run at %d fps are listed no more once one at %d fps has others",
    async (fps, other) => {
      const origin = open();
      const present = testsrcRun({ fps, startFrame: 1000 * SEGMENT_SECONDS * fps });
      const next = testsrcRun({
        id: "11111111",
        ordinal: 8,
        fps: other,
        startFrame: 1005 * SEGMENT_SECONDS * other,
        startTimeMs: present.startTimeMs + 10_000,
      });
      origin.play(present, 0, 10 * fps);
      for (let index = 0; index < 5 * other; index++) {
        origin.play(next, index, index + 1);
        const text = await origin.text("64p/index.m3u8");
        expect({ text, findings: checkMediaText(readHlsDocument(text)) }).toEqual({ text, findings: [] });
      }
      expect(origin.stream.listRestarts).toBe(0);
    },
  );

  test("17: playlists of one multivariant have the same target, control and dates", async () => {
    const origin = open();
    origin.play(run, 0, 1000);
    for (const file of FILES) {
      const [full, small] = await Promise.all(
        ["64p", "32p"].map(async (name) => readHlsDocument(await origin.text(`${name}/${file}`))),
      );
      const shared = (document: HlsDocument | undefined): unknown => ({
        header: document?.header,
        segments: document?.segments.map(({ tags }) => tags.filter(({ name }) => name !== "PART")),
      });
      expect(shared(small)).toEqual(shared(full));
    }
  });

  test("15, 16: multivariant playlists break no rule", async () => {
    const origin = open();
    origin.play(run, 0, 200);
    for (const file of FILES)
      expect(checkMultivariantText(readHlsDocument(await origin.text(file)))).toEqual([]);
  });

  test.each([1, 2, 3, 4, 5])("9: a playlist that begins with %d segments breaks no rule", async (count) => {
    const origin = open();
    origin.play(run, 0, count * 60 + 13);
    for (const file of FILES) {
      const document = readHlsDocument(await origin.text(`64p/${file}`));
      const whole = document.segments.filter(({ uri }) => uri !== undefined);
      expect(whole).toHaveLength(file === "ts.m3u8" ? 2 * count : count);
      expect(checkMediaText(document)).toEqual([]);
    }
  });
});

/** EXTINF of MPEG-TS adds up to the presentation times of first frames, counted from the start of a run. */
async function expectPresentationTimes(origin: Origin, fps: number): Promise<void> {
  let sum = 0;
  let zeroTicks = 0;
  for (const { tags, uri = "" } of readHlsDocument(await origin.text("64p/ts.m3u8")).segments) {
    let firstTicks: number | undefined;
    const inspector = new TsInspector({ onAccessUnit: ({ ptsTicks }) => void (firstTicks ??= ptsTicks) });
    inspector.push(await origin.bytes(`64p/${uri}`));
    if (tagOf(tags, "DISCONTINUITY") !== undefined) [sum, zeroTicks] = [0, firstTicks ?? Number.NaN];
    expect(Math.abs(((firstTicks ?? Number.NaN) - zeroTicks) / TICKS_PER_SECOND - sum)).toBeLessThan(1 / fps);
    sum += secondsOf({ tags, uri }) ?? 0;
  }
}

/** Looks for an IDR picture among the NAL units of a part's `mdat`, each behind its length. */
function holdsKeyFrame(part: Uint8Array): boolean {
  const media = findBoxContent(part, ["mdat"]) ?? new Uint8Array();
  const view = new DataView(media.buffer, media.byteOffset, media.length);
  for (let at = 0; at + 4 < media.length; at += 4 + view.getUint32(at)) {
    if ((view.getUint8(at + 4) & 0x1f) === 5) return true;
  }
  return false;
}
