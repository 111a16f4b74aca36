/** What tests of the origin stand on: the whole of it without sockets and on a clock moved by hand. */
import { Registry } from "prom-client";
import { FakeClock } from "#common/clock.ts";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import type { CanvasFigures, Run } from "#common/formats/frame.ts";
import { HeldBudget } from "#common/held-requests.ts";
import { silentLog } from "#common/log.ts";
import type { NodeApp } from "#common/node-http.ts";
import { EdgeRegistry } from "./edges.ts";
import { EventFeed, streamFigures } from "./events.ts";
import { createOriginApp } from "./http.ts";
import { createLiveAnswers, readLiveRequest, type RequestCounts } from "./live-answers.ts";
import { LiveStream } from "./live-stream.ts";

const full = testsrcRun().renditions[0];
if (full === undefined) throw new Error("the test picture has a rendition");
export const TWO: Run["renditions"] = [full, { ...full, trackId: 2, name: "32p", width: 32, height: 32 }];

export const FIGURES: CanvasFigures = {
  timeMs: 1,
  pixels: 0,
  bytes: 0,
  connections: 0,
  pixelsPerSecond: 0,
  bitsPerSecond: 0,
  pixelflutPort: 1234,
};

/** An origin without sockets: frames go in by `play`, requests by `get`. */
export interface Origin {
  readonly clock: FakeClock;
  readonly budget: HeldBudget;
  readonly stream: LiveStream;
  readonly edges: EdgeRegistry;
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
  const edges = new EdgeRegistry();
  const events = new EventFeed({ clock, figures: () => streamFigures(stream, edges, clock) });
  const requests: RequestCounts = { playlist: 0, part: 0, segment: 0, init: 0, ts: 0, api: 0, other: 0 };
  const app = createOriginApp({
    registry: new Registry(),
    readiness: () => undefined,
    stream,
    streamName: "canvas",
    edges,
    events,
    requests,
    refusals: { viewers: 0, readers: 0 },
    onError(error) {
      throw error;
    },
    spreads,
    random: () => 0,
  });
  const answerLive = createLiveAnswers({ stream, streamName: "canvas", requests });
  const get = async (path: string, init?: RequestInit): Promise<Response> => {
    const request = new Request(`http://origin:8080/live/canvas/${path}`, init);
    return answerLive(readLiveRequest(request)) ?? app.request(request, undefined, { address: "127.0.0.1" });
  };
  return {
    clock,
    budget,
    stream,
    edges,
    app,
    get,
    play(run, from, to, isReplay = false) {
      stream.onRun(run);
      if (!isReplay) stream.onFigures(FIGURES);
      for (let index = from; index < to; index++) {
        for (const { trackId } of run.renditions) stream.onFrame(testsrcFrame(run, index, trackId));
      }
    },
    text: async (path) => (await get(path)).text(),
    bytes: async (path) => (await get(path)).bytes(),
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
