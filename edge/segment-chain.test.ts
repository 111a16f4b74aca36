/** An edge behind one that spreads segments: its viewers get them from it, not from the edges in front of it. */
import { afterEach, expect, test } from "bun:test";
import type { UpstreamAnswer } from "./upstream.ts";
import { FakeLivePlaylist, FakeOrigin, startTestEdge, until, type TestEdge } from "./fake-origin.ts";
import { withoutHosts } from "./segment-hosts.ts";

const FOLDER = "/live/canvas/720p/";
const PLAYLIST = `${FOLDER}index.m3u8`;
const NEAR = "https://near.example/base";

const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A live origin, an edge that spreads its segments, and the edges `far` of the given kinds behind that one. */
function start(...kinds: readonly { readonly proxyAll: boolean }[]) {
  const live = new FakeLivePlaylist();
  const origin = new FakeOrigin((request) => live.answer(request));
  const near = startTestEdge(origin.url, { publicUrl: NEAR });
  near.segmentHosts.adopt({
    type: "segment-hosts",
    origin: "o1",
    version: 1,
    from: { cmaf: 0, ts: 0 },
    hosts: [{ url: NEAR, weight: 1 }],
  });
  const far = kinds.map((kind) => startTestEdge(near.url, kind));
  closers.push(...far.map(({ close }) => close), near.close, () => origin.close());
  return { live, near, far };
}

async function textOf(edge: TestEdge, query = ""): Promise<string> {
  return (await fetch(edge.url + PLAYLIST + query)).text();
}

test("an edge behind an edge has the origin's text of each version, and its media before a viewer asks", async () => {
  const { live, near, far } = start({ proxyAll: false });
  const [edge = near] = far;
  expect(await textOf(near)).toContain(`\n${NEAR}${FOLDER}aabbccdd-101.m4s\n`);
  expect(await textOf(edge)).toBe(live.text());
  const next = textOf(edge, `?_HLS_msn=102&_HLS_part=${live.openParts}`);
  live.publish();
  expect(await next).toBe(live.text());
  await until(() => edge.store.getAny(`${FOLDER}aabbccdd-102.5.m4s`) !== undefined);
  const media = await fetch(`${edge.url}${FOLDER}aabbccdd-102.5.m4s`);
  expect([await media.text(), media.headers.get("cache-status")]).toEqual([
    "/aabbccdd-102.5.m4s",
    expect.stringMatching(/, spillway; hit; ttl=\d+; key="[^"]+"$/),
  ]);
});

test("a caching proxy leaves URIs where its upstream wants them", async () => {
  const { near, far } = start({ proxyAll: true });
  const [edge = near] = far;
  expect(await textOf(edge)).toBe(await textOf(near));
});

test("withoutHosts() touches media of the playlist's own folder alone", () => {
  const lines = (base: string): string =>
    [
      "#EXTM3U",
      '#EXT-X-MAP:URI="https://x.example/live/canvas/720p/aabbccdd-init.mp4"',
      `#EXT-X-PART:DURATION=1,URI="${base}aabbccdd-100.0.m4s"`,
      "https://x.example/live/other/720p/aabbccdd-100.m4s",
      "https://x.example/live/canvas/720p/else.m4s",
      "/live/canvas/720p/aabbccdd-99.m4s",
      `${base}aabbccdd-100.ts`,
    ].join("\r\n");
  const answer = { body: new TextEncoder().encode(lines(`http://h:1${FOLDER}`)) } as UpstreamAnswer;
  const { body } = withoutHosts(answer, `${PLAYLIST}?_HLS_msn=1&x=/y/`);
  expect(new TextDecoder().decode(body)).toBe(lines(""));
  const plain = { body: new TextEncoder().encode(lines("")) } as UpstreamAnswer;
  expect(withoutHosts(plain, PLAYLIST)).toBe(plain);
});
