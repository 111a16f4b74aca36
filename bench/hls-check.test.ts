/** The check over HTTP finds what a bad server does. A good one is checked in `test/hls-check.test.ts`. */
import { expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { runBench } from "./main.ts";
import { checkHls } from "./hls-check.ts";

const MEDIA = `#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:1.00000,
a-7.ts
`;

/** Serves the same playlist to every question, as nothing in particular, and sends media elsewhere. */
function openBadServer(text = MEDIA): Bun.Server<undefined> {
  return Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname.endsWith("/a-7.ts")) return Response.redirect("/elsewhere.ts");
      if (pathname.endsWith(".m3u8")) return new Response(text, { headers: { "set-cookie": "a=b" } });
      return new Response("", { status: 200 });
    },
  });
}

test("checkHls() names what a bad server does wrong, each once", async () => {
  await using server = openBadServer();
  const url = `http://127.0.0.1:${server.port}/x.m3u8`;
  const { signal } = new AbortController();
  const { findings } = await checkHls({ url, seconds: 0.1, clock: systemClock, signal, isInsecure: false });
  const items = new Set(findings.map(({ item }) => item));
  expect([...items]).toEqual([2, 13, 29, 32, 33, 46, 47, 48, 49, 50, 51, 55]);
  const texts = findings.map(({ text }) => text);
  expect(new Set(texts).size).toBe(texts.length);
  let table = "";
  const output = { progress() {}, table: (text: string) => void (table += text) };
  await runBench(["check", "--url", url, "--seconds", "0.1"], { signal, clock: systemClock, output });
  expect(table).toContain(`Note: rule 2: ${url} is text/plain;charset=utf-8`);
  const dead = runBench(["check", "--url", "http://127.0.0.1:1/x.m3u8"], {
    signal,
    clock: systemClock,
    output,
  });
  await expect(dead).rejects.toThrow("Cannot check http://127.0.0.1:1/x.m3u8 (--url)");
});

test("checkHls() does not flood a server whose playlist stays the same", async () => {
  await using server = openBadServer();
  const url = `http://127.0.0.1:${server.port}/x.m3u8`;
  const options = { url, clock: systemClock, signal: new AbortController().signal, isInsecure: false };
  const unwatched = await checkHls({ ...options, seconds: 0 });
  const watched = await checkHls({ ...options, seconds: 0.5 });
  expect(watched.versions).toBe(0);
  expect(watched.requests - unwatched.requests).toBeWithin(1, 6);
});

/** Numbers of the rules that a server breaks which serves `text` as its only media playlist. */
async function itemsBrokenBy(text: string): Promise<Set<number>> {
  await using server = openBadServer(text);
  const url = `http://127.0.0.1:${server.port}/x.m3u8`;
  const { signal } = new AbortController();
  const { findings } = await checkHls({ url, seconds: 0, clock: systemClock, signal, isInsecure: false });
  return new Set(findings.map(({ item }) => item));
}

test("27: checkHls() of one media playlist does not miss the other playlists that it reports", async () => {
  const parts = MEDIA.replace("#EXT-X-MEDIA-SEQ", "#EXT-X-PART-INF:PART-TARGET=0.20000\n$&");
  const report = `${parts}#EXT-X-RENDITION-REPORT:URI="y.m3u8",LAST-MSN=7,LAST-PART=4\n`;
  const items = await itemsBrokenBy(report);
  expect(items).toContain(50);
  expect(items).not.toContain(27);
});

test("18: checkHls() holds no directive against a stream that has ended", async () => {
  const items = await itemsBrokenBy(`${MEDIA}#EXT-X-ENDLIST\n`);
  expect(items).toContain(50);
  expect([18, 29, 32, 33].filter((item) => items.has(item))).toEqual([]);
});
