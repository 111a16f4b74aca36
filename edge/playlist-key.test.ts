/** Two requests that mean one playlist have one key. */
import { expect, test } from "bun:test";
import { playlistKey, withDirectives } from "./playlist-key.ts";

test("E3, E4: playlistKey() takes directives out, in whatever order, and keeps the rest sorted", () => {
  const cases = [
    ["", "/a.m3u8"],
    ["_HLS_msn=7&_HLS_part=2", "/a.m3u8"],
    ["_HLS_part=2&_HLS_skip=YES&_HLS_msn=7", "/a.m3u8"],
    ["_HLS_throughput=9&_HLS_pathway=%22x%22&_HLS_later=1", "/a.m3u8"],
    ["token=b&_HLS_msn=7&id=1", "/a.m3u8?id=1&token=b"],
    ["id=1&token=b&_HLS_msn=8", "/a.m3u8?id=1&token=b"],
    ["&&x", "/a.m3u8?x"],
  ] as const;
  for (const [query, key] of cases) expect([query, playlistKey("/a.m3u8", query)]).toEqual([query, key]);
});

test("withDirectives() adds them to a key with parameters and to one without", () => {
  expect(withDirectives("/a.m3u8", "")).toBe("/a.m3u8");
  expect(withDirectives("/a.m3u8", "_HLS_msn=7")).toBe("/a.m3u8?_HLS_msn=7");
  expect(withDirectives("/a.m3u8?id=1", "_HLS_msn=7")).toBe("/a.m3u8?id=1&_HLS_msn=7");
});
