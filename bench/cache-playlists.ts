/**
 * Playlists of the origin of `bench cache`. The low-latency one gets a part longer whenever one is asked for that it
 * does not list yet, and a hold later: the whole of its time passes in holds.
 */
// draft-pantos-hls-rfc8216bis-22 4.4, 6.2.5.2
import type { Clock } from "#common/clock.ts";
import { readDirectives } from "#common/delivery-directives.ts";

const PARTS_PER_SEGMENT = 10;
const PART_SECONDS = 0.2;
const SEGMENT_SECONDS = PART_SECONDS * PARTS_PER_SEGMENT;
const TARGET_SECONDS = 2;
/** Segments listed, the first of all, and in how many newest ones parts are listed. */
const WINDOW_SEGMENTS = 6;
const FIRST_SEGMENT = 4;
const SEGMENTS_WITH_PARTS = 3;
/** What the first held request asks for: the segment behind those listed, and its second part. */
export const FIRST_HELD = "_HLS_msn=10&_HLS_part=1";
/** Size of the plain playlist. */
export const PLAYLIST_BYTES = 2_000;

/** One low-latency playlist. */
export class HeldList {
  readonly #holdMs: number;
  readonly #clock: Clock;
  readonly #run: number;
  /** Parts published since the first segment began. */
  #parts = WINDOW_SEGMENTS * PARTS_PER_SEGMENT + 1;
  #next: Promise<void> | undefined;

  constructor(options: { readonly run: number; readonly holdMs: number; readonly clock: Clock }) {
    this.#run = options.run;
    this.#holdMs = options.holdMs;
    this.#clock = options.clock;
  }

  /** The playlist once it lists what `query` asks for. `undefined` for a query that cannot be read. */
  async answer(query: string): Promise<string | undefined> {
    const directives = readDirectives(query);
    if (directives === "malformed") return undefined;
    if (directives !== undefined) {
      const segments = directives.segmentNumber - FIRST_SEGMENT;
      const wanted = segments * PARTS_PER_SEGMENT + (directives.part ?? 0);
      while (this.#parts <= wanted) await this.#untilNext();
    }
    return this.#text();
  }

  #untilNext(): Promise<void> {
    this.#next ??= new Promise((resolve) => {
      this.#clock.after(this.#holdMs, () => {
        this.#parts++;
        this.#next = undefined;
        resolve();
      });
    });
    return this.#next;
  }

  #text(): string {
    const newest = FIRST_SEGMENT + Math.floor(this.#parts / PARTS_PER_SEGMENT);
    const name = (segment: number, part: number): string => `ready${this.#run}-${segment}.${part}.m4s`;
    const lines = [
      ...head(newest - WINDOW_SEGMENTS),
      `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${PART_SECONDS * 3}`,
      `#EXT-X-PART-INF:PART-TARGET=${PART_SECONDS}`,
    ];
    for (let segment = newest - WINDOW_SEGMENTS; segment <= newest; segment++) {
      const isOpen = segment === newest;
      const parts = isOpen ? this.#parts % PARTS_PER_SEGMENT : PARTS_PER_SEGMENT;
      if (segment > newest - SEGMENTS_WITH_PARTS) {
        for (let part = 0; part < parts; part++) {
          lines.push(`#EXT-X-PART:DURATION=${PART_SECONDS},URI="${name(segment, part)}"`);
        }
      }
      if (!isOpen) lines.push(`#EXTINF:${SEGMENT_SECONDS},`, `ready${this.#run}-${segment}.m4s`);
    }
    lines.push(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${name(newest, this.#parts % PARTS_PER_SEGMENT)}"`);
    return `${lines.join("\n")}\n`;
  }
}

/** A playlist without parts, of {@link PLAYLIST_BYTES}. */
export function plainPlaylist(): string {
  const lines = head(0);
  for (let segment = 0; segment < WINDOW_SEGMENTS; segment++) {
    lines.push(`#EXTINF:${SEGMENT_SECONDS},`, `ready0-${segment}.m4s`);
  }
  const text = `${lines.join("\n")}\n#`;
  return `${text.padEnd(PLAYLIST_BYTES - 1, ".")}\n`;
}

function head(firstSegment: number): string[] {
  return [
    "#EXTM3U",
    "#EXT-X-VERSION:9",
    `#EXT-X-TARGETDURATION:${TARGET_SECONDS}`,
    `#EXT-X-MEDIA-SEQUENCE:${firstSegment}`,
  ];
}
