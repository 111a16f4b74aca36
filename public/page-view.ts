/**
 * Writes state and figures into the document: texts for people, and `data-` attributes on `body` for whoever
 * watches the page by program (`data-state`, `data-delay-seconds`, `data-viewers`, `data-figures`).
 */
import type { StreamFigures } from "#common/formats/events.ts";
import { msToSeconds } from "#common/units.ts";
import { formatBitRate, formatCount, formatDelay, UNKNOWN } from "./format.ts";
import { showPaintLine, type PaintElements } from "./paint-line.ts";
import type { PlayerStatus, WaitingReason } from "./player.ts";

export interface PageElements extends PaintElements {
  readonly body: HTMLElement;
  readonly state: HTMLElement;
  readonly noticeTitle: HTMLElement;
  readonly noticeDetail: HTMLElement;
  readonly canvasSize: HTMLElement;
  readonly viewers: HTMLElement;
  readonly players: HTMLElement;
  readonly pixelsPerSecond: HTMLElement;
  readonly bitsPerSecond: HTMLElement;
  readonly pixels: HTMLElement;
  readonly delay: HTMLElement;
}

const STATE_TEXTS = { waiting: "waiting", playing: "live", stalled: "catching up" } as const;
const DETAILS: Readonly<Record<WaitingReason, string>> = {
  "no-stream": "Nobody is streaming. It starts here by itself.",
  "no-answer": "No connection. Trying again.",
  "needs-tap": "The browser wants a tap before it plays.",
};

export function showStatus(elements: PageElements, { state, reason }: PlayerStatus): void {
  elements.body.dataset["state"] = state;
  elements.state.textContent = STATE_TEXTS[state];
  elements.noticeTitle.textContent = reason === "needs-tap" ? "Tap to watch" : "Waiting for the canvas …";
  elements.noticeDetail.textContent = reason === undefined ? "" : DETAILS[reason];
}

export function showFigures(elements: PageElements, { canvas, stream }: StreamFigures): void {
  elements.body.dataset["viewers"] = String(stream.viewers);
  elements.viewers.textContent = formatCount(stream.viewers);
  elements.players.textContent = formatCount(canvas.players);
  elements.pixelsPerSecond.textContent = formatCount(canvas.pixelsPerSecond);
  elements.bitsPerSecond.textContent = formatBitRate(canvas.bitsPerSecond);
  elements.pixels.textContent = formatCount(canvas.pixels);
  if (canvas.width > 0 && canvas.height > 0) {
    elements.canvasSize.textContent = `on ${canvas.width} × ${canvas.height}`;
    elements.body.style.setProperty("--canvas-shape", `${canvas.width} / ${canvas.height}`);
  }
  if (canvas.pixelflutPort > 0) showPaintLine(elements, canvas.pixelflutPort);
}

/** Figures that come no more are dimmed. */
export function showStale({ body }: PageElements, isStale: boolean): void {
  body.dataset["figures"] = isStale ? "stale" : "fresh";
}

/** @param delayMs age of the frame on the screen; `undefined` while it does not play or no clock is known */
export function showDelay({ body, delay }: PageElements, delayMs: number | undefined): void {
  delay.textContent = delayMs === undefined ? UNKNOWN : formatDelay(delayMs);
  if (delayMs === undefined) delete body.dataset["delaySeconds"];
  else body.dataset["delaySeconds"] = msToSeconds(delayMs).toFixed(3);
}
