/** Reading playlists, and the breaches of the standard that are noticed on the way. */
import { describe, expect, test } from "bun:test";
import { PlaylistReader } from "./playlist-reader.ts";
import { Tally } from "./statistics.ts";

function media(
  options: { first?: number; target?: number; name?: string; startMs?: number; seconds?: string } = {},
): string {
  const { first = 1, target = 2, name = "s", startMs = 0, seconds = "2.00000" } = options;
  const date = new Date(Date.UTC(2026, 0, 1) + startMs).toISOString();
  return `#EXTM3U\n#EXT-X-TARGETDURATION:${target}\n#EXT-X-MEDIA-SEQUENCE:${first}\n#EXT-X-PROGRAM-DATE-TIME:${date}\n#EXTINF:${seconds},\n${name}${first}.ts\n#EXTINF:2.00000,\n${name}${first + 1}.ts\n`;
}

function errorsOf(...texts: readonly string[]): string {
  const errors = new Tally();
  const reader = new PlaylistReader(errors);
  for (const text of texts) {
    reader.read({
      url: "http://host/a.m3u8?_HLS_msn=1",
      body: new TextEncoder().encode(text),
      encoding: undefined,
    });
  }
  return errors.toString();
}

describe("PlaylistReader", () => {
  for (const [name, texts, errors] of [
    ["nothing in a window that moves on", [media(), media({ first: 2, startMs: 2_000 })], "none"],
    [
      "another URI for a segment number",
      [media(), media({ first: 2, startMs: 2_000, name: "t" })],
      "1 another URI for a known segment number",
    ],
    ["a date that moves", [media(), media({ first: 2, startMs: 2_100 })], "1 date of a segment moved"],
    ["a changed target duration", [media(), media({ target: 3 })], "1 TARGETDURATION changed"],
    ["a segment over the target duration", [media({ seconds: "2.60000" })], "1 segment over TARGETDURATION"],
    ["what is no playlist", ["<html></html>"], "1 not a playlist"],
    [
      "a breach once however often it comes",
      [media({ seconds: "3" }), media({ seconds: "3" })],
      "1 segment over TARGETDURATION",
    ],
  ] as const) {
    test(`counts ${name}`, () => {
      expect(errorsOf(...texts)).toBe(errors);
    });
  }

  test("parses the same bytes once, compressed or not", () => {
    const reader = new PlaylistReader(new Tally());
    const plain = new TextEncoder().encode(media());
    const packed = Bun.gzipSync(plain);
    const url = "http://host/a.m3u8";
    const first = reader.read({ url, body: packed, encoding: "gzip" });
    expect(first?.type).toBe("media");
    expect(reader.read({ url: `${url}?x=1`, body: packed.slice(), encoding: "gzip" })).toBe(first);
    expect(reader.read({ url, body: plain, encoding: undefined })).toEqual(first);
    expect(reader.read({ url, body: new Uint8Array([1, 2]), encoding: "gzip" })).toBeUndefined();
  });
});
