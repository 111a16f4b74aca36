/** A canvas that comes back in another size: whoever watches goes on under the URLs that they have. */
import { describe, expect, test } from "bun:test";
import { TsInspector } from "#common/formats/fixtures/mpegts-reader.ts";
import { testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import type { Rendition, Run } from "#common/formats/frame.ts";
import { FIRST, open, type Origin, run, TWO } from "./origin-fixture.ts";

/** The run after {@link run}, of four seconds, with renditions of these names. */
function following(...names: readonly string[]): Run {
  const renditions = names.map(renditionOf);
  const startFrame = run.startFrame + 120;
  return testsrcRun({
    id: "11111111",
    ordinal: 8,
    startFrame,
    startTimeMs: run.startTimeMs + 4000,
    renditions,
  });
}

function renditionOf(name: string, index: number): Rendition {
  const [first] = TWO;
  if (first === undefined) throw new Error("the test picture has a rendition");
  return { ...first, name, trackId: index + 1 };
}

const segmentsOf = (text: string): string[] => text.split("\n").filter((line) => /^[0-9a-f]{8}-/.test(line));

/** Statuses of a path below each name. */
async function statuses(origin: Origin, names: readonly string[], file: string): Promise<number[]> {
  return Promise.all(names.map(async (name) => (await origin.get(`${name}/${file}`)).status));
}

describe("a canvas that comes back in another size", () => {
  test("8, 13: playlists go on under the old name and the new one, behind a discontinuity", async () => {
    const origin = open();
    origin.play(run, 0, 120);
    const held = origin.get(`64p/index.m3u8?_HLS_msn=${FIRST + 2}&_HLS_part=0`);
    origin.play(following("128p", "96p"), 0, 61);
    expect((await held).status).toBe(200);
    for (const file of ["index.m3u8", "ts.m3u8"]) {
      const text = await origin.text(`64p/${file}`);
      expect(await origin.text(`128p/${file}`)).toBe(text);
      expect(text).toContain("#EXT-X-DISCONTINUITY\n");
      for (const name of segmentsOf(text))
        expect(await statuses(origin, ["64p", "128p"], name)).toEqual([200, 200]);
    }
    expect(await origin.text("32p/index.m3u8")).toBe(await origin.text("96p/index.m3u8"));
    const multivariant = await origin.text("index.m3u8");
    expect(multivariant.match(/^\w+\/index.m3u8$/gm)).toEqual(["128p/index.m3u8", "96p/index.m3u8"]);
    expect(await origin.text("64p/index.m3u8")).toContain('RENDITION-REPORT:URI="../96p/index.m3u8"');
  });

  test("stream.ts goes on, marked as discontinuous", () => {
    const origin = open();
    origin.play(run, 0, 60);
    const inspector = new TsInspector();
    let isClosed = false;
    const end = (): void => void (isClosed = true);
    const write = (bytes: Uint8Array | string): void => inspector.push(Buffer.from(bytes));
    origin.stream.firstRendition?.relay.join({
      canWrite: true,
      isClosed: false,
      write,
      close: end,
      abort: end,
    });
    origin.play(run, 60, 120);
    origin.play(following("128p"), 0, 61);
    expect(isClosed).toBe(false);
    expect(inspector.counts).toMatchObject({ discontinuities: 1, continuityErrors: 0, accessUnits: 90 + 60 });
  });

  test("a size that stays keeps its name, and what has no successor is gone", async () => {
    const origin = open();
    origin.play(run, 0, 120);
    origin.play(following("32p"), 0, 61);
    expect(await statuses(origin, ["64p", "32p"], "index.m3u8")).toEqual([404, 200]);
  });

  test("names of sizes past are forgotten in the end", async () => {
    const origin = open();
    let present = run;
    origin.play(present, 0, 60);
    for (let size = 100; size < 140; size++) {
      const { id, ordinal, startFrame, startTimeMs } = present;
      const next = {
        id: (Number.parseInt(id, 16) + 1).toString(16).padStart(8, "0"),
        ordinal: ordinal + 1,
        startFrame: startFrame + 60,
        startTimeMs: startTimeMs + 2000,
      };
      present = { ...following(`${size}p`), ...next };
      origin.play(present, 0, 60);
    }
    expect(await statuses(origin, ["64p", "106p", "107p", "138p", "139p"], "index.m3u8")).toEqual([
      404, 404, 200, 200, 200,
    ]);
  });
});
