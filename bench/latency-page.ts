/**
 * What `bench latency` does inside the page: looks at each video frame as it is shown and notes when the painted
 * block changes its colour. Injected by the browser's debugger, which a Content-Security-Policy does not stop.
 */
// HTML: HTMLVideoElement.requestVideoFrameCallback (WICG)

/** `[red, green, blue]`, from 0 to 255. */
export type Colour = readonly [number, number, number];

/** The block, in pixels of the canvas, and the colours that it may have. */
export interface WatchedBlock {
  readonly x: number;
  readonly y: number;
  readonly size: number;
  readonly canvasWidth: number;
  readonly canvasHeight: number;
  readonly colours: readonly Colour[];
}

/** What the page tells of a moment. */
export interface PageState {
  /** Times that playback stopped for want of media since watching began, and for how long in all. */
  readonly stalls: number;
  readonly stalledMs: number;
  /** Times that no frame came for longer than {@link FREEZE_MS}, and the longest time between two frames. */
  readonly freezes: number;
  readonly frameGapMs: number;
  /** Times that pictures were left out: from one frame to the next more than {@link SKIP_SECONDS} of video. */
  readonly skips: number;
  readonly droppedFrames: number;
  /** The block's colour in the last frame, `[red, green, blue]`. */
  readonly colour: readonly number[];
}

/** What counts as a freeze: a frame of 30 a second and 150 ms more (freezeCount of the WebRTC statistics). */
const FREEZE_MS = 183;
/** Five frames of 30 a second. */
const SKIP_SECONDS = 0.17;

/** Name under which the script keeps its state in the page. */
const GLOBAL = "__spillwayBench";

/** An expression: starts the video if it stands still; true once it plays. */
export const PLAYS_SCRIPT = `(() => {
  const video = document.querySelector("video");
  if (video === null) return false;
  if (video.paused) { video.muted = true; video.play().catch(() => {}); }
  return video.readyState >= 3 && video.currentTime > 0 && !video.paused && video.videoWidth > 0;
})()`;

/** An expression: begins to watch the block. Times in it are the page's `Date.now()`, the machine's own clock. */
export function watchScript(block: WatchedBlock): string {
  return `void (window.${GLOBAL} = (${watch.toString()})(${JSON.stringify({ block, freezeMs: FREEZE_MS, skipSeconds: SKIP_SECONDS })}))`;
}

/** An expression: a promise of when colour `index` first shows at or after `afterMs`, or null after `msMax`. */
export function seenScript(question: SeenQuestion): string {
  return `(${seen.toString()})(window.${GLOBAL}, ${JSON.stringify(question)})`;
}

/** An expression: a {@link PageState}. */
export const STATE_SCRIPT = `window.${GLOBAL}.state()`;

/** Which colour is waited for. With `afterMs` 0 it counts if it shows already. */
export interface SeenQuestion {
  readonly index: number;
  readonly afterMs: number;
  readonly msMax: number;
}

/** What the watching script keeps in the page. */
interface Watch {
  /** The latest changes of colour, oldest first. */
  readonly changes: readonly { readonly index: number; readonly atMs: number }[];
  /** Called at each change. */
  readonly waiters: Set<() => void>;
  readonly state: () => PageState;
}

/** Runs in the page: it may use nothing from outside its own text. */
function watch(options: {
  readonly block: WatchedBlock;
  readonly freezeMs: number;
  readonly skipSeconds: number;
}): Watch {
  const { block, freezeMs, skipSeconds } = options;
  const video = document.querySelector("video");
  const canvas = new OffscreenCanvas(1, 1);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (video === null || context === null) throw new Error("no video to look at");
  const changes: { index: number; atMs: number }[] = [];
  const waiters = new Set<() => void>();
  let colour: number[] = [];
  let stalls = 0;
  let stalledMs = 0;
  let stalledSinceMs = 0;
  const pictures = { freezes: 0, frameGapMs: 0, skips: 0 };
  let last: { readonly atMs: number; readonly mediaSeconds: number } | undefined;

  const count = (atMs: number, mediaSeconds: number): void => {
    if (last !== undefined) {
      const gapMs = atMs - last.atMs;
      pictures.frameGapMs = Math.max(pictures.frameGapMs, gapMs);
      if (gapMs > freezeMs) pictures.freezes += 1;
      if (mediaSeconds - last.mediaSeconds > skipSeconds) pictures.skips += 1;
    }
    last = { atMs, mediaSeconds };
  };
  const look = (atMs: number, { mediaTime }: VideoFrameCallbackMetadata): void => {
    video.requestVideoFrameCallback(look);
    count(atMs, mediaTime);
    const scaleX = video.videoWidth / block.canvasWidth;
    const scaleY = video.videoHeight / block.canvasHeight;
    // The middle half of the block, shrunk to one pixel: its edges are blurred by the video.
    const left = (block.x + block.size / 4) * scaleX;
    const top = (block.y + block.size / 4) * scaleY;
    context.drawImage(video, left, top, (block.size / 2) * scaleX, (block.size / 2) * scaleY, 0, 0, 1, 1);
    colour = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    const index = block.colours.findIndex((wanted) =>
      wanted.every((value, channel) => Math.abs(value - (colour[channel] ?? 0)) < 64),
    );
    if (index === -1 || index === changes.at(-1)?.index) return;
    changes.push({ index, atMs: Date.now() });
    if (changes.length > 64) changes.shift();
    for (const wake of waiters) wake();
  };
  video.requestVideoFrameCallback(look);
  video.addEventListener("waiting", () => {
    stalls += 1;
    stalledSinceMs = Date.now();
  });
  video.addEventListener("playing", () => {
    if (stalledSinceMs !== 0) stalledMs += Date.now() - stalledSinceMs;
    stalledSinceMs = 0;
  });
  const state = (): PageState => ({
    stalls,
    stalledMs: stalledMs + (stalledSinceMs === 0 ? 0 : Date.now() - stalledSinceMs),
    ...pictures,
    droppedFrames: video.getVideoPlaybackQuality().droppedVideoFrames,
    colour,
  });
  return { changes, waiters, state };
}

/** Runs in the page: it may use nothing from outside its own text. */
function seen({ changes, waiters }: Watch, { index, afterMs, msMax }: SeenQuestion): Promise<number | null> {
  return new Promise((resolve) => {
    const finish = (atMs: number | null): void => {
      clearTimeout(timer);
      waiters.delete(check);
      resolve(atMs);
    };
    const check = (): void => {
      const last = changes.at(-1);
      const change = changes.find((each) => each.index === index && each.atMs >= afterMs);
      if (change !== undefined && (afterMs > 0 || last?.index === index)) finish(change.atMs);
    };
    const timer = setTimeout(() => finish(null), msMax);
    waiters.add(check);
    check();
  });
}
