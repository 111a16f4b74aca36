/**
 * What the origin of `bench cache` has: objects whose name says how they are delivered, and their bytes, which follow
 * from their place alone, so that a reader sees at once where something is missing.
 */

/** How an object is delivered. The kind is the first word of its name, behind which there are digits. */
export const OBJECT_KINDS = [
  "ready",
  "steady",
  "dying",
  "cut",
  "failing",
  "expiring",
  "private",
  "large",
  "segment",
  "part",
] as const;
export type ObjectKind = (typeof OBJECT_KINDS)[number];

/** Objects of the rates. */
export const CACHE_LOADS = ["playlist", "segment"] as const;
export type CacheLoad = (typeof CACHE_LOADS)[number];

/** A chunk, and how many of them an object of the probes has: 640 kB in all. */
export const CHUNK_BYTES = 64_000;
export const CHUNKS = 10;
/** Chunks that come before a first delivery of `dying` and `cut` ends without the rest. */
export const CHUNKS_BEFORE_DEATH = 3;
export const OBJECT_BYTES = CHUNK_BYTES * CHUNKS;
/** A segment of 0.5 s at 6 Mbit/s. */
export const SEGMENT_BYTES = 375_000;
/** A part of 0.2 s at 6 Mbit/s. */
export const PART_BYTES = 150_000;
/** Time to the first byte and time of a hold, in chunks. */
export const FIRST_BYTE_CHUNKS = 3;
export const HOLD_CHUNKS = 15;

/** A prime, so that no block of the kernel's or of a cache's repeats. */
const PERIOD = 251;

/** Where the objects lie, see `--paths`. */
export const PREFIXES = { probe: "/probe/", live: "/live/probe/" } as const;
export type Paths = keyof typeof PREFIXES;

/** The path of an object, as the URL contract of our edges has it for media: `run-number.m4s`. */
export function objectPath(paths: Paths, kind: ObjectKind, run: number): string {
  return `${PREFIXES[paths]}video/${kind}${run}-1.m4s`;
}

/** A playlist that holds requests of the probes, one that players play, and one of 2 kB that nobody waits for. */
export type PlaylistKind = "held" | "live" | "plain";

/** The path of a playlist of its own. */
export function playlistPath(paths: Paths, kind: PlaylistKind, run: number): string {
  return `${PREFIXES[paths]}${kind}${run}/index.m3u8`;
}

/** The first `length` bytes of every object. */
export function objectBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const period = Buffer.from(Array.from({ length: PERIOD }, (_, index) => index));
  return bytes.fill(period);
}
