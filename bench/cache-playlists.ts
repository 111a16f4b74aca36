/**
 * Playlists of the origin of `bench cache`: a plain one, and low-latency ones that hold requests. What the probes ask is
 * published when it was waited for long enough, what players play at the pace of time.
 */
// draft-pantos-hls-rfc8216bis-22 4.4, 6.2.5.2
import type { Clock } from "#common/clock.ts";
import { readDirectives } from "#common/delivery-directives.ts";
import { msToSeconds } from "#common/units.ts";
import type { Position } from "./playlist-position.ts";

const PARTS_PER_SEGMENT = 10;
export const PART_MS = 200;
const SEGMENT_MS = PART_MS * PARTS_PER_SEGMENT;
const TARGET_SECONDS = 2;
/** Segments listed, the first of all, and in how many newest ones parts are listed. */
const WINDOW_SEGMENTS = 6;
const FIRST_SEGMENT = 4;
const SEGMENTS_WITH_PARTS = 3;
/** Parts that there are when a playlist begins: all of the first segments, and one of the next. */
const FIRST_PARTS = WINDOW_SEGMENTS * PARTS_PER_SEGMENT + 1;
/** What the first held request asks for: the segment behind those listed, and its second part. */
export const FIRST_HELD = "_HLS_msn=10&_HLS_part=1";
/** Size of the plain playlist. */
export const PLAYLIST_BYTES = 2_000;

export interface HeldListOptions {
  readonly clock: Clock;
  /** First word of the names of its media. */
  readonly media: string;
  readonly run: number;
  /** How long after it is first waited for the next part comes; absent, each comes in its time. Milliseconds. */
  readonly holdMs?: number;
}

/** One low-latency playlist. */
export class HeldList {
  readonly #options: HeldListOptions;
  readonly #startMs: number;
  readonly #startWallMs: number;
  /** Parts published since the first segment began. */
  #parts = FIRST_PARTS;
  #next: Promise<void> | undefined;
  /** When the newest parts came, by their number. */
  readonly #publishedMs = new Map<number, number>();

  constructor(options: HeldListOptions) {
    this.#options = options;
    this.#startMs = options.clock.monotonicMs();
    this.#startWallMs = options.clock.wallMs() - FIRST_PARTS * PART_MS;
  }

  /** The playlist once it lists what `query` asks for. `undefined` for a query that cannot be read. */
  async answer(query: string): Promise<string | undefined> {
    const directives = readDirectives(query);
    if (directives === "malformed") return undefined;
    if (directives !== undefined) {
      await this.untilListed({ msn: directives.segmentNumber, part: directives.part ?? 0 });
    }
    this.#catchUp();
    return this.#text();
  }

  /** Resolves once a part is published. */
  async untilListed(position: Position): Promise<void> {
    const number = numberOf(position);
    for (this.#catchUp(); this.#parts <= number; this.#catchUp()) await this.#untilNext();
  }

  /** When a part came, if that is not long ago. On the monotonic clock, milliseconds. */
  publishedMs(position: Position): number | undefined {
    return this.#publishedMs.get(numberOf(position));
  }

  #untilNext(): Promise<void> {
    const { clock, holdMs } = this.#options;
    const dueMs = this.#startMs + (this.#parts + 1 - FIRST_PARTS) * PART_MS;
    const waitMs = holdMs ?? Math.max(0, dueMs - clock.monotonicMs());
    this.#next ??= new Promise((resolve) => {
      clock.after(waitMs, () => {
        this.#next = undefined;
        if (holdMs !== undefined) this.#publish();
        resolve();
      });
    });
    return this.#next;
  }

  /** Publishes what is due by the clock. */
  #catchUp(): void {
    const { clock, holdMs } = this.#options;
    if (holdMs !== undefined) return;
    const due = FIRST_PARTS + Math.floor((clock.monotonicMs() - this.#startMs) / PART_MS);
    while (this.#parts < due) this.#publish();
  }

  #publish(): void {
    this.#publishedMs.set(this.#parts, this.#options.clock.monotonicMs());
    this.#publishedMs.delete(this.#parts - FIRST_PARTS);
    this.#parts++;
  }

  #text(): string {
    const { media, run } = this.#options;
    const newest = FIRST_SEGMENT + Math.floor(this.#parts / PARTS_PER_SEGMENT);
    const name = (segment: number, part: number): string => `${media}${run}-${segment}.${part}.m4s`;
    const lines = [
      ...head(newest - WINDOW_SEGMENTS),
      `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${msToSeconds(PART_MS * 3)}`,
      `#EXT-X-PART-INF:PART-TARGET=${msToSeconds(PART_MS)}`,
    ];
    for (let segment = newest - WINDOW_SEGMENTS; segment <= newest; segment++) {
      const isOpen = segment === newest;
      const parts = isOpen ? this.#parts % PARTS_PER_SEGMENT : PARTS_PER_SEGMENT;
      const startMs = this.#startWallMs + (segment - FIRST_SEGMENT) * SEGMENT_MS;
      lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(startMs).toISOString()}`);
      if (segment > newest - SEGMENTS_WITH_PARTS) {
        for (let part = 0; part < parts; part++) {
          lines.push(`#EXT-X-PART:DURATION=${msToSeconds(PART_MS)},URI="${name(segment, part)}"`);
        }
      }
      if (!isOpen) lines.push(`#EXTINF:${msToSeconds(SEGMENT_MS)},`, `${media}${run}-${segment}.m4s`);
    }
    lines.push(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${name(newest, this.#parts % PARTS_PER_SEGMENT)}"`);
    return `${lines.join("\n")}\n`;
  }
}

/** A playlist without parts, of {@link PLAYLIST_BYTES}. */
export function plainPlaylist(): string {
  const lines = head(0);
  for (let segment = 0; segment < WINDOW_SEGMENTS; segment++) {
    lines.push(`#EXTINF:${msToSeconds(SEGMENT_MS)},`, `ready0-${segment}.m4s`);
  }
  const text = `${lines.join("\n")}\n#`;
  return `${text.padEnd(PLAYLIST_BYTES - 1, ".")}\n`;
}

function numberOf({ msn, part }: Position): number {
  return (msn - FIRST_SEGMENT) * PARTS_PER_SEGMENT + part;
}

function head(firstSegment: number): string[] {
  return [
    "#EXTM3U",
    "#EXT-X-VERSION:9",
    `#EXT-X-TARGETDURATION:${TARGET_SECONDS}`,
    `#EXT-X-MEDIA-SEQUENCE:${firstSegment}`,
  ];
}
