/** The check over HTTP finds what a bad server does. A good one is checked in `test/hls-check.test.ts`. */
import { expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { writeInitSegment } from "#common/formats/cmaf.ts";
import { runBench } from "./main.ts";
import { checkHls } from "./hls-check.ts";

const run = testsrcRun();
const [rendition] = run.renditions;
if (rendition === undefined) throw new Error("the test picture has a rendition");
const INIT = writeInitSegment(rendition, run);
/** A playlist without parts, as it might be served forever. */
const MEDIA = `#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:1.00000,
a-7.ts
`;

/**
 * Serves the same playlist to every question, as nothing in particular, and sends media elsewhere. What a playlist may name
 * besides: `none.m4s` and `none.mp4` are not there, `page.m4s` and `page.mp4` are no media.
 */
function openBadServer(text = MEDIA, onQuery: (query: string) => void = () => {}): Bun.Server<undefined> {
  return Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const { pathname, search } = new URL(request.url);
      onQuery(search);
      if (pathname.endsWith("/a-7.ts")) return Response.redirect("/elsewhere.ts");
      if (pathname.endsWith(".m3u8")) return new Response(text, { headers: { "set-cookie": "a=b" } });
      if (pathname.startsWith("/none.")) return new Response("There is no such file\n", { status: 404 });
      if (pathname.startsWith("/page.")) return new Response("<html>Sorry</html>\n");
      if (pathname === "/init.mp4") return new Response(INIT);
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

test("checkHls() keeps what it found of a server that dies while it is followed", async () => {
  // The first is that of a HEAD request.
  let reloads = 0;
  await using server = openBadServer(MEDIA, (query) => {
    if (query === "?_HLS_msn=8" && ++reloads === 2) void server.stop(true);
  });
  const url = `http://127.0.0.1:${server.port}/x.m3u8`;
  const { signal } = new AbortController();
  const { findings } = await checkHls({ url, seconds: 0.3, clock: systemClock, signal, isInsecure: false });
  const items = findings.map(({ item }) => item);
  expect(items).toContain(50);
  const lost = findings.filter(({ text }) => text.includes("could not be reached for a while"));
  expect(lost.map(({ item }) => item)).toEqual([46]);
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

test.each([
  ["init.mp4", "none.m4s", 46],
  ["init.mp4", "page.m4s", 42],
  ["none.mp4", "none.m4s", 46],
  ["page.mp4", "none.m4s", 41],
])("%p and %p are a finding of checkHls(), not its end", async (map, segment, item) => {
  const text = MEDIA.replace("#EXT-X-PROGRAM", `#EXT-X-MAP:URI="${map}"\n$&`).replace("a-7.ts", segment);
  expect(await itemsBrokenBy(text)).toContain(item);
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
