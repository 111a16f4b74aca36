/** Origins on MPEG-TS of the `ffmpeg` program: what they serve breaks no rule and decodes without an error. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { checkHls } from "../bench/hls-check.ts";
import { readHlsDocument } from "../bench/hls-document.ts";
import { checkMediaText } from "../bench/hls-rules.ts";
import { coding, makeStream, openLive, openServer, picture, TestOrigin, until } from "./source-fixture.ts";

interface Source {
  readonly name: string;
  readonly args: readonly string[];
  readonly frameRate: string;
}

const SOURCES: readonly Source[] = [
  {
    name: "25 a second with B-frames and sound",
    args: [
      ...picture("25"),
      "-f",
      "lavfi",
      "-i",
      "sine",
      ...coding(25, "-bf", "2", "-b_strategy", "0", "-c:a", "aac"),
    ],
    frameRate: "25.000",
  },
  {
    name: "29.97 with groups of half a second",
    args: [...picture("30000/1001"), ...coding(15)],
    frameRate: "29.970",
  },
  {
    name: "59.94 of which each fifth is missing, with groups of two seconds",
    args: [
      ...picture("60000/1001"),
      "-vf",
      "select='mod(n,5)'",
      "-fps_mode",
      "vfr",
      "-enc_time_base",
      "1/60000",
      ...coding(96),
    ],
    frameRate: "59.940",
  },
];

/** What `ffmpeg` says of `seconds` of what is at `url`: nothing where it decodes without an error. */
async function decode(url: string, seconds: number): Promise<string> {
  const strict = ["-xerror", "-err_detect", "explode"];
  const args = ["ffmpeg", "-v", "error", ...strict, "-i", url, "-t", String(seconds), "-f", "null", "-"];
  const program = Bun.spawn(args, { stderr: "pipe", stdout: "ignore" });
  const text = await new Response(program.stderr).text();
  return (await program.exited) === 0 ? text : `failed: ${text}`;
}

describe.concurrent("an origin on MPEG-TS", () => {
  test.concurrent.each(SOURCES)(
    "20, 42, 43, 44: $name",
    async ({ args, frameRate }) => {
      await using server = openLive(args);
      await using origin = await TestOrigin.open(`http://127.0.0.1:${server.port}/any.ts?token=hush`);
      await until("four segments", async () => {
        const text = await origin.text("source/ts.m3u8");
        return (text.match(/#EXTINF/g) ?? []).length >= 4;
      });
      expect(await origin.readiness()).toBe("ready");
      expect(await origin.text("index.m3u8")).toContain(`FRAME-RATE=${frameRate}`);
      const { signal } = new AbortController();
      for (const file of ["index.m3u8", "ts.m3u8"]) {
        const check = { url: origin.live(file), seconds: 3, clock: systemClock, signal, isInsecure: false };
        const { findings, versions } = await checkHls(check);
        // The one rendition there is.
        expect(findings.filter(({ text }) => !text.includes("variant"))).toEqual([]);
        expect(versions).toBeGreaterThan(1);
      }
      const decoded = ["source/index.m3u8", "source/ts.m3u8", "stream.ts"].map((file) =>
        decode(origin.live(file), 3),
      );
      expect(await Promise.all(decoded)).toEqual(["", "", ""]);
      expect(await origin.metric("spillway_origin_source_continuity_errors_total")).toBe(0);
      expect(await origin.metric("spillway_origin_list_restarts_total")).toBe(0);
    },
    90_000,
  );

  test("8, 13: a source that breaks off again and again: the list goes on, with discontinuities", async () => {
    const stream = makeStream([...picture("25"), "-t", "4.6", ...coding(25, "-bf", "2")]);
    await using server = openServer(() => new Response(streamOf(stream)));
    await using origin = await TestOrigin.open(`http://127.0.0.1:${server.port}/`);
    for (const file of ["source/index.m3u8", "source/ts.m3u8"]) {
      await until("two discontinuities", async () => {
        const text = await origin.text(file);
        return (text.match(/#EXT-X-DISCONTINUITY$/gm) ?? []).length >= 3;
      });
      const text = await origin.text(file);
      expect(checkMediaText(readHlsDocument(text))).toEqual([]);
      const numbers = [...text.matchAll(/-(\d+)\.(?:m4s|ts)$/gm)].map(([, number]) => Number(number));
      expect(numbers).toEqual(numbers.map((_, index) => (numbers[0] ?? 0) + index));
      expect(await decode(origin.live(file), 6)).toBe("");
    }
    expect(await origin.metric("spillway_origin_list_restarts_total")).toBe(0);
    expect(await origin.metric("spillway_origin_source_reconnects_total")).toBeGreaterThan(1);
  }, 60_000);

  test("8: numbers go on when the origin begins anew; a folder is one origin's at a time", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "spillway-numbers-"));
    const stream = makeStream([...picture("25"), "-t", "20", ...coding(25)]);
    await using server = openServer(() => new Response(streamOf(stream)));
    const source = `http://127.0.0.1:${server.port}/any.ts`;
    const lastOf = async (origin: TestOrigin): Promise<number> => {
      await until("ready", async () => (await origin.readiness()) === "ready");
      return Number(/-(\d+)\.ts\n$/.exec(await origin.text("source/ts.m3u8"))?.[1]);
    };
    let last = 0;
    for (let life = 0; life < 2; life++) {
      await using origin = await TestOrigin.open(source, { dataDir });
      const now = await lastOf(origin);
      if (life > 0) expect(now - last).toBeWithin(1, 6);
      last = now;
      await using other = await TestOrigin.open(source, { dataDir });
      await until("a refusal", async () => (await other.readiness()).includes("(--data-dir)"));
    }
    rmSync(dataDir, { recursive: true });
  }, 60_000);
});

/** Bytes in a body without a length. */
function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
}
