/** A server that stands still: what waits at the origin is told so, and all goes on when the server does. */
import { expect, test } from "bun:test";
import { checkMediaText } from "../bench/hls-rules.ts";
import { readHlsDocument } from "../bench/hls-document.ts";
import { nextDirectives } from "../bench/hls-check-answers.ts";
import { getText, Spillway, waitFor } from "./harness.ts";

const PLAYLIST = "/live/canvas/180p/index.m3u8";

function newestMap(text: string): string | undefined {
  return [...text.matchAll(/EXT-X-MAP:URI="([^"]+)"/g)].at(-1)?.[1];
}

test("10, 34: while the server stands still reloads get 503 after three target durations, then all goes on", async () => {
  await using spillway = new Spillway(["--slate=off"], 0);
  const url = `${spillway.origin}${PLAYLIST}`;
  const before = await waitFor("three segments", async () => {
    const text = await getText(url);
    return (text.match(/#EXTINF/g) ?? []).length >= 3 && text;
  });
  // Readers at the same time see whole versions only.
  const bodies = new Map<string, string>();
  for (let round = 0; round < 20; round++) {
    const answers = await Promise.all(Array.from({ length: 10 }, () => fetch(url)));
    for (const answer of answers) {
      const etag = answer.headers.get("etag") ?? "";
      const text = await answer.text();
      expect(bodies.get(etag) ?? text).toBe(text);
      bodies.set(etag, text);
    }
    await Bun.sleep(30);
  }
  expect(bodies.size).toBeGreaterThan(1);
  for (const text of bodies.values()) expect(checkMediaText(readHlsDocument(text))).toEqual([]);
  const server = await waitFor("the server", () => spillway.childPid("server"));
  process.kill(server, "SIGSTOP");
  try {
    const still = await waitFor("the last frame", async () => {
      const text = await getText(url);
      await Bun.sleep(500);
      return text === (await getText(url)) && text;
    });
    const startMs = performance.now();
    const held = await fetch(`${url}?${nextDirectives(readHlsDocument(still))}`);
    expect([held.status, held.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(held.headers.has("date")).toBe(true);
    // The first part that did not come was due up to 3 x 2 s before.
    expect(performance.now() - startMs).toBeWithin(4_500, 12_000);
    expect(await getText(url)).toBe(still);
  } finally {
    process.kill(server, "SIGCONT");
  }
  // The encoder is too far behind to fill the time: another run begins.
  const after = await waitFor("another run", async () => {
    const text = await getText(url);
    return newestMap(text) !== newestMap(before) && text;
  });
  expect(checkMediaText(readHlsDocument(after))).toEqual([]);
}, 120_000);
