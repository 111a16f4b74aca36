/** Origins on MPEG-TS of the `ffmpeg` program: what they serve breaks no rule and decodes without an error. */
import { describe, expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { checkHls } from "../bench/hls-check.ts";
import { coding, openLive, picture, TestOrigin, until } from "./source-fixture.ts";

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

describe("an origin on MPEG-TS", () => {
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
});
