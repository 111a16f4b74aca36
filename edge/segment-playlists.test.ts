/** Playlists whose segments are spread over edges, as viewers of one edge get them. */
import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "bun:test";
import type { LeaseSegmentHosts } from "#common/formats/lease.ts";
import { FakeLivePlaylist, FakeOrigin, startTestEdge, until, type TestEdge } from "./fake-origin.ts";
import { SegmentHosts } from "./segment-hosts.ts";

const PATH = "/live/canvas/720p/index.m3u8";
const OWN_URL = "https://own.example";
const OTHER_URL = "https://other.example";
/** The playlist's first segment is 100; the other edge has 101 and 102, this one 103. */
const TABLE: LeaseSegmentHosts = {
  type: "segment-hosts",
  origin: "o1",
  version: 1,
  from: { cmaf: 101, ts: 202 },
  hosts: [
    { url: OTHER_URL, weight: 1 },
    { url: OWN_URL, weight: 1 },
  ],
};

interface Setup {
  readonly live: FakeLivePlaylist;
  readonly origin: FakeOrigin;
  readonly edge: TestEdge;
}

const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** An edge that knows {@link TABLE} in front of a playlist with so many parts. */
function setup(parts = 25): Setup {
  const live = new FakeLivePlaylist(parts);
  const origin = new FakeOrigin((request, path) =>
    path.includes(".m3u8")
      ? live.answer(request)
      : new Response("media", { headers: { "content-type": "video/mp4", "cache-control": "max-age=60" } }),
  );
  const edge = startTestEdge(origin.url, { publicUrl: OWN_URL });
  edge.segmentHosts.adopt(TABLE);
  closers.push(async () => {
    live.publish();
    await edge.close();
    await origin.close();
  });
  return { live, origin, edge };
}

/** What any edge with the same table makes of the playlist. */
function expected(live: FakeLivePlaylist): string {
  const hosts = new SegmentHosts("");
  hosts.adopt(TABLE);
  return hosts.rewrite(live.text(), PATH);
}

describe("a playlist whose segments are spread", () => {
  test("E33: has tag, length and compression of the text that viewers get", async () => {
    const { live, edge } = setup();
    const text = expected(live);
    expect(text).toContain(`\n${OTHER_URL}/live/canvas/720p/aabbccdd-101.m4s\n`);
    const url = edge.url + PATH;
    const plain = await fetch(url, { headers: { "accept-encoding": "identity" } });
    expect(await plain.text()).toBe(text);
    const etag = plain.headers.get("etag") ?? "";
    expect(etag).toMatch(/^"[0-9a-z]+"$/);
    expect(etag).not.toBe('"v25"');
    expect(plain.headers.get("content-length")).toBe(String(text.length));
    const packed = await fetch(url, { headers: { "accept-encoding": "gzip" }, decompress: false });
    const bytes = await packed.bytes();
    expect(packed.headers.get("content-length")).toBe(String(bytes.length));
    expect(packed.headers.get("etag")).toBe(etag.replace(/"$/, '-gzip"'));
    expect(new TextDecoder().decode(gunzipSync(bytes))).toBe(text);
    const same = await fetch(url, { headers: { "accept-encoding": "identity", "if-none-match": etag } });
    expect(same.status).toBe(304);
    const head = await fetch(url, { method: "HEAD", headers: { "accept-encoding": "identity" } });
    expect(head.headers.get("content-length")).toBe(String(text.length));
  });

  test("E26: names the same hosts to who waits, and whatever is heard meanwhile", async () => {
    const { live, edge } = setup();
    const url = edge.url + PATH;
    await fetch(url);
    for (let part = 5; part < 10; part++) {
      const held = fetch(`${url}?_HLS_msn=102&_HLS_part=${part}`);
      await until(() => edge.budget.count === 1);
      live.publish();
      expect(await (await held).text()).toBe(expected(live));
    }
    edge.segmentHosts.adopt({ ...TABLE, version: 2, from: { cmaf: 104, ts: 208 }, hosts: [] });
    expect(await (await fetch(`${url}?_HLS_msn=102&_HLS_part=9`)).text()).toBe(expected(live));
  });

  test.each([
    [25, "102.5", 0],
    [35, "103.5", 1],
  ])("with %d parts: %s is on its way before anybody asks: %d", async (parts, part, count) => {
    const { live, origin, edge } = setup(parts);
    const url = edge.url + PATH;
    await fetch(url);
    const [msn, index] = part.split(".");
    const held = fetch(`${url}?_HLS_msn=${msn}&_HLS_part=${index}`);
    await until(() => live.held === 1);
    await until(() => edge.fills.running === 0 && origin.count(".m4s") >= count);
    expect(origin.count(`aabbccdd-${part}.m4s`)).toBe(count);
    live.publish();
    expect(await (await held).text()).toContain(`/live/canvas/720p/aabbccdd-${part}.m4s`);
    // Whoever asks this edge for a segment of another gets it all the same.
    expect(await (await fetch(`${edge.url}/live/canvas/720p/aabbccdd-${part}.m4s`)).text()).toBe("media");
  });
});

test("E36: no answer of an edge for playlists or media is a redirect", async () => {
  const { origin, edge } = setup();
  origin.handler = () => Response.redirect("https://elsewhere.example/", 307);
  for (const name of ["720p/index.m3u8", "720p/aabbccdd-1.m4s", "720p/aabbccdd-init.mp4", "index.m3u8"]) {
    const { status } = await fetch(`${edge.url}/live/canvas/${name}`, { redirect: "manual" });
    expect(status).toBeGreaterThanOrEqual(500);
  }
});

test("E4: what players tell content steering, in either form, makes no second request of one", async () => {
  const { origin, edge } = setup();
  origin.handler = (request) =>
    new Response(request.url.includes("720p") ? new FakeLivePlaylist().text() : "#EXTM3U\n", {
      headers: { "content-type": "application/vnd.apple.mpegurl" },
    });
  const forms = ["", "?_HLS_pathway=x", "?_HLS_pathway=%22x%22&_HLS_throughput=5", "?_HLS_throughput=6"];
  for (const path of [PATH, "/live/canvas/index.m3u8"]) {
    const texts = await Promise.all(forms.map(async (form) => (await fetch(edge.url + path + form)).text()));
    expect(new Set(texts).size).toBe(1);
    // A media playlist is also asked for by the loop that follows it.
    expect(origin.count(path)).toBeLessThanOrEqual(path === PATH ? 2 : 1);
  }
  expect([...origin.hits.keys()].filter((path) => /pathway|throughput/.test(path))).toEqual([]);
});
