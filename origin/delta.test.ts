/** Delta updates: a player that has the playlist from before ends up with the very playlist that it would have got whole. */
import { describe, expect, test } from "bun:test";
import { testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { silentLog } from "#common/log.ts";
import {
  type HlsDocument,
  numberOf,
  readHlsDocument,
  type SegmentBlock,
  tagOf,
} from "../bench/hls-document.ts";
import { FIRST, open, type Origin, run, TWO } from "./origin-fixture.ts";

/** A segment as a player knows it, with the map that applies to it. */
interface Known {
  readonly msn: number;
  readonly map: string | undefined;
  readonly block: SegmentBlock;
}

const next = testsrcRun({
  id: "11111111",
  ordinal: 8,
  startFrame: run.startFrame + 4200,
  startTimeMs: run.startTimeMs + 141_000,
  renditions: TWO,
});

/** A stream with a long window, 140 s old; a new run began 10 s ago where asked for. */
function aged({ withNext = false } = {}): Origin {
  const origin = open({ windowSeconds: 130 });
  origin.play(run, 0, 4190);
  if (withNext) origin.play(next, 0, 300);
  return origin;
}

/** What a player knows after `text`, whose skipped segments it takes from what it knew `before`. */
function merge(text: string, before: readonly Known[]): readonly Known[] {
  const document = readHlsDocument(text);
  expect(document.problems).toEqual([]);
  const first = numberOf(document.header, "MEDIA-SEQUENCE") ?? -1;
  const skipped = skippedIn(document);
  const taken = before.filter(({ msn }) => msn >= first && msn < first + skipped);
  expect(taken).toHaveLength(skipped);
  let map = taken.at(-1)?.map;
  const listed = document.segments.map((block, index) => {
    map = tagOf(block.tags, "MAP")?.value ?? map;
    const tags = block.tags.filter(({ name }) => name !== "MAP");
    return { msn: first + skipped + index, map, block: { ...block, tags } };
  });
  return [...taken, ...listed];
}

function skippedIn({ header }: HlsDocument): number {
  return Number(tagOf(header, "SKIP")?.attributes.get("SKIPPED-SEGMENTS") ?? 0);
}

function headOf(text: string): readonly string[] {
  const { header, footer } = readHlsDocument(text);
  return [...header.filter(({ name }) => name !== "SKIP"), ...footer].map(
    (tag) => `${tag.name}:${tag.value}`,
  );
}

describe.each(["index.m3u8", "ts.m3u8"])("delta updates of %s", (file) => {
  test("39: merged with the whole playlist from up to half the skip boundary before, they are the whole playlist", async () => {
    const origin = aged();
    const olds: (readonly Known[])[] = [];
    let skippedMax = 0;
    const step = async (): Promise<void> => {
      const full = await origin.text(`64p/${file}`);
      const delta = await origin.text(`64p/${file}?_HLS_skip=YES`);
      const whole = merge(full, []);
      // Parts leave the playlist: of what is skipped none are listed any more.
      for (const old of olds) expect(merge(delta, old)).toEqual(whole);
      expect(headOf(delta)).toEqual(headOf(full));
      skippedMax = Math.max(skippedMax, skippedIn(readHlsDocument(delta)));
      olds.push(whole);
      if (olds.length > (file === "ts.m3u8" ? 3 : 6)) olds.shift();
    };
    await step();
    for (let index = 0; index < 960; index += 30) {
      origin.play(next, index, index + 30);
      await step();
    }
    // 65 segments of 2 s, of which six whole ones stay; 130 of 1 s.
    expect(skippedMax).toBe(file === "ts.m3u8" ? 124 : 59);
  });

  test("3, 39: leave out exactly the segments beyond the boundary, with the numbers of the whole playlist", async () => {
    const origin = aged({ withNext: true });
    const full = readHlsDocument(await origin.text(`64p/${file}`));
    for (const value of ["YES", "v2"]) {
      const delta = readHlsDocument(await origin.text(`64p/${file}?_HLS_skip=${value}`));
      const names = delta.header.map(({ name }) => name);
      expect(names).toEqual([...full.header.map(({ name }) => name), "SKIP"]);
      const boundary = Number(tagOf(delta.header, "SERVER-CONTROL")?.attributes.get("CAN-SKIP-UNTIL"));
      expect(boundary).toBe(6 * (numberOf(delta.header, "TARGETDURATION") ?? 0));
      const skipped = skippedIn(delta);
      const seconds = full.segments.map(({ tags, uri }) =>
        uri === undefined ? 0 : Number.parseFloat(tagOf(tags, "INF")?.value ?? "0"),
      );
      const behind = (from: number): number => seconds.slice(from).reduce((sum, one) => sum + one, 0);
      expect(behind(skipped)).toBeGreaterThanOrEqual(boundary);
      expect(behind(skipped + 1)).toBeLessThan(boundary);
      expect(delta.segments).toEqual(full.segments.slice(skipped));
    }
  });

  test("39: a value that is unknown, or given twice, gets the whole playlist; held and HEAD get the delta", async () => {
    const origin = aged();
    const full = await origin.text(`64p/${file}`);
    for (const query of ["?_HLS_skip=yes", "?_HLS_skip=", "?_HLS_skip=YES&_HLS_skip=YES", "?_HLS_skip=v3"]) {
      expect(await origin.text(`64p/${file}${query}`)).toBe(full);
    }
    const delta = await origin.get(`64p/${file}?_HLS_skip=YES`);
    expect(delta.headers.get("etag")).not.toBe((await origin.get(`64p/${file}`)).headers.get("etag"));
    const head = await origin.get(`64p/${file}?_HLS_skip=YES`, { method: "HEAD" });
    expect(head.headers.get("etag")).toBe(delta.headers.get("etag"));
    const msn = file === "ts.m3u8" ? 2 * FIRST + 139 : FIRST + 69;
    const held = origin.text(`64p/${file}?_HLS_skip=YES&_HLS_msn=${msn}`);
    await Bun.sleep(0);
    expect(origin.budget.count).toBe(file === "ts.m3u8" ? 1 : 0);
    origin.play(run, 4190, 4200);
    expect(await held).toContain("#EXT-X-SKIP:SKIPPED-SEGMENTS=");
  });

  test("39: where nothing lies beyond the boundary, the whole playlist", async () => {
    const origin = open({ windowSeconds: 130 });
    origin.play(run, 0, file === "ts.m3u8" ? 180 : 360);
    const full = await origin.text(`64p/${file}`);
    expect(full).toContain("CAN-SKIP-UNTIL=");
    expect(await origin.text(`64p/${file}?_HLS_skip=YES`)).toBe(full);
  });

  test("40: are offered with a window of more than two minutes only", async () => {
    for (const [windowSeconds, isOffered] of [
      [24, false],
      [120, false],
      [122, true],
    ] as const) {
      const origin = open({ windowSeconds });
      origin.play(run, 0, 1200);
      const full = await origin.text(`64p/${file}`);
      expect(full.includes("CAN-SKIP-UNTIL=")).toBe(isOffered);
      expect((await origin.text(`64p/${file}?_HLS_skip=YES`)) === full).toBe(!isOffered);
      expect(full).not.toContain("CAN-SKIP-DATERANGES");
    }
  });
});

test("40: a window that does not fit into memory is refused in the log; the default is listed", async () => {
  const errors: string[] = [];
  const log = { ...silentLog, error: (message: string) => errors.push(message) };
  const origin = open({ windowSeconds: 900, log });
  const [full] = run.renditions;
  if (full === undefined) throw new Error("the test picture has a rendition");
  origin.play({ ...run, renditions: [{ ...full, bitsPerSecondMax: 6_000_000 }] }, 0, 1000);
  expect(errors).toEqual([
    "Refused --window-seconds 900: at 6000000 bit/s it does not fit into memory; 24 s are listed",
  ]);
  const text = await origin.text("64p/index.m3u8");
  expect(text.match(/#EXTINF/g)).toHaveLength(12);
  expect(text).not.toContain("CAN-SKIP-UNTIL");
});
