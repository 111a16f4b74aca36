/**
 * What must not be lost when a process is killed outright: an edge, the origin, the server. Each comes back by
 * itself where it was, and what viewers were given stays true.
 */
import { describe, expect, test } from "bun:test";
import { getText, isOk, metric, paint, Spillway, waitFor } from "./harness.ts";

const PLAYLIST = "/live/canvas/180p/index.m3u8";

interface Media {
  readonly sequence: number;
  readonly discontinuity: number;
  readonly hasDiscontinuity: boolean;
  /** URI of each listed segment by its media sequence number. */
  readonly segments: ReadonlyMap<number, string>;
  readonly map: string;
}

function readPlaylist(text: string): Media {
  const number = (tag: string): number => Number(new RegExp(`#EXT-X-${tag}:(\\d+)`).exec(text)?.[1] ?? 0);
  const sequence = number("MEDIA-SEQUENCE");
  const uris = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return {
    sequence,
    discontinuity: number("DISCONTINUITY-SEQUENCE"),
    hasDiscontinuity: /^#EXT-X-DISCONTINUITY$/m.test(text),
    segments: new Map(uris.map((uri, index) => [sequence + index, uri])),
    map: [...text.matchAll(/#EXT-X-MAP:URI="([^"]+)"/g)].at(-1)?.[1] ?? "",
  };
}

async function media(base: string): Promise<Media> {
  return readPlaylist(await getText(`${base}${PLAYLIST}`));
}

async function digest(url: string): Promise<string> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return new Bun.CryptoHasher("sha256").update(await response.arrayBuffer()).digest("hex");
}

async function digests(base: string, list: Media): Promise<Map<string, string>> {
  const uris = [list.map, ...list.segments.values()];
  return new Map(
    await Promise.all(
      uris.map(async (uri) => [uri, await digest(new URL(uri, `${base}${PLAYLIST}`).href)] as const),
    ),
  );
}

describe("kill -9", () => {
  test("of an edge: it is restarted and serves again, and the other edge served all along", async () => {
    await using spillway = new Spillway();
    await spillway.ready();
    const done = new AbortController();
    const failures: string[] = [];
    const viewer = (async () => {
      while (!done.signal.aborted) {
        if (!(await isOk(`${spillway.edge(1)}${PLAYLIST}`))) failures.push("playlist");
      }
    })();
    await spillway.killChild("edge 1");
    await waitFor("edge 1 to serve", () => isOk(`${spillway.edge(0)}/readyz`));
    expect((await media(spillway.edge(0))).segments.size).toBeGreaterThan(0);
    done.abort();
    await viewer;
    expect(failures).toEqual([]);
    expect(spillway.program.errors).toMatch(/edge 1 ended \(signal (SIGKILL|9)\).*restarting/);
    await waitFor("both leases", async () => {
      const edges: unknown = JSON.parse(await getText(`${spillway.origin}/api/v1/edges`));
      return Array.isArray(edges) && edges.length === 2;
    });
  });

  test("of the origin: the same numbers, names and bytes go on, without a discontinuity", async () => {
    await using spillway = new Spillway();
    await spillway.ready();
    await waitFor("four segments", async () => (await media(spillway.origin)).segments.size >= 4);
    const before = await media(spillway.origin);
    const bytesBefore = await digests(spillway.origin, before);
    await spillway.killChild("origin");
    const after = await waitFor("a newer playlist", async () => {
      const list = await media(spillway.origin);
      return (
        list.segments.size > 0 &&
        list.sequence + list.segments.size > before.sequence + before.segments.size &&
        list
      );
    });
    const bytesAfter = await digests(spillway.origin, after);
    const common = [...before.segments].filter(([number]) => after.segments.has(number));
    expect(common.length).toBeGreaterThanOrEqual(3);
    for (const [number, uri] of common) expect(after.segments.get(number)).toBe(uri);
    for (const [, uri] of common) expect(bytesAfter.get(uri)).toBe(bytesBefore.get(uri) ?? "absent before");
    expect([after.map, after.discontinuity]).toEqual([before.map, before.discontinuity]);
  });

  test("of the server: a new run with higher numbers, a discontinuity, and no name used again", async () => {
    await using spillway = new Spillway();
    await spillway.ready();
    const before = await media(spillway.edge());
    const pixels = metric(await getText(`${spillway.server}/metrics`), "spillway_server_pixels_total");
    expect(pixels).toBe(0);
    await paint(spillway.ports.pixelflut, "PX 1 1 ff0000\nPX 2 2 00ff00\n");
    await spillway.killChild("server");
    const after = await waitFor("the new run at the edge", async () => {
      const list = await media(spillway.edge());
      return list.map !== before.map && list;
    });
    const lastBefore = Math.max(...before.segments.keys());
    const fresh = [...after.segments].filter(([, uri]) => ![...before.segments.values()].includes(uri));
    expect(after.hasDiscontinuity).toBe(true);
    expect(after.sequence).toBeGreaterThanOrEqual(before.sequence);
    for (const [number] of fresh) expect(number).toBeGreaterThan(lastBefore);
    for (const [number, uri] of before.segments) {
      if (after.segments.has(number)) expect(after.segments.get(number)).toBe(uri);
    }
    await waitFor("the edges to be ready", () => isOk(`${spillway.edge()}/readyz`));
  });
});
