/** The origin's URLs as it answers them: statuses, headers, held requests. */
import { describe, expect, test } from "bun:test";
import * as hls from "hls-parser";
import { answerEndless } from "./http.ts";
import { EDGE, enterEdge, FIRST, open, type Origin, run } from "./origin-fixture.ts";

hls.setOptions({ strictMode: true });

describe("answers", () => {
  test("2, 48, 49, 50, 52: headers of playlists, compressed and plain, ranges ignored", async () => {
    const origin = open();
    origin.play(run, 0, 70);
    const plain = await origin.get("64p/index.m3u8", { headers: { range: "bytes=0-" } });
    const packed = await origin.get("64p/index.m3u8", { headers: { "accept-encoding": "gzip, br" } });
    for (const response of [plain, packed]) {
      expect(response.status).toBe(200);
      expect(Object.fromEntries(response.headers)).toMatchObject({
        "content-type": "application/vnd.apple.mpegurl",
        "cache-control": "max-age=1",
        vary: "Accept-Encoding",
        "access-control-allow-origin": "*",
      });
      expect(response.headers.has("age")).toBe(false);
    }
    expect(packed.headers.get("content-encoding")).toBe("gzip");
    expect(packed.headers.get("etag")).not.toBe(plain.headers.get("etag"));
    const etag = plain.headers.get("etag") ?? "";
    expect((await origin.get("64p/index.m3u8", { headers: { "if-none-match": etag } })).status).toBe(304);
    expect(new TextDecoder().decode(Bun.gunzipSync(await packed.bytes()))).toBe(await plain.text());
  });

  test("51: HEAD has the headers of GET and is never held; other methods are refused", async () => {
    const origin = open();
    origin.play(run, 0, 70);
    const head = await origin.get(`64p/index.m3u8?_HLS_msn=${FIRST + 1}&_HLS_part=9`, { method: "HEAD" });
    const get = await origin.get("64p/index.m3u8");
    expect(head.status).toBe(200);
    expect(head.headers.get("content-length")).toBe(get.headers.get("content-length"));
    const bad = `64p/index.m3u8?_HLS_msn=${FIRST + 9}`;
    expect((await origin.get(bad, { method: "HEAD" })).status).toBe(400);
    expect(head.headers.get("cache-control")).toBe("max-age=12");
    expect((await origin.get("64p/index.m3u8", { method: "OPTIONS" })).status).toBe(204);
    expect((await origin.get("64p/index.m3u8", { method: "DELETE" })).status).toBe(405);
  });

  test.each([
    ["64p/index.m3u8", 503],
    ["index.m3u8", 503],
    ["stream.ts", 503],
    ["64p/0a1b2c3d-1.m4s", 503],
    ["64p/../../x", 404],
  ])("9: before the first run %s is %d", async (path, status) => {
    expect((await open().get(path)).status).toBe(status);
  });

  test.each([
    ["stream.ts", "GET", 200, true],
    ["events", "GET", 200, true],
    ["stream.ts", "HEAD", 200, false],
    ["none/stream.ts", "GET", 404, false],
    ["none/events", "GET", 404, false],
  ])("%s to %s is %d; without the idle timeout: %p", async (path, method, status, isEndless) => {
    const origin = open();
    origin.play(run, 0, 70);
    const request = new Request(`http://origin/live/canvas/${path}`, { method });
    let hasTimeout = true;
    const noTimeout = (): void => void (hasTimeout = false);
    const response = await answerEndless(origin.app.request(request), { request, noTimeout });
    expect([response.status, !hasTimeout]).toEqual([status, isEndless]);
    expect(response.headers.get("connection")).toBe(isEndless ? "close" : null);
  });

  test("34: unknown renditions, streams and files are 404", async () => {
    const origin = open();
    origin.play(run, 0, 70);
    for (const path of [
      "none/index.m3u8",
      "64p/__proto__",
      "64p/other.m3u8",
      "64p/0a1b2c3d-1.m4s",
      "constructor/index.m3u8",
    ]) {
      expect((await origin.get(path)).status).toBe(404);
    }
    expect((await origin.app.request("http://origin/live/other/index.m3u8")).status).toBe(404);
  });

  test("16, 17: a multivariant playlist lists every rendition, in one format", async () => {
    const origin = open();
    origin.play(run, 0, 70);
    for (const file of ["index.m3u8", "ts.m3u8"]) {
      const playlist = hls.parse(await origin.text(file));
      if (!playlist.isMasterPlaylist) throw new Error("a multivariant playlist was expected");
      expect(playlist.variants.map((variant) => variant.uri)).toEqual([`64p/${file}`, `32p/${file}`]);
      expect(playlist.variants[0]).toMatchObject({
        codecs: "avc1.4d400a",
        resolution: { width: 64, height: 64 },
        frameRate: 30,
        // 200 kbit/s of frames, and what either format puts around them.
        bandwidth: file === "ts.m3u8" ? 303_808 : 238_400,
      });
      expect(playlist.variants[0]?.averageBandwidth).toBe(playlist.variants[0]?.bandwidth);
    }
  });
});

test("bytes of bodies are counted by kind: not for HEAD, 304 or errors, and a range for what it is", async () => {
  const origin = open();
  origin.play(run, 0, 70);
  const whole = await origin.bytes(`64p/0a1b2c3d-${FIRST}.m4s`);
  const part = await origin.bytes(`64p/0a1b2c3d-${FIRST}.0.m4s`);
  const init = await origin.bytes("64p/0a1b2c3d-init.mp4");
  const playlist = await origin.bytes("64p/index.m3u8");
  const packed = await (await origin.get("index.m3u8", { headers: { "accept-encoding": "gzip" } })).bytes();
  await origin.get(`64p/0a1b2c3d-${FIRST}.m4s`, { headers: { range: "bytes=10-19" } });
  await origin.get(`64p/0a1b2c3d-${FIRST}.m4s`, { headers: { "if-none-match": `"0a1b2c3d-${FIRST}.m4s"` } });
  await origin.get(`64p/0a1b2c3d-${FIRST}.m4s`, { method: "HEAD" });
  await origin.get("64p/index.m3u8", { method: "HEAD" });
  await origin.get("64p/index.m3u8?_HLS_part=1");
  expect(origin.sent).toEqual({
    playlist: playlist.length + packed.length,
    part: part.length,
    segment: whole.length + 10,
    init: init.length,
    ts: 0,
    api: 0,
    other: 0,
  });
});

describe("handing viewers to edges", () => {
  function spread(options = {}): Origin {
    const origin = open(options);
    origin.play(run, 0, 70);
    enterEdge(origin, 2);
    return origin;
  }
  const host = { host: "canvas.example:8080" };

  test("variants are absolute on the edge, not to be stored; stream.ts is a redirect", async () => {
    const origin = spread();
    const response = await origin.get("index.m3u8", { headers: host });
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await response.text()).toContain("\nhttp://canvas.example:8081/live/canvas/64p/index.m3u8\n");
    const stream = await origin.get("stream.ts", { headers: host });
    expect(stream.status).toBe(307);
    expect(stream.headers.get("location")).toBe("http://canvas.example:8081/live/canvas/stream.ts");
  });

  test.each([
    ["with --spread off", { spreads: false }, host],
    ["for an edge", {}, { ...host, "cdn-loop": "other;x=1, Spillway" }],
    ["for a host name that is none", {}, { host: 'a"b' }],
  ])("variants are relative %s", async (_, options, headers) => {
    const response = await spread(options).get("index.m3u8", { headers });
    expect(await response.text()).toContain("\n64p/index.m3u8\n");
  });

  test("E18: only edges may keep the list of variants, and give it out stale while they look for a newer", async () => {
    const ask = async (headers: Record<string, string>): Promise<string | null> =>
      (await spread().get("index.m3u8", { headers })).headers.get("cache-control");
    expect(await ask(host)).toBe("no-store");
    expect(await ask({ ...host, "cdn-loop": "spillway" })).toBe("max-age=1, stale-while-revalidate=9");
  });

  test("E37: variants of the edge come first, the same on another edge behind them", async () => {
    const origin = spread();
    origin.edges
      .enter({ ...EDGE, publicUrl: "https://other.example/base" })
      .update({ type: "load", state: "ready", viewers: 0, egressBitsPerSecond: 0 });
    for (const file of ["index.m3u8", "ts.m3u8"]) {
      const lines = (await (await origin.get(file, { headers: host })).text()).split("\n");
      const uris = lines.filter((line) => line.endsWith(".m3u8"));
      const bases = ["http://canvas.example:8081/live/canvas/", "https://other.example/base/live/canvas/"];
      expect(uris).toEqual(bases.flatMap((base) => ["64p", "32p"].map((name) => `${base}${name}/${file}`)));
      const attributes = lines.filter((line) => line.startsWith("#EXT-X-STREAM-INF"));
      expect(attributes.slice(2)).toEqual(attributes.slice(0, 2));
      expect(new Set(attributes).size).toBe(2);
    }
  });

  test("E35: no playlist has variables", async () => {
    const origin = spread();
    for (const file of ["index.m3u8", "ts.m3u8", "64p/index.m3u8", "64p/ts.m3u8"]) {
      expect(await origin.text(file)).not.toContain("EXT-X-DEFINE");
    }
  });

  test("E36: nothing below the multivariant playlist is a redirect, for whom ever", async () => {
    const origin = spread();
    const segment = `${run.id}-${FIRST}`;
    const files = ["index.m3u8", "ts.m3u8", `${segment}.m4s`, `${segment}.0.m4s`, `${run.id}-init.mp4`];
    for (const file of [...files, "stream.ts"]) {
      const { status, body } = await origin.get(`64p/${file}`, { headers: host });
      await body?.cancel();
      expect([file, status]).toEqual([file, 200]);
    }
  });

  test("/api/v1/edges lists them", async () => {
    const response = await spread().app.request("http://x/api/v1/edges", { headers: host });
    expect(await response.json()).toEqual([
      {
        url: "http://canvas.example:8081",
        region: "",
        weight: 1000,
        state: "ready",
        viewers: 2,
        egressBitsPerSecond: 0,
        capacityBitsPerSecond: 0,
      },
    ]);
  });
});
