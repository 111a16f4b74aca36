/**
 * What a hit costs the edge's own code: from the request as Bun hands it over to the response that it is given, for a
 * playlist of 2 kB and a segment of 375 kB. No socket, so Bun's and the kernel's share is not in it. The bytes given out say
 * that the work was done. `bun bench/micro/edge-hit.bench.ts [hits]`.
 */
import { faultOf } from "#common/request-faults.ts";
import { FakeOrigin, startTestEdge } from "../../edge/fake-origin.ts";
import { SEGMENT_BYTES } from "../cache-objects.ts";
import { plainPlaylist } from "../cache-playlists.ts";
import { median } from "../statistics.ts";

const PLAYLIST = "/live/canvas/720p/index.m3u8";
const SEGMENT = "/live/canvas/720p/aabbccdd-1.m4s";
const HITS = 20_000;
const ROUNDS = 9;

/** The result for one object. */
export interface EdgeHitFigures {
  readonly path: string;
  /** For one hit: median over the rounds. */
  readonly nsPerHit: number;
  /** Body bytes given out for each hit. */
  readonly bytesPerHit: number;
}

/** `rounds` times `hits` hits of each object, by turns. */
export async function benchEdgeHit({
  hits,
  rounds,
}: {
  readonly hits: number;
  readonly rounds: number;
}): Promise<EdgeHitFigures[]> {
  const origin = new FakeOrigin(answer);
  const edge = startTestEdge(origin.url);
  // Of a server, hits use the peer's address alone.
  const server = {
    requestIP: () => ({ address: "192.0.2.1", port: 1, family: "IPv4" }),
  } as unknown as Bun.Server<undefined>;
  const sides = [PLAYLIST, SEGMENT].map((path) => ({
    path,
    request: new Request(edge.url + path, { headers: { host: "localhost", "user-agent": "bench" } }),
    times: Array.of<number>(),
  }));
  const sent = new Map(sides.map(({ path }) => [path, 0]));
  try {
    for (let round = 0; round < rounds; round++) {
      for (const { path, request, times } of sides) {
        // Fresh for the round.
        await (await fetch(edge.url + path)).bytes();
        const before = edge.counters.sentBytes;
        const start = Bun.nanoseconds();
        for (let hit = 0; hit < hits; hit++)
          if (faultOf(request) === undefined) void edge.fetch(request, server);
        times.push((Bun.nanoseconds() - start) / hits);
        sent.set(path, (sent.get(path) ?? 0) + edge.counters.sentBytes - before);
      }
    }
  } finally {
    await edge.close();
    await origin.close();
  }
  return sides.map(({ path, times }) => ({
    path,
    nsPerHit: median(times),
    bytesPerHit: (sent.get(path) ?? 0) / (hits * rounds),
  }));
}

function answer(request: Request): Response {
  return request.url.endsWith(".m3u8")
    ? new Response(plainPlaylist(), {
        headers: { "content-type": "application/vnd.apple.mpegurl", "cache-control": "max-age=1" },
      })
    : new Response(new Uint8Array(SEGMENT_BYTES), {
        headers: { "content-type": "video/mp4", "cache-control": "public, max-age=3600, immutable" },
      });
}

if (import.meta.main) {
  const hits = Number(process.argv[2] ?? HITS);
  for (const { path, nsPerHit, bytesPerHit } of await benchEdgeHit({ hits, rounds: ROUNDS })) {
    process.stdout.write(`${path}: ${Math.round(nsPerHit)} ns a hit, ${bytesPerHit} bytes\n`);
  }
}
