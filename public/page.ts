/**
 * The viewer page's wiring: player, figures and the way to another edge, joined to the document of `index.html`.
 * The end of the way from a pixel to a viewer.
 */
import { systemClock } from "#common/clock.ts";
import type { Move, StreamFigures } from "#common/formats/events.ts";
import { estimateOffsetMs, withSample, type ClockSample } from "./clock-offset.ts";
import { EdgeList } from "./edge-list.ts";
import { EdgeSwitch } from "./edge-switch.ts";
import type { CreateEngine } from "./engine.ts";
import { FiguresFeed } from "./figures-feed.ts";
import { readStreamName } from "./format.ts";
import { createHlsEngine, isHlsEngineSupported } from "./hls-engine.ts";
import { createNativeEngine, isNativeEngineSupported } from "./native-engine.ts";
import { showDelay, showFigures, showStale, showStatus, type PageElements } from "./page-view.ts";
import { setUpCopy } from "./paint-line.ts";
import { Player } from "./player.ts";
import { requestStatus, requestText } from "./request.ts";
import { setUpStage, type StageElements } from "./stage.ts";

/** How often the delay is written, and the silence of the edge looked at. */
const SECOND_MS = 1_000;
/** Delays measured in between and averaged: one alone says where in a frame it was taken. */
const DELAY_SAMPLES = 4;

function main(): void {
  const elements = findPageElements();
  const stage = findStageElements();
  const stream = readStreamName(location.search);
  const streamUrl = (base: string, name: string): string => new URL(`live/${stream}/${name}`, base).href;
  const random = Math.random;
  let clockSamples: readonly ClockSample[] = [];

  const player = new Player({
    video: stage.video,
    createEngine: chooseEngine(stage.video),
    clock: systemClock,
    random,
    isHidden,
    onStatus: (status) => showStatus(elements, status),
  });
  const onFigures = (figures: StreamFigures): void => {
    clockSamples = withSample(clockSamples, { originMs: figures.timeMs, localMs: systemClock.wallMs() });
    player.setLive(figures.stream.isLive);
    showFigures(elements, figures);
  };
  const onStale = (isStale: boolean): void => {
    if (isStale) player.setLive(undefined);
    showStale(elements, isStale);
  };
  const onMove = ({ withinMs }: Move): void => {
    const { base } = edges;
    // What goes wrong in a search shows as a status of 0.
    systemClock.after(random() * withinMs, () => void edges.leave(base));
  };
  const feed = new FiguresFeed({ clock: systemClock, random, connect, onFigures, onMove, onStale });
  const isSecure = location.protocol === "https:";
  const list = new EdgeList({ clock: systemClock, isSecure, fetchText: requestText });
  const open = (base: string): void => {
    player.open(streamUrl(base, "index.m3u8"));
    feed.open(streamUrl(base, "events"));
    list.open(base);
  };
  const close = (): void => {
    player.close();
    feed.close();
    list.close();
  };
  const edges = new EdgeSwitch(new URL("./", location.href).href, {
    random,
    isSecure,
    edges: () => list.edges,
    newestEdges: () => list.newest(),
    probe: (base) => requestStatus(streamUrl(base, "index.m3u8")),
    onMove: open,
  });

  setUpCopy(elements);
  setUpStage(stage, () => {
    const needsTap = player.status.reason === "needs-tap";
    player.wake();
    return needsTap;
  });
  followPage({ player, close, open: () => open(edges.base) });
  open(edges.base);
  every(SECOND_MS, () => {
    const { silentMs: videoMs, failingMs } = player;
    // What goes wrong in a search shows as a status of 0.
    void edges.check({ videoMs, failingMs, figuresMs: feed.silentMs });
  });
  measureDelay({
    player,
    offsetMs: () => estimateOffsetMs(clockSamples),
    show: (ms) => showDelay(elements, ms),
  });
}

/** What the browser does with the page: hides it, keeps it for the way back, shows it again. */
function followPage(options: {
  readonly player: Player;
  readonly open: () => void;
  readonly close: () => void;
}): void {
  const { player, open, close } = options;
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) player.wake();
  });
  window.addEventListener("pagehide", close);
  // The browser kept the page as it was left.
  window.addEventListener("pageshow", ({ persisted }) => persisted && open());
}

function isHidden(): boolean {
  return document.hidden;
}

function connect(url: string): EventSource {
  return new EventSource(url);
}

function chooseEngine(video: HTMLVideoElement): CreateEngine {
  // hls.js first: a browser's own player, where there is one beside Media Source Extensions, knows no low latency.
  if (isHlsEngineSupported() || !isNativeEngineSupported(video))
    return createHlsEngine({ video, clock: systemClock, isHidden });
  return createNativeEngine(video);
}

function measureDelay(options: {
  readonly player: Player;
  readonly offsetMs: () => number | undefined;
  readonly show: (delayMs: number | undefined) => void;
}): void {
  const { player, offsetMs, show } = options;
  let delaysMs: number[] = [];
  let turn = 0;
  every(SECOND_MS / DELAY_SAMPLES, () => {
    const captureMs = player.captureMs();
    const aheadMs = offsetMs();
    if (captureMs !== undefined && aheadMs !== undefined) {
      delaysMs.push(systemClock.wallMs() - aheadMs - captureMs);
    }
    turn = (turn + 1) % DELAY_SAMPLES;
    if (turn !== 0) return;
    const sumMs = delaysMs.reduce((sum, delayMs) => sum + delayMs, 0);
    show(delaysMs.length === 0 ? undefined : sumMs / delaysMs.length);
    delaysMs = [];
  });
}

function every(periodMs: number, callback: () => void): void {
  systemClock.after(periodMs, () => {
    callback();
    every(periodMs, callback);
  });
}

function findStageElements(): StageElements {
  return {
    stage: find("stage", HTMLElement),
    video: find("video", HTMLVideoElement),
    fullscreenButton: find("fullscreen", HTMLButtonElement),
  };
}

function findPageElements(): PageElements {
  return {
    body: document.body,
    state: find("state", HTMLElement),
    noticeTitle: find("notice-title", HTMLElement),
    noticeDetail: find("notice-detail", HTMLElement),
    canvasSize: find("canvas-size", HTMLElement),
    line: find("paint-line", HTMLElement),
    copyButton: find("copy", HTMLButtonElement),
    viewers: find("viewers", HTMLElement),
    players: find("players", HTMLElement),
    pixelsPerSecond: find("pixels-per-second", HTMLElement),
    bitsPerSecond: find("bits-per-second", HTMLElement),
    pixels: find("pixels", HTMLElement),
    delay: find("delay", HTMLElement),
  };
}

function find<T extends HTMLElement>(id: string, type: abstract new () => T): T {
  const element = document.querySelector(`#${id}`);
  if (!(element instanceof type)) throw new TypeError(`The page has no ${type.name} with id ${id}`);
  return element;
}

main();
