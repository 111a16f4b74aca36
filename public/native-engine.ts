/**
 * The browser's own HLS player, for phones without Media Source Extensions (iOS before 17.1). It keeps its own
 * distance to the live edge; the player above it only opens the source and watches that the picture moves.
 */
import { secondsToMs } from "#common/units.ts";
import { requestStatus } from "./request.ts";
import type { CreateEngine, Engine, EngineEvents } from "./engine.ts";

const HLS_TYPE = "application/vnd.apple.mpegurl";
const OK = 200;

export function isNativeEngineSupported(video: HTMLVideoElement): boolean {
  return video.canPlayType(HLS_TYPE) !== "";
}

export function createNativeEngine(video: HTMLVideoElement): CreateEngine {
  return (events) => new NativeEngine(video, events);
}

/** Safari's date of media time 0, from EXT-X-PROGRAM-DATE-TIME. */
interface DatedVideo {
  getStartDate(): Date;
}

class NativeEngine implements Engine {
  readonly #video: HTMLVideoElement;
  readonly #events: EngineEvents;
  readonly #listening = new AbortController();
  #isClosed = false;

  constructor(video: HTMLVideoElement, events: EngineEvents) {
    this.#video = video;
    this.#events = events;
    const { signal } = this.#listening;
    video.addEventListener("progress", () => events.onAnswer("stream"), { signal });
    video.addEventListener("error", () => events.onFailure({ kind: "network", status: 0 }), { signal });
  }

  load(url: string): void {
    // Failures are reported through the events.
    void this.#probe(url);
  }

  recoverMedia(): void {
    this.#video.load();
  }

  jumpToLive(): void {
    const { seekable } = this.#video;
    if (seekable.length > 0) this.#video.currentTime = seekable.end(seekable.length - 1);
  }

  behindSeconds(): undefined {
    return undefined;
  }

  captureMs(): number | undefined {
    if (!hasStartDate(this.#video)) return undefined;
    const startMs = this.#video.getStartDate().getTime();
    return Number.isNaN(startMs) ? undefined : startMs + secondsToMs(this.#video.currentTime);
  }

  close(): void {
    this.#isClosed = true;
    this.#listening.abort();
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  /** The element tells nothing about a playlist that is not there yet, so it is asked for by hand first. */
  async #probe(url: string): Promise<void> {
    const status = await requestStatus(url);
    if (this.#isClosed) return;
    if (status === OK) {
      this.#events.onAnswer("multivariant");
      this.#video.src = url;
    } else this.#events.onFailure({ kind: "network", status });
  }
}

function hasStartDate(
  video: HTMLVideoElement | (HTMLVideoElement & DatedVideo),
): video is HTMLVideoElement & DatedVideo {
  return "getStartDate" in video;
}
