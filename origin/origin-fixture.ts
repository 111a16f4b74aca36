/** What tests of the origin stand on: the whole of it without sockets and on a clock moved by hand. */
import { Registry } from "prom-client";
import { FakeClock } from "#common/clock.ts";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import type { Run } from "#common/formats/frame.ts";
import { HeldBudget } from "#common/held-requests.ts";
import { silentLog } from "#common/log.ts";
import type { NodeApp } from "#common/node-http.ts";
import { EdgeRegistry } from "./edges.ts";
import { EventFeed, streamFigures } from "./events.ts";
import { createOriginApp, type RequestCounts } from "./http.ts";
import { LiveStream } from "./live-stream.ts";

const full = testsrcRun().renditions[0];
if (full === undefined) throw new Error("the test picture has a rendition");
export const TWO: Run["renditions"] = [full, { ...full, trackId: 2, name: "32p", width: 32, height: 32 }];

/** An origin without sockets: frames go in by `play`, requests by `get`. */
export interface Origin {
  readonly clock: FakeClock;
  readonly budget: HeldBudget;
  readonly stream: LiveStream;
  readonly edges: EdgeRegistry;
  readonly app: NodeApp;
  /** Feeds frames `from` to `to` (exclusive) of a run, in step for all renditions. */
  play(run: Run, from: number, to: number): void;
  get(path: string, init?: RequestInit): Promise<Response>;
  text(path: string): Promise<string>;
  bytes(path: string): Promise<Uint8Array>;
}

/** An origin that has no run yet. */
export function open({ heldMax = 100, spreads = true } = {}): Origin {
  const clock = new FakeClock();
  const budget = new HeldBudget(heldMax);
  const stream = new LiveStream({ partDurationMs: 200, clock, log: silentLog, budget });
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
    spreads,
    random: () => 0,
  });
  const get = async (path: string, init?: RequestInit): Promise<Response> =>
    app.request(`http://origin:8080/live/canvas/${path}`, init, { address: "127.0.0.1" });
  return {
    clock,
    budget,
    stream,
    edges,
    app,
    get,
    play(run, from, to) {
      stream.onRun(run);
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
