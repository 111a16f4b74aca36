/**
 * The picture's frame: full screen by click, button or key, and sharp pixels where the picture is enlarged.
 */

export interface StageElements {
  readonly stage: HTMLElement;
  readonly video: HTMLVideoElement;
  readonly fullscreenButton: HTMLButtonElement;
}

/** An iPhone gives the full screen to video elements only, under a name of its own. */
interface FullscreenVideo {
  webkitEnterFullscreen(): void;
}

const FULLSCREEN_KEY = "f";

/**
 * Wires the stage.
 *
 * @param onClick called first on each click on the picture; true when it has used the click up
 */
export function setUpStage(elements: StageElements, onClick: () => boolean): void {
  const { stage, video, fullscreenButton } = elements;
  video.addEventListener("click", () => {
    if (!onClick()) toggleFullscreen(elements);
  });
  fullscreenButton.addEventListener("click", () => toggleFullscreen(elements));
  document.addEventListener("keydown", (event) => {
    const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat;
    if (isPlain && event.key.toLowerCase() === FULLSCREEN_KEY) toggleFullscreen(elements);
  });
  const onSize = (): void => showScale(stage, video);
  new ResizeObserver(onSize).observe(stage);
  video.addEventListener("resize", onSize);
}

function toggleFullscreen({ stage, video }: StageElements): void {
  if (document.fullscreenElement !== null && document.fullscreenElement !== undefined) {
    void document.exitFullscreen();
  } else if (typeof stage.requestFullscreen === "function") {
    // Refused where an embedding page does not allow it; then there is nothing to do and nothing to say.
    stage.requestFullscreen().catch(() => undefined);
  } else if (canEnterFullscreen(video)) video.webkitEnterFullscreen();
}

function canEnterFullscreen(
  video: HTMLVideoElement | (HTMLVideoElement & FullscreenVideo),
): video is HTMLVideoElement & FullscreenVideo {
  return "webkitEnterFullscreen" in video;
}

/** Says on the stage whether the picture is enlarged, in device pixels; `page.css` chooses the filter by it. */
function showScale(stage: HTMLElement, video: HTMLVideoElement): void {
  const { videoWidth, videoHeight } = video;
  if (videoWidth === 0 || videoHeight === 0) return;
  const scale = Math.min(stage.clientWidth / videoWidth, stage.clientHeight / videoHeight) * devicePixelRatio;
  stage.dataset["scale"] = scale > 1 ? "up" : "down";
}
