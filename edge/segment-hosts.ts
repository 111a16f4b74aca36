/**
 * Where segments are spread over edges: which of them has a segment, and the playlist with its URIs on that one. A pure
 * function of the segment's number and the origin's table for it, so all edges write the same; and a segment whose URI
 * was handed out keeps it, whatever is heard later: players end at a segment that moves.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.2, 6.3.4 (a media sequence number keeps its URI)
import { LRUCache } from "lru-cache";
import type { LeaseSegmentHosts, SegmentHost, SegmentNumbers } from "#common/formats/lease.ts";
import { mapPlaylistUris } from "./playlist-uris.ts";
import { folderOf } from "./upstream-order.ts";
import type { UpstreamAnswer } from "./upstream.ts";

/** Tables kept: of listed segments, twice what an origin tells an edge that comes. */
const TABLES_MAX = 256;
/** Runs and formats of which the newest number handed out is known: the present ones, and some before. */
const HANDED_OUT_MAX = 32;
/** Names of segments and parts: the run, the number, the part. What else there is stays with the playlist. */
const SEGMENT_NAME = /^([0-9A-Za-z]{1,32})-(\d{1,15})(?:\.\d{1,6})?(?:-s)?\.(m4s|ts)$/;
/** How a URI begins that {@link SegmentHosts.rewrite} has made. */
const ABSOLUTE = /^https?:\/\//;
/** 2^32 divided by the golden ratio. */
const GOLDEN_STEP = 0x9e3779b9;
const UINT32_VALUES = 2 ** 32;

interface SegmentName {
  readonly number: number;
  readonly format: keyof SegmentNumbers;
  /** Where numbers count up: run and format. */
  readonly row: string;
}

interface Table extends LeaseSegmentHosts {
  /** By row, the newest number that was handed out when this table was heard of: it holds for later ones alone. */
  readonly handedOut: ReadonlyMap<string, number>;
}

/** Tables of segment hosts as heard from origins, and what was handed out by them. */
export class SegmentHosts {
  /** The newest first. */
  readonly #tables: Table[] = [];
  readonly #handedOut = new LRUCache<string, number>({ max: HANDED_OUT_MAX });
  readonly #publicUrl: string;
  /** Tables taken over, and those of them heard of after a segment that they are for. */
  adopted = 0;
  late = 0;

  /** @param publicUrl how viewers reach this edge; empty where that is not known */
  constructor(publicUrl: string) {
    this.#publicUrl = publicUrl.replace(/\/+$/, "");
  }

  /** Edges of the newest table. */
  get count(): number {
    return this.#tables[0]?.hosts.length ?? 0;
  }

  /** Takes over a table for all segments that are to come; one that is the newest already is not taken twice. */
  adopt(table: LeaseSegmentHosts): void {
    const newest = this.#tables[0];
    const continues = newest?.origin === table.origin;
    if (continues && table.version <= newest.version) return;
    const handedOut = new Map(this.#handedOut.entries());
    this.#tables.unshift({ ...table, handedOut });
    if (this.#tables.length > TABLES_MAX) this.#tables.pop();
    this.adopted++;
    if (continues && isLate(table.from, handedOut)) this.late++;
  }

  /** The playlist at `path` as viewers get it: URIs of segments, parts and hints absolute, all others as they were. */
  rewrite(text: string, path: string): string {
    const folder = folderOf(path);
    return mapPlaylistUris(text, (uri) => {
      const name = readName(uri);
      if (name === undefined) return uri;
      if (name.number > (this.#handedOut.get(name.row) ?? -1)) this.#handedOut.set(name.row, name.number);
      const url = this.#urlFor(name);
      return url === undefined ? uri : `${url}${folder}${uri}`;
    });
  }

  /** False for media that another edge is asked for: it is served here as well, but need not be fetched ahead. */
  isOurs(path: string): boolean {
    const name = readName(path.slice(path.lastIndexOf("/") + 1));
    const url = name === undefined ? undefined : this.#urlFor(name);
    return url === undefined || url === this.#publicUrl;
  }

  /** Base URL of the edge that has a segment; `undefined` where it stays with the playlist. */
  #urlFor({ number, format, row }: SegmentName): string | undefined {
    const table = this.#tables.find(
      ({ from, handedOut }) => number >= from[format] && number > (handedOut.get(row) ?? -1),
    );
    return table === undefined ? undefined : hostOf(table.hosts, number)?.url;
  }
}

/**
 * The host of a segment: successive numbers step around a circle by the golden ratio, on which each host has an arc as
 * long as its weight, so that any few segments in a row are as near to the weights as they can be.
 */
export function hostOf(hosts: readonly SegmentHost[], segmentNumber: number): SegmentHost | undefined {
  const total = hosts.reduce((sum, { weight }) => sum + weight, 0);
  let left = ((Math.imul(segmentNumber, GOLDEN_STEP) >>> 0) / UINT32_VALUES) * total;
  for (const host of hosts) {
    left -= host.weight;
    if (left < 0) return host;
  }
  return hosts.at(-1);
}

/**
 * A playlist as its origin has written it, where an edge on the way has spread its segments: their URIs are relative
 * again, whichever edges they name. An edge behind an edge is there to serve them itself.
 *
 * @param path with its query
 */
export function withoutHosts(answer: UpstreamAnswer, path: string): UpstreamAnswer {
  const folder = folderOf(path);
  const text = new TextDecoder().decode(answer.body);
  const written = mapPlaylistUris(text, (uri) => {
    if (!ABSOLUTE.test(uri)) return uri;
    const name = uri.slice(uri.lastIndexOf("/") + 1);
    return readName(name) !== undefined && uri.endsWith(folder + name) ? name : uri;
  });
  return written === text ? answer : { ...answer, body: new TextEncoder().encode(written) };
}

function readName(name: string): SegmentName | undefined {
  const match = SEGMENT_NAME.exec(name);
  if (match === null) return undefined;
  const [, run = "", number, extension] = match;
  const format = extension === "ts" ? "ts" : "cmaf";
  return { number: Number(number), format, row: `${run} ${format}` };
}

/** True where a number from `from` on was handed out. */
function isLate(from: SegmentNumbers, handedOut: ReadonlyMap<string, number>): boolean {
  return handedOut.entries().some(([row, number]) => number >= (row.endsWith(" ts") ? from.ts : from.cmaf));
}
