/** Options of an origin, and the bounds that are no options. */
import type { commonOptions } from "#common/config.ts";
import { SEGMENT_SECONDS } from "#common/formats/frame.ts";
import {
  bindAddress,
  choice,
  decimal,
  httpUrlWithQuery,
  integer,
  port,
  text,
  type ConfigOf,
  type OptionSet,
} from "#common/options.ts";
import { MEBIBYTE } from "#common/units.ts";

/** Length of the window that playlists list, in seconds. The feed's history (54 s) refills it whole after a restart. */
export const WINDOW_SECONDS = 24;
/** Delta updates are offered where the window is longer than this (Apple's rule 14.4). */
export const SKIP_WINDOW_SECONDS = 120;

export const originOptions = {
  "origin-port": port({
    table: "origin",
    description: "Port of the origin's HTTP: playlists, media, API, metrics.",
    default: 8080,
  }),
  "origin-bind": bindAddress({
    table: "origin",
    description: "Address that the origin listens on. Viewers come to edges, which may be on this machine.",
    default: "127.0.0.1",
  }),
  source: httpUrlWithQuery({
    table: "origin",
    description:
      "Where the video comes from: the feed of a canvas server, or any MPEG-TS with H.264 whose key frames are no further apart than `--target-duration`. Its query, which may hold a token, is never shown.",
    default: "http://127.0.0.1:9001/feed.mp4",
  }),
  stream: text({
    table: "origin",
    description: "Name of the stream in URLs: /live/<stream>/index.m3u8.",
    valueName: "<name>",
    default: "canvas",
    pattern: /^[a-z0-9][a-z0-9-]{0,31}$/,
    allowed: "1 to 32 lower-case letters, digits or -",
  }),
  "part-duration": decimal({
    table: "origin",
    description:
      "Length of the parts of low-latency HLS in seconds; the nearest number of frames that divides the frame rate.",
    valueName: "<seconds>",
    // Five frames of 30 a second: measured, see ARCHITECTURE.md.
    default: 0.167,
    min: 0.05,
    max: 1,
  }),
  "target-duration": integer({
    table: "origin",
    description:
      "Target duration of the playlists of an MPEG-TS source, in seconds: its key frames may be so far apart, half a second more is forgiven. A feed has one of its own.",
    valueName: "<seconds>",
    default: SEGMENT_SECONDS,
    min: SEGMENT_SECONDS,
    max: 10,
  }),
  "window-seconds": integer({
    table: "origin",
    description:
      "Length of the window that playlists list, in seconds; an odd number counts as one less. Above 120 delta updates are offered. Media of twice as long are in memory: where 256 MiB for each rendition and format do not hold that, the default is used instead, with an error in the log.",
    valueName: "<seconds>",
    default: WINDOW_SECONDS,
    min: 12,
    max: 900,
  }),
  slate: choice({
    table: "origin",
    description:
      "While the source brings nothing, go on with a picture that says so (0.3 s after it has gone, 1 s after it fell silent), or let playlists stand still.",
    choices: ["on", "off"],
    default: "on",
  }),
  spread: choice({
    table: "origin",
    description:
      "Hand viewers to live edges in the multivariant playlist (viewer), there also spread the segments of a playlist over all edges that have a --public-url (segment), or serve everyone from here.",
    choices: ["viewer", "segment", "off"],
    default: "viewer",
  }),
} satisfies OptionSet;

export type OriginConfig = ConfigOf<typeof commonOptions & typeof originOptions>;

/** Whole seconds of a segment, which are also the target durations (hls.js and AVPlayer want whole seconds). */
export const CMAF_SEGMENT_SECONDS = SEGMENT_SECONDS;
export const TS_SEGMENT_SECONDS = 1;
/** A playlist lists at least so many segments, and so many target durations of them. */
export const SEGMENTS_LISTED_MIN = 6;
export const LISTED_TARGET_DURATIONS_MIN = 3;
/**
 * Bytes of one window of one rendition, unlisted segments included. Past it the oldest segments go, listed or not;
 * at 50 s and two formats this is 40 Mbit/s, more than any rendition here has.
 */
export const WINDOW_BYTES_MAX = 256 * MEBIBYTE;

/** How much more than its bit rate says a rendition may have, as MPEG-TS. */
const CONTAINER_FACTOR = 1.15;

/** True where {@link WINDOW_BYTES_MAX} holds a window of so many seconds, unlisted segments included. */
export function fitsWindow(windowSeconds: number, bitsPerSecond: number): boolean {
  const keptSeconds = 2 * windowSeconds + 2 * CMAF_SEGMENT_SECONDS;
  return (keptSeconds * bitsPerSecond * CONTAINER_FACTOR) / 8 <= WINDOW_BYTES_MAX;
}

/** Playlist reloads and hinted parts held at once; past it 503 with Retry-After. Fewer where open files do not allow it. */
export const HELD_REQUESTS_MAX = 20_000;

/** Viewers of the endless `.ts`, and readers of `events`, at once; past it 503 with Retry-After. */
export const TS_VIEWERS_MAX = 4_000;
export const EVENT_READERS_MAX = 4_000;
/** A reader of `events` that takes nothing for this long is dropped; it misses events meanwhile. */
export const EVENTS_BLOCKED_MS_MAX = 30_000;

/** Edges with a lease at once; past it 503. */
export const LEASES_MAX = 1_000;

/** A source that sends no frame for this long is opened anew. */
export const SOURCE_SILENCE_MS_MAX = 3_000;
/** Wait before the first and the longest wait before any later attempt to open the source. */
export const SOURCE_BACKOFF_MS_MIN = 50;
export const SOURCE_BACKOFF_MS_MAX = 1_000;
