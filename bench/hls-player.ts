/**
 * A player that fetches what a real one would and decodes nothing: multivariant playlist, media playlist, reloads
 * (held ones in low-latency mode), parts and segments in order, and a buffer played in real time. One loop keeps the
 * playlist fresh while another loads media; they meet in `#playlist` and `#changed`.
 */
// draft-pantos-hls-rfc8216bis-22 6.3
import type { Clock } from "#common/clock.ts";
import type { HttpClient, HttpResponse } from "./http-client.ts";
import { HttpFailure } from "./http-connection.ts";
import { endWallMs, partAt, partEndWallMs, segmentAt, type MediaPlaylist } from "./hls-playlist.ts";
import { PlaybackBuffer } from "./playback-buffer.ts";
import type { PlaylistReader } from "./playlist-reader.ts";
import {
  compareEnds,
  isListed,
  nextListing,
  nextStep,
  startPosition,
  type Position,
  type Step,
} from "./playlist-position.ts";
import type { ViewerFigures } from "./viewer-figures.ts";

/** Longest time for one request; held ones may take three target durations. Milliseconds. */
const REQUEST_MS_MAX = 10_000;
const HELD_TARGET_DURATIONS_MAX = 4;
/** Wait after a failure: doubled each time, up to the greater. Milliseconds. */
const RETRY_MS_MIN = 200;
const RETRY_MS_MAX = 2_000;
/** Failed reloads in a row after which a player starts over with the multivariant playlist. */
const RELOAD_FAILURES_MAX = 5;
/** Tries for one piece of media before it is left out. */
const MEDIA_TRIES_MAX = 3;
/** Share of a part, or of a segment, that must be buffered to begin and to go on. */
const RESUME_SHARE = 0.8;

export interface HlsPlayerOptions {
  readonly url: string;
  readonly isLowLatency: boolean;
  /** True to request parts only once they are listed. */
  readonly ignoresHints: boolean;
  readonly client: Pick<HttpClient, "get">;
  readonly reader: PlaylistReader;
  readonly figures: ViewerFigures;
  readonly clock: Clock;
}

/** A part that was loaded ahead of its listing. */
interface Provisional {
  readonly at: Position;
  readonly uri: string;
  readonly assumedMs: number;
  readonly arrivedWallMs: number;
}

/** One player. */
export class HlsPlayer {
  readonly #options: HlsPlayerOptions;
  readonly #pauses = new Set<() => void>();
  #isStopped = false;
  #buffer: PlaybackBuffer | undefined;
  #joinStartMs = 0;
  #variantUrl = "";
  #playlist: MediaPlaylist | undefined;
  #changed = Promise.withResolvers<void>();
  #isLowLatency: boolean;
  #next: Position = { msn: 0, part: 0 };
  /** Media of segment `#next.msn` that is loaded already: what a whole segment adds to it is the rest. */
  #loadedOfSegmentMs = 0;
  #provisional: Provisional | undefined;
  #refusedHint = "";
  /** True until it has loaded what was there when it joined: that says nothing of how late media arrives. */
  #isCatchingUp = true;
  readonly #initUris = new Set<string>();

  constructor(options: HlsPlayerOptions) {
    this.#options = options;
    this.#isLowLatency = options.isLowLatency;
  }

  /** `undefined` until the player has found where to begin. */
  get buffer(): PlaybackBuffer | undefined {
    return this.#buffer;
  }

  /** Plays until {@link stop}. Never throws: what fails is counted and tried again. */
  async run(): Promise<void> {
    this.#joinStartMs = this.#options.clock.monotonicMs();
    let retryMs = RETRY_MS_MIN;
    while (!this.#isStopped) {
      if (await this.#join()) {
        retryMs = RETRY_MS_MIN;
        const loading = this.#loadMedia();
        await this.#reloadPlaylist();
        this.#playlist = undefined;
        this.#wake();
        await loading;
      }
      await this.#pause(retryMs);
      retryMs = Math.min(RETRY_MS_MAX, retryMs * 2);
    }
  }

  /** Ends the player; requests underway are not waited for by the loops once they return. */
  stop(): void {
    this.#isStopped = true;
    for (const end of this.#pauses) end();
    this.#wake();
  }

  /** Loads the playlists and finds where to begin. False where that failed. */
  async #join(): Promise<boolean> {
    const first = await this.#getPlaylist("multivariant", this.#options.url, REQUEST_MS_MAX);
    let playlist = first?.playlist;
    if (playlist?.type === "multivariant") {
      this.#variantUrl = playlist.variantUris[0] ?? "";
      playlist = (await this.#getPlaylist("playlist", this.#variantUrl, REQUEST_MS_MAX))?.playlist;
    } else if (first !== undefined) {
      this.#variantUrl = first.url;
    }
    if (playlist?.type !== "media" || this.#isStopped) return false;
    const hasParts = playlist.canBlockReload && playlist.partTargetMs !== undefined;
    if (this.#options.isLowLatency && !hasParts)
      this.#options.figures.protocolErrors.add("no low-latency playlist");
    this.#isLowLatency = this.#options.isLowLatency && hasParts;
    return this.#begin(playlist);
  }

  #begin(playlist: MediaPlaylist): boolean {
    const start = startPosition(playlist, this.#isLowLatency);
    if (start === undefined) return false;
    const pieceMs = (this.#isLowLatency ? playlist.partTargetMs : undefined) ?? playlist.targetDurationMs;
    if (this.#buffer === undefined) {
      this.#buffer = new PlaybackBuffer(pieceMs * RESUME_SHARE);
      this.#buffer.seek(start.offsetMs);
    }
    this.#next = start.at;
    this.#isCatchingUp = true;
    this.#loadedOfSegmentMs = 0;
    this.#provisional = undefined;
    this.#playlist = playlist;
    return true;
  }

  /** Keeps the playlist fresh until it fails too often, or the stream or the player ends. */
  async #reloadPlaylist(): Promise<void> {
    let failures = 0;
    while (!this.#isStopped && failures < RELOAD_FAILURES_MAX) {
      const playlist = this.#playlist;
      if (playlist === undefined || playlist.isEnded) break;
      const isReloaded = this.#isLowLatency
        ? await this.#reloadHeld(playlist)
        : await this.#reloadPlain(playlist);
      failures = isReloaded ? 0 : failures + 1;
      if (!isReloaded) await this.#pause(Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (failures - 1)));
    }
    // A stream that has ended is played to its end; there is nothing more to ask for.
    while (this.#playlist?.isEnded === true && !this.#isStopped) await this.#pause(RETRY_MS_MAX);
  }

  /** Asks for the position that is not listed yet; the server holds the answer until it is (6.2.5.2). */
  async #reloadHeld(playlist: MediaPlaylist): Promise<boolean> {
    const { figures } = this.#options;
    const wanted = nextListing(playlist);
    const query = `_HLS_msn=${wanted.msn}&_HLS_part=${wanted.part}`;
    const url = `${this.#variantUrl}${this.#variantUrl.includes("?") ? "&" : "?"}${query}`;
    const heldMsMax = REQUEST_MS_MAX + playlist.targetDurationMs * HELD_TARGET_DURATIONS_MAX;
    const answer = await this.#getPlaylist("playlist", url, heldMsMax);
    if (answer?.playlist?.type !== "media") return false;
    if (!isListed(answer.playlist, wanted) && !answer.playlist.isEnded) {
      figures.protocolErrors.add("held playlist answered without what was asked");
      return false;
    }
    figures.playlistArrived(`${this.#variantUrl} ${query}`);
    figures.delayed(figures.playlistDelay, endWallMs(answer.playlist), this.#options.clock.wallMs());
    this.#accept(answer.playlist);
    return true;
  }

  /** Waits as long as a player without parts does, and asks for the whole playlist (6.3.4). */
  async #reloadPlain(playlist: MediaPlaylist): Promise<boolean> {
    const { clock } = this.#options;
    await this.#pause(playlist.targetDurationMs);
    while (!this.#isStopped) {
      const requestedMs = clock.monotonicMs();
      const answer = await this.#getPlaylist("playlist", this.#variantUrl, REQUEST_MS_MAX);
      if (answer?.playlist?.type !== "media") return false;
      const isNewer = answer.playlist.isEnded || answer.playlist.open.msn !== playlist.open.msn;
      this.#accept(answer.playlist);
      if (isNewer) return true;
      await this.#pause(playlist.targetDurationMs / 2 - (clock.monotonicMs() - requestedMs));
    }
    return true;
  }

  #accept(playlist: MediaPlaylist): void {
    if (this.#playlist !== undefined && compareEnds(playlist, this.#playlist) < 0) {
      this.#options.figures.protocolErrors.add("playlist went back");
      // A player keeps what it has: media that was listed does not vanish.
      return;
    }
    this.#playlist = playlist;
    this.#settleProvisional(playlist);
    this.#wake();
  }

  /** Compares what was loaded by its hint with what is listed now. */
  #settleProvisional(playlist: MediaPlaylist): void {
    const provisional = this.#provisional;
    if (provisional === undefined || !isListed(playlist, provisional.at)) return;
    const { at, uri, assumedMs, arrivedWallMs } = provisional;
    const { figures, clock } = this.#options;
    this.#provisional = undefined;
    const part = partAt(playlist, at.msn, at.part);
    const segment = segmentAt(playlist, at.msn);
    if (part === undefined || segment === undefined) {
      if (segment !== undefined && segment.parts.length > 0)
        figures.protocolErrors.add("hinted part never listed");
      return;
    }
    if (part.uri !== uri) figures.protocolErrors.add("hinted part listed under another URI");
    this.#buffer?.correct(clock.monotonicMs(), part.durationMs - assumedMs);
    this.#loadedOfSegmentMs += part.durationMs - assumedMs;
    figures.delayed(figures.mediaDelay, partEndWallMs(segment, at.part), arrivedWallMs);
  }

  /** Loads media in order until the playlist is given up. */
  async #loadMedia(): Promise<void> {
    while (!this.#isStopped) {
      const playlist = this.#playlist;
      if (playlist === undefined) return;
      const changed = this.#changed.promise;
      const step = nextStep({
        playlist,
        at: this.#next,
        isLowLatency: this.#isLowLatency,
        canHint:
          !this.#options.ignoresHints &&
          this.#provisional === undefined &&
          playlist.hintUri !== this.#refusedHint,
      });
      if (step.type === "wait" || step.type === "hint") this.#isCatchingUp = false;
      if (step.type === "wait") await changed;
      else if (step.type === "lost") this.#rejoin(playlist);
      else if (step.type === "hint") await this.#loadHint(step, playlist);
      else await this.#loadListed(step);
    }
  }

  #rejoin(playlist: MediaPlaylist): void {
    this.#options.figures.rejoins += 1;
    this.#begin(playlist);
  }

  async #loadHint({ at, uri }: Step & { readonly type: "hint" }, playlist: MediaPlaylist): Promise<void> {
    const heldMsMax = REQUEST_MS_MAX + playlist.targetDurationMs * HELD_TARGET_DURATIONS_MAX;
    const response = await this.#get("part", uri, { msMax: heldMsMax });
    if (response?.status !== 200) {
      this.#refusedHint = uri;
      return;
    }
    const assumedMs = playlist.partTargetMs ?? 0;
    const arrivedWallMs = this.#options.clock.wallMs();
    this.#provisional = { at, uri, assumedMs, arrivedWallMs };
    this.#append({ msn: at.msn, part: at.part + 1 }, assumedMs);
    if (this.#playlist !== undefined) this.#settleProvisional(this.#playlist);
  }

  async #loadListed(step: Step & { readonly type: "part" | "segment" }): Promise<void> {
    const { figures, clock } = this.#options;
    await this.#loadInit(step.segment.mapUri);
    if (step.at.msn !== this.#next.msn) this.#loadedOfSegmentMs = 0;
    const uri = step.type === "part" ? step.part.uri : (step.segment.uri ?? "");
    const isGap = step.type === "part" && step.part.isGap;
    const startMs = clock.monotonicMs();
    const isLoaded = isGap || (await this.#getListed(step.type, uri));
    if (this.#isStopped) return;
    if (isLoaded && !isGap) {
      figures.fetch.add(clock.monotonicMs() - startMs);
      if (step.type === "part" && !this.#isCatchingUp)
        figures.delayed(figures.mediaDelay, partEndWallMs(step.segment, step.at.part), clock.wallMs());
    }
    const durationMs =
      step.type === "part" ? step.part.durationMs : step.segment.durationMs - this.#loadedOfSegmentMs;
    const after =
      step.type === "part" ? { msn: step.at.msn, part: step.at.part + 1 } : { msn: step.at.msn + 1, part: 0 };
    // What could not be loaded leaves a hole that players jump over: it adds nothing to play.
    this.#append(after, isLoaded ? durationMs : 0);
  }

  #append(next: Position, durationMs: number): void {
    const nowMs = this.#options.clock.monotonicMs();
    const isFirstPicture = this.#buffer?.append(nowMs, durationMs) === true;
    if (isFirstPicture) this.#options.figures.join.add(nowMs - this.#joinStartMs);
    this.#loadedOfSegmentMs =
      next.part === 0 ? 0 : next.part === 1 ? durationMs : this.#loadedOfSegmentMs + durationMs;
    this.#next = next;
  }

  async #loadInit(uri: string | undefined): Promise<void> {
    if (uri === undefined || this.#initUris.has(uri)) return;
    if (await this.#getListed("init", uri)) this.#initUris.add(uri);
  }

  /** Loads media that a playlist lists: it must be there. */
  async #getListed(kind: string, uri: string): Promise<boolean> {
    for (let tries = 1; tries <= MEDIA_TRIES_MAX && !this.#isStopped; tries += 1) {
      const response = await this.#get(kind, uri, { msMax: REQUEST_MS_MAX });
      if (response?.status === 200) return true;
      if (response?.status === 404) this.#options.figures.protocolErrors.add(`404 for a listed ${kind}`);
      if (tries < MEDIA_TRIES_MAX) await this.#pause(RETRY_MS_MIN * tries);
    }
    return false;
  }

  async #getPlaylist(kind: string, url: string, msMax: number) {
    const response = await this.#get(kind, url, {
      msMax,
      isBodyKept: true,
      fields: { "Accept-Encoding": "gzip" },
    });
    if (response?.status !== 200) return undefined;
    const { body, field } = response;
    const playlist = this.#options.reader.read({
      url: response.url,
      body,
      encoding: field("content-encoding"),
    });
    return { playlist, url: response.url };
  }

  /** One GET, counted; `undefined` where no response came. */
  async #get(
    kind: string,
    url: string,
    options: Parameters<HttpClient["get"]>[1],
  ): Promise<HttpResponse | undefined> {
    const { client, figures } = this.#options;
    figures.requests.add(kind);
    try {
      const response = await client.get(url, options);
      figures.bytes += response.bytes;
      if (response.status !== 200) figures.errors.add(`${kind} status ${response.status}`);
      return response;
    } catch (error) {
      if (!(error instanceof HttpFailure)) throw error;
      if (!this.#isStopped) figures.errors.add(`${kind} ${error.kind}`);
      return undefined;
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  async #pause(durationMs: number): Promise<void> {
    if (durationMs <= 0 || this.#isStopped) return;
    const over = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(durationMs, over.resolve);
    this.#pauses.add(over.resolve);
    await over.promise;
    this.#pauses.delete(over.resolve);
    cancel();
  }
}
