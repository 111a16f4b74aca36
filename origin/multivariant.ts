/**
 * The multivariant playlists: which renditions there are, and what bit rate each needs. Written once for each edge that
 * viewers are handed to, and kept until a media playlist changes.
 */
// draft-pantos-hls-rfc8216bis-22 4.4.6.2 (EXT-X-STREAM-INF)
import { LRUCache } from "lru-cache";
import { CHUNK_OVERHEAD_BYTES_MAX } from "#common/formats/cmaf.ts";
import { avcCodecs, readAvcConfig } from "#common/formats/h264.ts";
import { tsBitsMax } from "#common/formats/mpegts.ts";
import { writeMultivariantPlaylist, type Variant } from "#common/formats/playlist.ts";
import { BITS_PER_BYTE } from "#common/units.ts";
import type { RenditionStream } from "./rendition.ts";
import { type RenderedText, renderText } from "./rendered-text.ts";

/** Playlists kept: one for each choice of edges that viewers were handed to since the last change. */
const MULTIVARIANTS_MAX = 64;

/** Which of a rendition's two playlists. */
export type Format = "cmaf" | "ts";

export class Multivariants {
  readonly #renditions: () => readonly RenditionStream[];
  /** By format and base. */
  readonly #rendered = new LRUCache<string, RenderedText>({ max: MULTIVARIANTS_MAX });

  /** @param renditions those of the present run, the full size first */
  constructor(renditions: () => readonly RenditionStream[]) {
    this.#renditions = renditions;
  }

  /** Says that media playlists may have changed. */
  invalidate(): void {
    this.#rendered.clear();
  }

  /**
   * The playlist with URIs below the first of `bases` (each empty, or ending in `/`), and once more below each of the
   * others, for players to fall back on; `undefined` while there is no variant.
   */
  text(format: Format, bases: readonly string[]): RenderedText | undefined {
    const key = `${format} ${bases.join(" ")}`;
    const known = this.#rendered.get(key);
    if (known !== undefined) return known;
    const variants = bases.flatMap((base) =>
      this.#renditions().flatMap((rendition) => describeVariant(rendition, format, base) ?? []),
    );
    if (variants.length === 0) return undefined;
    const rendered = renderText(() => writeMultivariantPlaylist(variants));
    this.#rendered.set(key, rendered);
    return rendered;
  }
}

/** `undefined` before the first whole segment. */
function describeVariant(stream: RenditionStream, format: Format, base: string): Variant | undefined {
  const { name, current } = stream;
  const { window } = stream[format];
  if (current === undefined || window.newestComplete() === undefined) return undefined;
  const { run, rendition } = current;
  const config = readAvcConfig(rendition.avcC);
  if (config === undefined) return undefined;
  return {
    uri: `${base}${name}/${format === "cmaf" ? "index.m3u8" : "ts.m3u8"}`,
    bitsPerSecondMax:
      run.offGrid === undefined
        ? segmentBitsPerSecondMax(format, rendition.bitsPerSecondMax, run.fps)
        : stream.peaks[format].bitsPerSecond,
    codecs: avcCodecs(config),
    width: rendition.width,
    height: rendition.height,
    fps: run.offGrid?.frameRate ?? run.fps,
  };
}

/**
 * Of any segment, and so of all together: the encoder bounds each second from a key frame on, which is what segments are
 * made of, and containers add what their writers say. It holds whatever is painted, so it is the average's bound too.
 */
function segmentBitsPerSecondMax(format: Format, frameBits: number, fps: number): number {
  return format === "ts"
    ? tsBitsMax({ frameBits, fps })
    : frameBits + fps * CHUNK_OVERHEAD_BYTES_MAX * BITS_PER_BYTE;
}
