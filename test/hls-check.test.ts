/** The whole tree against the rules of HLS, over HTTP: at the origin and at an edge, both kinds of playlists. */
import { expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { checkHls, type HlsCheckResult } from "../bench/hls-check.ts";
import { getText, Spillway, waitFor } from "./harness.ts";

function check(url: string): Promise<HlsCheckResult> {
  const { signal } = new AbortController();
  return checkHls({ url, seconds: 2.5, clock: systemClock, signal, isInsecure: false });
}

test("2 to 8, 12, 13, 15 to 17, 19 to 30, 32, 33, 39, 40, 46 to 52, 54, 55: a live stream breaks no rule", async () => {
  const args = ["--rendition=320x180@800", "--rendition=160x90@300", "--spread=off", "--window-seconds=130"];
  await using spillway = new Spillway(args, 1);
  await spillway.ready();
  await waitFor("four segments", async () => {
    const text = await getText(`${spillway.edge()}/live/canvas/180p/index.m3u8`);
    return (text.match(/#EXTINF/g) ?? []).length >= 4;
  });
  const deltaUrl = `${spillway.origin}/live/canvas/180p/ts.m3u8?_HLS_skip=YES`;
  await waitFor("a delta update", async () => (await getText(deltaUrl)).includes("#EXT-X-SKIP:"));
  for (const base of [spillway.origin, spillway.edge()]) {
    for (const file of ["index.m3u8", "ts.m3u8"]) {
      const result = await check(`${base}/live/canvas/${file}`);
      expect({ base, file, findings: result.findings }).toEqual({ base, file, findings: [] });
      expect(result.playlists).toBe(2);
      expect(result.versions).toBeGreaterThan(2);
    }
  }
}, 120_000);
