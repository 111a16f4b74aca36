/**
 * hls.js on Media Source Extensions, or on Managed Media Source where that is all a phone has: plays Low-Latency
 * HLS. Its light build does so without audio tracks, subtitles and keys, which this project has none of.
 */
// RFC 8216bis (HLS)
import { ErrorTypes, Events, Hls } from "hls.js/light";
import type { HlsConfig, LoadPolicy, RetryConfig } from "hls.js";
import type { Clock } from "#common/clock.ts";
import { Chaser } from "./chaser.ts";
import type { CreateEngine, Engine, EngineEvents, EngineFailure } from "./engine.ts";

/** Kept behind the playhead, in seconds: a jump back is never asked for. */
const BACK_BUFFER_SECONDS = 6;
/** A first guess in bits per second that begins with the full size instead of the smallest rendition. */
const BANDWIDTH_GUESS = 10_000_000;
/** With 0.25 to 2 s in between these tries bridge a restart of origin or edge without losing the decoder. */
const PLAYLIST_TRIES_MAX = 12;
/** Of a playlist that is not there: of another rendition there may be one. */
const MISSING_PLAYLIST_TRIES_MAX = 2;
const MEDIA_TRIES_MAX = 6;

export function isHlsEngineSupported(): boolean {
  return Hls.isSupported();
}

export interface HlsEngineOptions {
  readonly video: HTMLVideoElement;
  readonly clock: Clock;
  /** True while the tab is not shown. */
  readonly isHidden: () => boolean;
}

export function createHlsEngine(options: HlsEngineOptions): CreateEngine {
  return (events) => new HlsEngine(options, events);
}

class HlsEngine implements Engine {
  readonly #hls: Hls;
  readonly #video: HTMLVideoElement;
  readonly #chaser: Chaser;
  /** Of the playlist that came last: its level and its first media sequence number. */
  #level = -1;
  #sequence = 0;

  constructor(options: HlsEngineOptions, events: EngineEvents) {
    const { video } = options;
    this.#video = video;
    this.#chaser = new Chaser(options);
    const hls = new Hls(hlsConfig());
    this.#hls = hls;
    hls.on(Events.MANIFEST_LOADED, () => events.onAnswer("multivariant"));
    hls.on(Events.LEVEL_LOADED, (_, { level, details }) => {
      events.onAnswer("stream");
      if (this.#hasGoneBack(level, details.startSN)) events.onFailure({ kind: "other", status: 0 });
    });
    hls.on(Events.FRAG_LOADED, () => events.onAnswer("stream"));
    hls.on(Events.ERROR, (_, { fatal, type, response }) => {
      const status = response?.code ?? 0;
      if (fatal) events.onFailure({ kind: kindOf(type), status });
      else if (type === ErrorTypes.NETWORK_ERROR) events.onTrouble(status);
    });
    hls.attachMedia(video);
  }

  load(url: string): void {
    this.#hls.loadSource(url);
  }

  recoverMedia(): void {
    this.#hls.recoverMediaError();
  }

  jumpToLive(): void {
    const { liveSyncPosition } = this.#hls;
    if (liveSyncPosition !== null) this.#video.currentTime = liveSyncPosition;
  }

  behindSeconds(): number | undefined {
    const { latency, targetLatency } = this.#hls;
    return targetLatency === null ? undefined : latency - targetLatency;
  }

  captureMs(): number | undefined {
    return this.#hls.playingDate?.getTime();
  }

  close(): void {
    this.#chaser.close();
    this.#hls.destroy();
  }

  /**
   * Media sequence numbers that go back are another stream at the same URL. No origin of ours does that, but hls.js
   * would mix both streams up for as long as numbers overlap.
   */
  #hasGoneBack(level: number, sequence: number): boolean {
    const hasGoneBack = level === this.#level && sequence < this.#sequence;
    this.#level = level;
    this.#sequence = sequence;
    return hasGoneBack;
  }
}

function kindOf(type: ErrorTypes): EngineFailure["kind"] {
  if (type === ErrorTypes.NETWORK_ERROR) return "network";
  return type === ErrorTypes.MEDIA_ERROR ? "media" : "other";
}

/** hls.js starts at the playlist's PART-HOLD-BACK as long as no liveSync option is given; then the chaser takes over. */
function hlsConfig(): Partial<HlsConfig> {
  return {
    lowLatencyMode: true,
    // A worker would be a script from a blob, which the page's policy forbids; fMP4 needs no transmuxing anyway.
    enableWorker: false,
    backBufferLength: BACK_BUFFER_SECONDS,
    // The rate is the chaser's.
    maxLiveSyncPlaybackRate: 1,
    // What a stall means for the distance is the chaser's as well; hls.js would never come back.
    liveSyncOnStallIncrease: 0,
    liveDurationInfinity: true,
    testBandwidth: false,
    abrEwmaDefaultEstimate: BANDWIDTH_GUESS,
    abrEwmaDefaultEstimateMax: BANDWIDTH_GUESS,
    // The first request is repeated by the player, which shows that it waits.
    manifestLoadPolicy: loadPolicy({ firstByteMs: 5_000, retry: null }),
    // Longer than a playlist is held back: three target durations of two seconds. For reloads that name a part
    // hls.js itself waits 0.8 target durations at the most, so a frozen edge is noticed sooner.
    playlistLoadPolicy: loadPolicy({
      firstByteMs: 7_000,
      retry: retryConfig(PLAYLIST_TRIES_MAX, canRetryPlaylist),
    }),
    fragLoadPolicy: loadPolicy({ firstByteMs: 5_000, retry: retryConfig(MEDIA_TRIES_MAX, canRetryMedia) }),
  };
}

function loadPolicy(options: {
  readonly firstByteMs: number;
  readonly retry: RetryConfig | null;
}): LoadPolicy {
  const { firstByteMs, retry } = options;
  return {
    default: {
      maxTimeToFirstByteMs: firstByteMs,
      maxLoadTimeMs: 2 * firstByteMs,
      timeoutRetry: retry,
      errorRetry: retry,
    },
  };
}

function retryConfig(maxNumRetry: number, canRetry: (status: number, tries: number) => boolean): RetryConfig {
  return {
    maxNumRetry,
    retryDelayMs: 250,
    maxRetryDelayMs: 2_000,
    // hls.js takes status 0 for a CORS error and gives up; here it is an edge that is just being restarted.
    shouldRetry: (_, tries, isTimeout, response) =>
      tries < maxNumRetry && (isTimeout || canRetry(response?.code ?? 0, tries)),
  };
}

/**
 * A node without its source answers 503, one that has just started perhaps 404; and so do all where the canvas has come
 * back in sizes that this one is none of.
 */
function canRetryPlaylist(status: number, tries: number): boolean {
  return status !== 404 || tries < MISSING_PLAYLIST_TRIES_MAX;
}

/** Media that is gone (404, 410) never comes back: only opening the source again at its live edge helps. */
function canRetryMedia(status: number): boolean {
  return status < 400 || status > 499;
}
