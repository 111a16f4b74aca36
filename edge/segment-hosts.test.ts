/** Which edge has a segment, and playlists that say so. */
import { describe, expect, test } from "bun:test";
import { type LeaseSegmentHosts, NO_SEGMENT_HOSTS, type SegmentHost } from "#common/formats/lease.ts";
import { hostOf, SegmentHosts } from "./segment-hosts.ts";

const A = { url: "https://a.example", weight: 1 };
const B = { url: "http://b.example:8081/base", weight: 3 };
const PATH = "/live/canvas/720p/index.m3u8";

function tableOf(
  version: number,
  from: number,
  hosts: readonly SegmentHost[],
  origin = "o1",
): LeaseSegmentHosts {
  return { type: "segment-hosts", origin, version, from: { cmaf: from, ts: 2 * from }, hosts };
}

/** A playlist with parts that lists segments `first` to `last`; the one after that is open. */
function playlistOf(first: number, last: number): string {
  const lines = ["#EXTM3U", `#EXT-X-MEDIA-SEQUENCE:${first}`, '#EXT-X-MAP:URI="aabbccdd-init.mp4"'];
  for (let number = first; number <= last; number++) {
    lines.push(`#EXT-X-PART:DURATION=2,URI="aabbccdd-${number}.0.m4s"`, "#EXTINF:2,");
    lines.push(`aabbccdd-${number}.m4s`);
  }
  lines.push(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="aabbccdd-${last + 1}.0.m4s"`, "");
  return lines.join("\n");
}

/** Base URLs of segments by number; empty where they stay. */
function basesIn(text: string): Map<number, string> {
  const bases = new Map<number, string>();
  for (const [, base = "", number] of text.matchAll(/([^"\n]*)aabbccdd-(\d+)/g)) {
    const before = bases.get(Number(number)) ?? base;
    expect(base).toBe(before);
    bases.set(Number(number), base);
  }
  return bases;
}

describe("hostOf()", () => {
  test.each([
    ["equal weights", [1, 1, 1]],
    ["different weights", [1000, 250, 4000, 1]],
  ])("E26: gives hosts with %s their shares of any hundred segments", (_, weights) => {
    const hosts = weights.map((weight, index) => ({ url: `http://h${index}`, weight }));
    const total = weights.reduce((sum, weight) => sum + weight);
    for (const first of [0, 898_000_000, 2 ** 32 - 50, 2 ** 40]) {
      const urls = Array.from({ length: 100 }, (_, index) => hostOf(hosts, first + index)?.url);
      for (const { url, weight } of hosts) {
        const share = (100 * weight) / total;
        expect(Math.abs(urls.filter((one) => one === url).length - share)).toBeLessThan(3);
      }
    }
  });

  test("has none where there are none", () => expect(hostOf([], 7)).toBeUndefined());
});

describe("SegmentHosts.rewrite()", () => {
  test("E28: returns the very text while no table is known, and for what is not named as segments are", () => {
    const hosts = new SegmentHosts(A.url);
    const text = playlistOf(100, 105);
    expect(hosts.rewrite(text, PATH)).toBe(text);
    hosts.adopt(tableOf(1, 0, [A]));
    const other =
      '#EXTM3U\n#EXT-X-MAP:URI="i.mp4"\n#EXTINF:2,\nhttp://x/aabbccdd-1.m4s\n#EXTINF:2,\nseg1.ts\n';
    expect(hosts.rewrite(other, PATH)).toBe(other);
    hosts.adopt(tableOf(2, 106, []));
    expect(hosts.rewrite(playlistOf(106, 107), PATH)).toBe(playlistOf(106, 107));
  });

  test("E29, E30, E31: one host for parts, hint, slate and segment of a number; maps and reports stay relative", () => {
    const hosts = new SegmentHosts(A.url);
    hosts.adopt(tableOf(1, 100, [A]));
    const lines = (base: string): string[] => [
      "#EXTM3U",
      '#EXT-X-MAP:URI="aabbccdd-init.mp4"',
      `#EXT-X-PART:DURATION=1,URI="${base}aabbccdd-100.0.m4s",INDEPENDENT=YES`,
      `#EXT-X-PART:DURATION=1,URI="${base}aabbccdd-100.1-s.m4s"`,
      "#EXTINF:2,",
      `${base}aabbccdd-100-s.m4s`,
      '#EXT-X-PRELOAD-HINT:TYPE=MAP,URI="eeffaabb-init.mp4"',
      `#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${base}eeffaabb-101.0.m4s"`,
      '#EXT-X-RENDITION-REPORT:URI="../360p/index.m3u8",LAST-MSN=100,LAST-PART=1',
    ];
    const expected = lines("https://a.example/live/canvas/720p/").join("\r\n");
    expect(hosts.rewrite(lines("").join("\r\n"), PATH)).toBe(expected);
  });

  test("E27: a table holds for the segments from its number on, in each format by its own", () => {
    const hosts = new SegmentHosts("");
    hosts.adopt(tableOf(1, 100, [A]));
    hosts.adopt(tableOf(2, 103, [B]));
    const bases = [...basesIn(hosts.rewrite(playlistOf(99, 103), PATH)).values()];
    const [a, b] = ["https://a.example/live/canvas/720p/", "http://b.example:8081/base/live/canvas/720p/"];
    expect(bases).toEqual(["", a, a, a, b, b]);
    const ts = hosts.rewrite("aabbccdd-199.ts\naabbccdd-205.ts\naabbccdd-206.ts\n", PATH);
    expect(ts).toBe(`aabbccdd-199.ts\n${a}aabbccdd-205.ts\n${b}aabbccdd-206.ts\n`);
  });

  test("E27: a table that comes late leaves alone what was handed out", () => {
    const hosts = new SegmentHosts("");
    hosts.adopt(tableOf(1, 100, [A]));
    const before = basesIn(hosts.rewrite(playlistOf(100, 104), PATH));
    hosts.adopt(tableOf(2, 103, [B]));
    const after = basesIn(hosts.rewrite(playlistOf(101, 106), PATH));
    for (const [number, base] of before) if (number > 100) expect(after.get(number)).toBe(base);
    expect(after.get(106)).toStartWith(B.url);
    expect([hosts.adopted, hosts.late, hosts.count]).toEqual([2, 1, 1]);
  });

  test("E27: an edge that begins later writes the same for what is still listed", () => {
    const tables = [tableOf(1, 100, [A]), tableOf(2, 103, [B]), tableOf(3, 106, [A, B])];
    const [old, fresh] = [new SegmentHosts(""), new SegmentHosts("")];
    for (const [index, table] of tables.entries()) {
      old.adopt(table);
      old.rewrite(playlistOf(99, 100 + 2 * index), PATH);
    }
    for (const table of tables) fresh.adopt(table);
    const text = playlistOf(101, 110);
    expect(fresh.rewrite(text, PATH)).toBe(old.rewrite(text, PATH));
    expect([old.late, fresh.late]).toEqual([0, 0]);
  });

  test("an origin that spreads no more: what is to come stays, until it spreads again", () => {
    const hosts = new SegmentHosts("");
    hosts.adopt(tableOf(7, 100, [A]));
    const before = basesIn(hosts.rewrite(playlistOf(100, 104), PATH));
    for (let times = 0; times < 2; times++) hosts.adopt(NO_SEGMENT_HOSTS);
    const after = basesIn(hosts.rewrite(playlistOf(101, 106), PATH));
    expect([after.get(105), after.get(106), after.get(107)]).toEqual([before.get(105), "", ""]);
    expect([before.get(105)?.startsWith(A.url), hosts.adopted, hosts.count]).toEqual([true, 2, 0]);
    hosts.adopt(tableOf(1, 109, [B], "o2"));
    expect(basesIn(hosts.rewrite(playlistOf(105, 108), PATH)).get(109)).toStartWith(B.url);
  });

  test("another origin's table holds for what is to come; a table is not taken twice", () => {
    const hosts = new SegmentHosts("");
    hosts.adopt(tableOf(7, 100, [A]));
    hosts.adopt(tableOf(7, 100, [B]));
    hosts.adopt(tableOf(6, 100, [B]));
    const before = hosts.rewrite(playlistOf(100, 104), PATH);
    hosts.adopt(tableOf(1, 90, [B], "o2"));
    expect(hosts.rewrite(playlistOf(100, 104), PATH)).toBe(before);
    expect(basesIn(hosts.rewrite(playlistOf(100, 106), PATH)).get(106)).toStartWith(B.url);
    expect([hosts.adopted, hosts.late]).toEqual([2, 0]);
  });
});

test("SegmentHosts.isOurs() tells the segments of this edge from those of others", () => {
  const hosts = new SegmentHosts(`${A.url}/`);
  expect(hosts.isOurs("/live/canvas/720p/aabbccdd-100.0.m4s")).toBe(true);
  hosts.adopt(tableOf(1, 100, [A, B]));
  const paths = Array.from({ length: 100 }, (_, index) => `/live/canvas/720p/aabbccdd-${100 + index}.0.m4s`);
  expect(paths.filter((path) => hosts.isOurs(path)).length).toBeWithin(23, 28);
  expect(hosts.isOurs("/live/canvas/720p/aabbccdd-99.0.m4s")).toBe(true);
  expect(hosts.isOurs("/live/canvas/720p/aabbccdd-init.mp4")).toBe(true);
  const elsewhere = new SegmentHosts("");
  elsewhere.adopt(tableOf(1, 100, [A, B]));
  expect(paths.filter((path) => elsewhere.isOurs(path))).toEqual([]);
});
