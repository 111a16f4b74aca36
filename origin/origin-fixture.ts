/** What tests of the origin stand on: the whole of it without sockets and on a clock moved by hand. */
import { Registry } from "prom-client";
import { FakeClock } from "#common/clock.ts";
import { TESTSRC_FIGURES, testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { type Run, SEGMENT_SECONDS } from "#common/formats/frame.ts";
import type { LeaseHello } from "#common/formats/lease.ts";
import { HeldBudget } from "#common/held-requests.ts";
import { silentLog } from "#common/log.ts";
import type { NodeApp } from "#common/node-http.ts";
import { createRandom } from "#common/random.ts";
import { EdgeRegistry } from "./edges.ts";
import { EventFeed, streamFigures } from "./events.ts";
import { createOriginApp } from "./http.ts";
import { createLiveAnswers, emptyCounts, readLiveRequest, type RequestCounts } from "./live-answers.ts";
import { LiveStream } from "./live-stream.ts";
import { Slate } from "./slate.ts";
import type { RunNumbers } from "./ts-runs.ts";

const full = testsrcRun().renditions[0];
if (full === undefined) throw new Error("the test picture has a rendition");
export const TWO: Run["renditions"] = [full, { ...full, trackId: 2, name: "32p", width: 32, height: 32 }];

/** An origin without sockets: frames go in by `play`, requests by `get`. */
export interface Origin {
  readonly clock: FakeClock;
  readonly budget: HeldBudget;
  readonly stream: LiveStream;
  /** Between the source and the stream: {@link Origin.play} goes past it. */
  readonly slate: Slate;
  /** What the slate is told of the source's connection. */
  readonly source: { isConnected: boolean };
  readonly edges: EdgeRegistry;
  /** Bytes of bodies by kind. */
  readonly sent: RequestCounts;
  readonly app: NodeApp;
  /**
   * Feeds frames `from` to `to` (exclusive) of a run, in step for all renditions; unless `isReplay`, behind figures, so
   * that the origin takes them for live ones.
   */
  play(run: Run, from: number, to: number, isReplay?: boolean): void;
  get(path: string, init?: RequestInit): Promise<Response>;
  text(path: string): Promise<string>;
  bytes(path: string): Promise<Uint8Array>;
}

/** An origin that has no run yet. */
export function open({ heldMax = 100, spreads = true, windowSeconds = 24, log = silentLog } = {}): Origin {
  const clock = new FakeClock();
  const budget = new HeldBudget(heldMax);
  const stream = new LiveStream({ partDurationMs: 200, windowSeconds, clock, log, budget });
  const source = { isConnected: true };
  const isSourceLive = (): boolean => source.isConnected;
  const numbers = countRuns();
  const slate = new Slate({ stream, isOn: true, isSourceLive, numbers, clock, log });
  const edges = new EdgeRegistry();
  const events = new EventFeed({ clock, figures: () => streamFigures(stream, edges, clock) });
  const requests = emptyCounts();
  const sent = emptyCounts();
  const app = createOriginApp({
    registry: new Registry(),
    readiness: () => undefined,
    stream,
    streamName: "canvas",
    edges,
    events,
    requests,
    sent,
    refusals: { viewers: 0, readers: 0 },
    onError(error) {
      throw error;
    },
    spreads,
    random: () => 0,
  });
  const answerLive = createLiveAnswers({ stream, streamName: "canvas", requests, sent });
  const get = async (path: string, init?: RequestInit): Promise<Response> => {
    const request = new Request(`http://origin:8080/live/canvas/${path}`, init);
    return answerLive(readLiveRequest(request)) ?? app.request(request, undefined, { address: "127.0.0.1" });
  };
  return {
    clock,
    budget,
    stream,
    slate,
    source,
    edges,
    sent,
    app,
    get,
    play(run, from, to, isReplay = false) {
      stream.onRun(run);
      if (!isReplay) stream.onFigures(TESTSRC_FIGURES);
      for (let index = from; index < to; index++) {
        for (const { trackId } of run.renditions) stream.onFrame(testsrcFrame(run, index, trackId));
      }
    },
    text: async (path) => (await get(path)).text(),
    bytes: async (path) => (await get(path)).bytes(),
  };
}

/** Numbers for runs, one segment after the other. */
function countRuns(): RunNumbers {
  let ordinal = 20;
  let segment = 5000;
  let startTimeMsMin = 0;
  return {
    beginRun(fps) {
      ordinal++;
      const id = ordinal.toString(16).padStart(8, "0");
      return { id, ordinal, startFrame: (segment + 1) * SEGMENT_SECONDS * fps, startTimeMsMin };
    },
    reserveSegment(number, { shownEndMs }) {
      segment = Math.max(segment, number);
      startTimeMsMin = shownEndMs;
    },
  };
}

/** A run with two renditions. */
export const run = testsrcRun({ renditions: TWO });
/** Media sequence number of its first segment. */
export const FIRST = run.startFrame / 60;

/** Name of the part that a playlist hints at; empty without a hint. */
export function hintIn(text: string): string {
  return /HINT:TYPE=PART,URI="([^"]+)/.exec(text)?.[1] ?? "";
}

/** A run, and how many of its frames are played. */
export interface PlayedRun {
  readonly run: Run;
  readonly frames: number;
}

/** The run after `before`, which has shown `frames` frames: in the next slot, or one later, or far away. */
function runAfter(before: Run, frames: number, next: () => number): Run {
  const { fps } = before;
  const slot = SEGMENT_SECONDS * fps;
  const slots = Math.ceil(frames / slot) + (next() < 0.3 ? 1 : 0) + (next() < 0.1 ? 5 : 0);
  const shownMs = (frames * 1000) / fps;
  return testsrcRun({
    id: (before.ordinal + 1).toString(16).padStart(8, "0"),
    ordinal: before.ordinal + 1,
    startFrame: before.startFrame + slots * slot,
    startTimeMs: before.startTimeMs + shownMs + Math.floor(next() * 3000),
    fps,
    renditions: TWO,
  });
}

/** Runs of 1 to 15 s that follow each other at random, the same for one seed. */
export function randomRuns({
  seed,
  count,
  fps,
}: {
  readonly seed: number;
  readonly count: number;
  readonly fps: number;
}): PlayedRun[] {
  const next = createRandom(seed);
  const played: PlayedRun[] = [];
  let present = testsrcRun({ fps, startFrame: 1000 * SEGMENT_SECONDS * fps, renditions: TWO });
  for (let number = 0; number < count; number++) {
    const frames = Math.floor((1 + next() * 14) * fps);
    played.push({ run: present, frames });
    present = runAfter(present, frames, next);
  }
  return played;
}

/** What an edge on port 8081 of whatever host the viewer used says of itself. */
export const EDGE: LeaseHello = {
  type: "hello",
  version: 1,
  publicUrl: "",
  scheme: "http",
  port: 8081,
  region: "",
  capacityBitsPerSecond: 0,
};

/** Lets that edge be alive. */
export function enterEdge({ edges }: Origin, viewers = 0): void {
  edges.enter(EDGE).update({ type: "load", state: "ready", viewers, egressBitsPerSecond: 0 });
}
