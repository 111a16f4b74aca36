/**
 * Reads playlists for all players of a process. Many players get the same bytes at the same moment: each version is
 * unpacked, parsed and checked once, so that a thousand players cost hardly more parsing than one.
 *
 * Hot path: one comparison of a few kilobytes for an answer that another player got before.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.1, 6.2.2
import { parsePlaylist, type MediaPlaylist, type Playlist } from "./hls-playlist.ts";
import type { Tally } from "./statistics.ts";

/** Versions of one playlist that are remembered; the oldest is dropped. */
const VERSIONS_MAX = 16;
/** Playlists that are remembered; the oldest is dropped. */
const PLAYLISTS_MAX = 256;
/** Segment numbers whose address is remembered behind the window. */
const SEGMENTS_KEPT = 256;
/** A date may be off its segment's by this much before it counts as moved: playlists show milliseconds. */
const DATE_TOLERANCE_MS = 2;

interface Version {
  readonly body: Buffer;
  readonly playlist: Playlist | undefined;
}

interface Known {
  readonly versions: Version[];
  readonly segments: Map<number, { readonly uri: string; readonly startWallMs: number | undefined }>;
  targetDurationMs: number | undefined;
  partTargetMs: number | undefined;
}

/** Remembers playlists and counts breaches of the protocol in `protocolErrors`. */
export class PlaylistReader {
  readonly #protocolErrors: Tally;
  readonly #known = new Map<string, Known>();

  constructor(protocolErrors: Tally) {
    this.#protocolErrors = protocolErrors;
  }

  /** Reads the body of a response; `undefined` where it is no playlist. */
  read(response: {
    readonly url: string;
    readonly body: Uint8Array;
    /** `gzip` or `undefined`. */
    readonly encoding: string | undefined;
  }): Playlist | undefined {
    const address = response.url.replace(/[?#].*$/, "");
    const known = this.#knownAt(address);
    const body = Buffer.from(response.body.buffer, response.body.byteOffset, response.body.length);
    const seen = known.versions.findLast((version) => version.body.equals(body));
    if (seen !== undefined) return seen.playlist;
    const playlist = parsePlaylist(textOf(body, response.encoding), address);
    known.versions.push({ body, playlist });
    if (known.versions.length > VERSIONS_MAX) known.versions.shift();
    if (playlist?.type === "media") this.#check(playlist, known);
    if (playlist === undefined) this.#protocolErrors.add("not a playlist");
    return playlist;
  }

  #knownAt(address: string): Known {
    let known = this.#known.get(address);
    if (known === undefined) {
      known = { versions: [], segments: new Map(), targetDurationMs: undefined, partTargetMs: undefined };
      this.#known.set(address, known);
      const oldest = this.#known.keys().next().value;
      if (this.#known.size > PLAYLISTS_MAX && oldest !== undefined) this.#known.delete(oldest);
    }
    return known;
  }

  #check(playlist: MediaPlaylist, known: Known): void {
    const errors = this.#protocolErrors;
    const { targetDurationMs, partTargetMs } = playlist;
    if ((known.targetDurationMs ?? targetDurationMs) !== targetDurationMs)
      errors.add("TARGETDURATION changed");
    if (known.partTargetMs !== undefined && known.partTargetMs !== partTargetMs)
      errors.add("PART-TARGET changed");
    known.targetDurationMs = targetDurationMs;
    known.partTargetMs = partTargetMs;
    for (const segment of playlist.segments) {
      if (segment.uri === undefined) continue;
      if (Math.round(segment.durationMs / 1000) * 1000 > targetDurationMs)
        errors.add("segment over TARGETDURATION");
      const before = known.segments.get(segment.msn);
      if (before === undefined) {
        known.segments.set(segment.msn, { uri: segment.uri, startWallMs: segment.startWallMs });
      } else if (before.uri !== segment.uri) {
        errors.add("another URI for a known segment number");
      } else if (Math.abs((before.startWallMs ?? 0) - (segment.startWallMs ?? 0)) > DATE_TOLERANCE_MS) {
        errors.add("date of a segment moved");
      }
    }
    for (const msn of known.segments.keys()) {
      if (msn >= playlist.firstMsn - SEGMENTS_KEPT) break;
      known.segments.delete(msn);
    }
    this.#checkParts(playlist);
  }

  #checkParts({ partTargetMs, segments, open, hintUri, isEnded }: MediaPlaylist): void {
    if (partTargetMs === undefined) return;
    // PART-TARGET and durations are printed with a limited number of decimals.
    const partMsMax = partTargetMs + 0.01;
    const hasLongPart = [...segments, open].some(({ parts }) =>
      parts.some(({ durationMs }) => durationMs > partMsMax),
    );
    if (hasLongPart) this.#protocolErrors.add("part over PART-TARGET");
    if (hintUri === undefined && !isEnded) this.#protocolErrors.add("no preload hint");
  }
}

function textOf(body: Buffer, encoding: string | undefined): string {
  if (encoding !== "gzip") return body.toString("utf8");
  try {
    return Buffer.from(Bun.gunzipSync(new Uint8Array(body))).toString("utf8");
  } catch {
    // Broken compression is no playlist; the caller counts it as such.
    return "";
  }
}
