/**
 * What it costs an edge to spread the segments of one version of a playlist over hosts, and what only to look for its
 * URIs; a checksum of the texts says that the work was done. `bun bench/micro/playlist-rewrite.bench.ts [rounds]`.
 */
import { testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { median } from "../statistics.ts";
import { mapPlaylistUris } from "../../edge/playlist-uris.ts";
import { SegmentHosts } from "../../edge/segment-hosts.ts";
import { open, TWO } from "../../origin/origin-fixture.ts";

/** The result of one number of hosts. */
export interface RewriteFigures {
  readonly hostCount: number;
  /** Of the text as the origin wrote it. */
  readonly textBytes: number;
  /** Medians, in microseconds. */
  readonly lookUs: number;
  readonly rewriteUs: number;
  /** CRC-32 of all texts. */
  readonly checksum: string;
}

const PATH = "/live/canvas/720p/index.m3u8";
/** Texts of one measurement: less time than one takes cannot be told. */
const BATCH = 20;

/** Rewrites a playlist of 48 s with parts `rounds` x {@link BATCH} times. */
export async function benchRewrite(hostCount: number, rounds: number): Promise<RewriteFigures> {
  const origin = open({ windowSeconds: 48 });
  origin.play(testsrcRun({ renditions: TWO }), 0, 3_000);
  const text = await origin.text("64p/index.m3u8");
  const hosts = new SegmentHosts("");
  const urls = Array.from({ length: hostCount }, (_, index) => `https://edge${index}.example.org`);
  hosts.adopt({
    type: "segment-hosts",
    origin: "o1",
    version: 1,
    from: { cmaf: 0, ts: 0 },
    hosts: urls.map((url) => ({ url, weight: 1_000 })),
  });
  const looksUs: number[] = [];
  const rewritesUs: number[] = [];
  let checksum = 0;
  for (let round = 0; round < rounds; round++) {
    looksUs.push(timeUs(() => mapPlaylistUris(text, (uri) => uri)).us);
    const rewrite = timeUs(() => hosts.rewrite(text, PATH));
    rewritesUs.push(rewrite.us);
    checksum = Bun.hash.crc32(rewrite.text, checksum);
  }
  return {
    hostCount,
    textBytes: Buffer.byteLength(text),
    lookUs: median(looksUs),
    rewriteUs: median(rewritesUs),
    checksum: checksum.toString(16),
  };
}

/** Of one call, over {@link BATCH} of them. */
function timeUs(write: () => string): { readonly us: number; readonly text: string } {
  const startMs = performance.now();
  let text = "";
  for (let index = 0; index < BATCH; index++) text = write();
  return { us: ((performance.now() - startMs) * 1_000) / BATCH, text };
}

if (import.meta.main) {
  const rounds = Number(process.argv[2] ?? 500);
  for (const hostCount of [2, 64]) console.table([await benchRewrite(hostCount, rounds)]);
}
