/**
 * The edges that hold a lease, how busy they say they are, and which of them a viewer is handed to. In memory only:
 * after a restart every edge is back within a second.
 */
import {
  SEGMENT_HOSTS_MAX,
  type EdgeState,
  type LeaseHello,
  type LeaseLoad,
  type SegmentHost,
} from "#common/formats/lease.ts";

/** One entry of `/api/v1/edges`. */
export interface EdgeEntry {
  readonly url: string;
  readonly region: string;
  /** Share of new viewers, relative to other edges; 0 takes none. */
  readonly weight: number;
  readonly state: EdgeState;
  readonly viewers: number;
  readonly egressBitsPerSecond: number;
  readonly capacityBitsPerSecond: number;
}

/** What an edge that does not know its capacity is taken for. */
const CAPACITY_BITS_PER_SECOND_DEFAULT = 1_000_000_000;
const BITS_PER_MEGABIT = 1_000_000;

interface Edge {
  readonly hello: LeaseHello;
  load: Omit<LeaseLoad, "type">;
}

/** A place in the registry, held by a lease. */
export interface EdgePlace {
  update(load: LeaseLoad): void;
  /** Takes the edge out. */
  leave(): void;
}

export interface ChooseOptions {
  /** From 0 to 1, below 1. */
  readonly random: () => number;
  readonly count: number;
}

export class EdgeRegistry {
  readonly #edges = new Set<Edge>();

  get count(): number {
    return this.#edges.size;
  }

  /** Viewers on all edges. */
  get viewers(): number {
    return this.#edges.values().reduce((sum, edge) => sum + edge.load.viewers, 0);
  }

  /** Enters an edge. It takes no viewers before its first report. */
  enter(hello: LeaseHello): EdgePlace {
    const edge: Edge = { hello, load: { state: "waiting", viewers: 0, egressBitsPerSecond: 0 } };
    this.#edges.add(edge);
    return {
      update({ state, viewers, egressBitsPerSecond }) {
        edge.load = { state, viewers, egressBitsPerSecond };
      },
      leave: () => void this.#edges.delete(edge),
    };
  }

  /** All edges as someone sees them who reaches this origin by `hostname`. Edges without a URL need that. */
  list(hostname: string | undefined): EdgeEntry[] {
    const entries: EdgeEntry[] = [];
    for (const { hello, load } of this.#edges) {
      const url = edgeUrl(hello, hostname);
      if (url === undefined) continue;
      const { region, capacityBitsPerSecond } = hello;
      const { state, viewers, egressBitsPerSecond } = load;
      const weight = weightOf(hello, load);
      entries.push({ url, region, weight, state, viewers, egressBitsPerSecond, capacityBitsPerSecond });
    }
    return entries;
  }

  /**
   * Edges that segments can be spread over, by URL, those with the highest capacity where there are too many: each that
   * serves viewers and says how they reach it, whatever name they used for this origin.
   */
  segmentHosts(): SegmentHost[] {
    const hosts = new Map<string, SegmentHost>();
    for (const { hello, load } of this.#edges) {
      const url = edgeUrl(hello, undefined);
      if (url === undefined || (load.state !== "ready" && load.state !== "full")) continue;
      const weight = Math.max(
        1,
        Math.round(capacityOf(hello) / BITS_PER_MEGABIT),
        hosts.get(url)?.weight ?? 0,
      );
      hosts.set(url, { url, weight });
    }
    return [...hosts.values()].sort(byWeight).slice(0, SEGMENT_HOSTS_MAX).sort(compareUrls);
  }

  /** URLs of the edge for the next viewer and of those to fall back on, up to `count`: each is drawn by weight from the rest. */
  choose(hostname: string | undefined, { random, count }: ChooseOptions): string[] {
    let entries = this.list(hostname).filter((entry) => entry.weight > 0);
    const chosen: string[] = [];
    while (chosen.length < count) {
      let at = random() * entries.reduce((sum, entry) => sum + entry.weight, 0);
      const url = (entries.find(({ weight }) => (at -= weight) < 0) ?? entries.at(-1))?.url;
      if (url === undefined) break;
      chosen.push(url);
      entries = entries.filter((entry) => entry.url !== url);
    }
    return chosen;
  }
}

function byWeight(a: SegmentHost, b: SegmentHost): number {
  return b.weight - a.weight || compareUrls(a, b);
}

function compareUrls(a: SegmentHost, b: SegmentHost): number {
  return a.url < b.url ? -1 : Number(a.url > b.url);
}

/** In bits per second. */
function capacityOf({ capacityBitsPerSecond }: LeaseHello): number {
  return capacityBitsPerSecond === 0 ? CAPACITY_BITS_PER_SECOND_DEFAULT : capacityBitsPerSecond;
}

/** What the edge can still send, in Mbit/s, at least 1 while it takes viewers. */
function weightOf(hello: LeaseHello, load: Edge["load"]): number {
  if (load.state !== "ready") return 0;
  return Math.max(1, Math.round((capacityOf(hello) - load.egressBitsPerSecond) / BITS_PER_MEGABIT));
}

function edgeUrl({ publicUrl, scheme, port }: LeaseHello, hostname: string | undefined): string | undefined {
  if (publicUrl !== "") return publicUrl.replace(/\/+$/, "");
  return hostname === undefined ? undefined : `${scheme}://${hostname}:${port}`;
}

/**
 * The host name in a `Host` header, without its port. It ends up in playlists of this very viewer, so only a plain
 * name or address passes.
 */
// RFC 9110 7.2, RFC 3986 3.2.2
export function hostnameOf(header: string | null): string | undefined {
  if (header === null || header.length > 255) return undefined;
  const match = /^([a-zA-Z0-9](?:[a-zA-Z0-9._-]*[a-zA-Z0-9.])?|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?$/.exec(
    header,
  );
  return match?.[1];
}
