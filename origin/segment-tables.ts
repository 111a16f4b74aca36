/**
 * Which edges segments are had from, where `--spread segment` spreads them: a table for all segments from a number on,
 * made anew when edges come and go. That number lies far enough ahead that each edge has heard of the table before any
 * playlist shows one of its segments, so all edges write the same URIs and none ever changes.
 */
import type { Clock } from "#common/clock.ts";
import type { LeaseSegmentHosts, SegmentHost, SegmentNumbers } from "#common/formats/lease.ts";
import { secondsToMs } from "#common/units.ts";
import type { EdgeRegistry } from "./edges.ts";

/** How long a table is on its way to the edges at most, before a playlist shows a segment of it. */
const LEAD_MS = 2_000;
/** Between two looks at the edges, and so between two tables. */
const INTERVAL_MS_MIN = 250;
/** Tables that edges hear of when they come. Past it the oldest goes: its segments then stay with such an edge. */
const KEPT_MAX = 128;

/** Segments that playlists of one format show. */
export interface SegmentSpan {
  /** The oldest that is listed. */
  readonly first: number;
  /** The one that the next part belongs to: open, or to come. */
  readonly next: number;
  readonly targetDurationSeconds: number;
}

export interface SegmentTablesOptions {
  readonly edges: Pick<EdgeRegistry, "segmentHosts">;
  /** Of all renditions' playlists of a format; `undefined` while nothing is listed. */
  readonly span: (format: keyof SegmentNumbers) => SegmentSpan | undefined;
  readonly clock: Clock;
  /** Of this start of the origin. */
  readonly originId: string;
}

export class SegmentTables {
  readonly #options: SegmentTablesOptions;
  /** Oldest first. */
  readonly #kept: LeaseSegmentHosts[] = [];
  /** When the edges were looked at last, on the monotonic clock. */
  #lookedMs = Number.NEGATIVE_INFINITY;
  /** Tables made. */
  made = 0;

  constructor(options: SegmentTablesOptions) {
    this.#options = options;
  }

  /** Tables of segments that are listed or to come, oldest first. */
  get kept(): readonly LeaseSegmentHosts[] {
    return this.#kept;
  }

  /** Edges of the newest table. */
  get hostCount(): number {
    return this.#kept.at(-1)?.hosts.length ?? 0;
  }

  /** Makes a new table where edges have come or gone. To be called whenever one was heard of: looks four times a second. */
  refresh(): LeaseSegmentHosts | undefined {
    const { edges, clock, span, originId } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#lookedMs < INTERVAL_MS_MIN) return undefined;
    this.#lookedMs = nowMs;
    const shown = { cmaf: span("cmaf"), ts: span("ts") };
    if (shown.cmaf === undefined || shown.ts === undefined) return undefined;
    const from = { cmaf: firstAhead(shown.cmaf), ts: firstAhead(shown.ts) };
    const hosts = edges.segmentHosts();
    const newest = this.#kept.at(-1);
    // The first is told in any case: edges may go by those of a start before. Where numbers went back they would not come
    // to the newest table for long.
    const isMet = newest !== undefined && newest.from.cmaf <= from.cmaf && newest.from.ts <= from.ts;
    if (isMet && areSame(hosts, newest.hosts)) return undefined;
    this.made++;
    const table = { type: "segment-hosts", origin: originId, version: this.made, from, hosts } as const;
    this.#keep(table, { cmaf: shown.cmaf.first, ts: shown.ts.first });
    return table;
  }

  /** Adds a table, and forgets those that hold for nothing from the first listed segments on. */
  #keep(table: LeaseSegmentHosts, first: SegmentNumbers): void {
    this.#kept.push(table);
    const oldest = this.#kept.findLastIndex(({ from }) => from.cmaf <= first.cmaf && from.ts <= first.ts);
    this.#kept.splice(0, Math.max(oldest, this.#kept.length - KEPT_MAX, 0));
  }
}

/** The first segment of which no playlist can show anything before {@link LEAD_MS} have passed, where segments are whole. */
function firstAhead({ next, targetDurationSeconds }: SegmentSpan): number {
  return next + 1 + Math.ceil(LEAD_MS / secondsToMs(targetDurationSeconds));
}

function areSame(some: readonly SegmentHost[], others: readonly SegmentHost[]): boolean {
  return (
    some.length === others.length &&
    some.every(({ url, weight }, index) => url === others[index]?.url && weight === others[index].weight)
  );
}
