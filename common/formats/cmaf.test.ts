/** Init segments and chunks, read back by an independent parser and by ffmpeg. */
import { describe, expect, test } from "bun:test";
import { parseBuffer } from "codem-isoboxer";
import { CHUNK_OVERHEAD_BYTES_MAX, writeChunk, writeInitSegment } from "#common/formats/cmaf.ts";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import type { EncodedFrame } from "#common/formats/frame.ts";
import { findBoxContent } from "#common/formats/mp4-boxes.ts";
import { joinBytes } from "#common/join-bytes.ts";

const run = testsrcRun();
const [rendition] = run.renditions;
if (rendition === undefined) throw new Error("the test picture has a rendition");
const init = writeInitSegment(rendition, run);

function frames(from: number, to: number): EncodedFrame[] {
  return Array.from({ length: to - from }, (_, number) => testsrcFrame(run, from + number));
}

describe("writeInitSegment()", () => {
  test("41: has brands of CMAF, mvex behind its track, durations 0, no samples, no mdat", () => {
    const file = parseBuffer(init.buffer);
    expect(file.boxes.map((box) => box.type)).toEqual(["ftyp", "moov"]);
    expect(file.fetch("ftyp")).toMatchObject({
      major_brand: "cmfc",
      compatible_brands: ["cmfc", "iso6", "mp41"],
    });
    expect(file.fetch("moov")?.boxes?.map((box) => box.type)).toEqual(["mvhd", "trak", "mvex"]);
    expect(file.fetch("mdia")?.boxes?.map((box) => box.type)).toEqual(["mdhd", "hdlr", "minf"]);
    expect(file.fetch("mvhd")).toMatchObject({ duration: 0, timescale: 1_000_000 });
    expect(file.fetch("tkhd")).toMatchObject({ duration: 0, track_ID: 1, flags: 3, volume: 0 });
    expect(file.fetch("mdhd")).toMatchObject({ timescale: 1_000_000, language: "und" });
    expect(file.fetch("stts")).toMatchObject({ entry_count: 0 });
    expect(file.fetch("trex")).toMatchObject({ track_ID: 1, default_sample_duration: 33_333 });
  });

  test("43: carries avcC as it came, chroma extension of High profile included", () => {
    const avcC = Uint8Array.of(...rendition.avcC, 0xfd, 0xf8, 0xf8, 0);
    const bytes = writeInitSegment({ ...rendition, avcC }, run);
    const entry = findBoxContent(bytes, ["moov", "trak", "mdia", "minf", "stbl", "stsd"]);
    expect(entry?.toHex()).toContain(avcC.toHex());
  });
});

describe("writeChunk()", () => {
  test("42: tfdt, default-base-is-moof, no base offset, no composition offsets", () => {
    const file = parseBuffer(writeChunk(frames(30, 36), run).buffer);
    expect(file.boxes.map((box) => box.type)).toEqual(["prft", "moof", "mdat"]);
    expect(file.fetch("tfhd")).toMatchObject({
      track_ID: 1,
      flags: 0x020008,
      default_sample_duration: 33_333,
    });
    expect(file.fetch("tfdt")).toMatchObject({ version: 1, baseMediaDecodeTime: 1_000_000 });
    const trun = file.fetch("trun");
    expect(trun).toMatchObject({ sample_count: 6, flags: 0x701 });
    expect(trun?.samples?.map((sample) => sample.sample_flags)).toEqual([
      0x02000000,
      ...Array<number>(5).fill(0x01010000),
    ]);
    expect(trun?.data_offset).toBe((file.fetch("moof")?.size ?? 0) + 8);
    expect(file.fetch("prft")).toMatchObject({ reference_track_ID: 1, media_time: 1_000_000, flags: 24 });
  });

  test("42: pictures that are shown in another order have composition offsets", () => {
    const [one, two, three] = frames(0, 3);
    if (one === undefined || two === undefined || three === undefined) throw new Error("three frames");
    const shown = [{ ...one, compositionUnits: 1000 }, { ...two, compositionUnits: 2000 }, three];
    const trun = parseBuffer(writeChunk(shown, run).buffer).fetch("trun");
    expect(trun).toMatchObject({ version: 0, flags: 0xf01 });
    expect(trun?.samples?.map((sample) => sample.sample_composition_time_offset)).toEqual([
      33_333, 66_667, 0,
    ]);
  });

  test("42: decode times go on beyond 32 bits", () => {
    const days = 5 * 24 * 60 * 60;
    const chunk = writeChunk([testsrcFrame(run, days * run.fps)], run);
    expect(parseBuffer(chunk.buffer).fetch("tfdt")?.baseMediaDecodeTime).toBe(days * 1_000_000);
  });

  test("16: a chunk has no more around each frame than CHUNK_OVERHEAD_BYTES_MAX says", () => {
    for (const count of [1, 2, 30]) {
      const media = frames(0, count);
      const mediaBytes = media.reduce((sum, { data }) => sum + data.length, 0);
      const around = writeChunk(media, run).length - mediaBytes;
      expect(around).toBeLessThanOrEqual(count * CHUNK_OVERHEAD_BYTES_MAX);
    }
  });

  test("42: durations that differ stand beside their frames", () => {
    const [first, second, third] = frames(0, 3);
    if (first === undefined || second === undefined || third === undefined) throw new Error("three frames");
    const uneven = [
      first,
      { ...second, durationUnits: 1500 },
      { ...third, decodeUnits: 2500, durationUnits: 500 },
    ];
    const file = parseBuffer(writeChunk(uneven, run).buffer);
    expect(file.fetch("trun")?.samples?.map((sample) => sample.sample_duration)).toEqual([
      33_333, 50_000, 16_667,
    ]);
    expect(file.fetch("trun")?.data_offset).toBe((file.fetch("moof")?.size ?? 0) + 8);
  });

  test("42: a browser, which rounds times and durations down to microseconds, finds no end before its time", () => {
    for (const fps of [24, 25, 30, 50, 60]) {
      const even = testsrcRun({ fps });
      const second = Array.from({ length: fps }, (_, index) => testsrcFrame(even, index));
      const file = parseBuffer(writeChunk(second, even).buffer);
      const usual = file.fetch("tfhd")?.default_sample_duration;
      const durations = file
        .fetch("trun")
        ?.samples?.map(({ sample_duration = usual }) => Number(sample_duration));
      expect(durations?.reduce((sum, duration) => sum + duration)).toBe(1_000_000);
    }
  });

  test("capture time of the first frame stands in prft as NTP time", () => {
    const chunk = writeChunk(frames(3, 4), run);
    const content = findBoxContent(chunk, ["prft"]) ?? new Uint8Array();
    const view = new DataView(content.buffer, content.byteOffset);
    const timeMs = (view.getUint32(8) - 2_208_988_800 + view.getUint32(12) / 2 ** 32) * 1000;
    expect(timeMs).toBeCloseTo(run.startTimeMs + 100, 3);
  });

  test.skipIf(Bun.which("ffprobe") === null)(
    "25, 45: ffprobe decodes parts joined behind init, times exact",
    async () => {
      const chunks = Array.from({ length: 20 }, (_, part) => writeChunk(frames(part * 6, part * 6 + 6), run));
      const process = Bun.spawn(
        [
          "ffprobe",
          "-v",
          "error",
          "-err_detect",
          "explode",
          "-show_entries",
          "frame=pts,pict_type",
          "-of",
          "csv=p=0",
          "-",
        ],
        { stdin: joinBytes([init, ...chunks]), stdout: "pipe", stderr: "pipe" },
      );
      const lines = (await new Response(process.stdout).text()).trim().split("\n");
      expect(await new Response(process.stderr).text()).toBe("");
      expect(lines.map((line) => Number.parseInt(line, 10))).toEqual(
        Array.from({ length: 120 }, (_, index) => Math.round((index * 1_000_000) / 30)),
      );
      expect(lines[30]).toEndWith(",I");
    },
  );
});
