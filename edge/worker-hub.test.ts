/** The hub of an edge and workers that the test plays, in one process and on a clock moved by hand. */
import { expect, test } from "bun:test";
import { Registry } from "prom-client";
import { FakeClock } from "#common/clock.ts";
import { observedCounter } from "#common/metrics.ts";
import type { Listening, RoleCopy } from "#common/role.ts";
import { Admission } from "./admission.ts";
import { NO_USE, type PrefixUse } from "./guard.ts";
import { CountedViewers } from "./viewers.ts";
import { WorkerHub } from "./worker-hub.ts";
import { isEdgeTotals, isHubQuestion, type EdgeTotals, type WorkerReport } from "./worker-messages.ts";
import { declareWorkerMetrics } from "./worker-metrics.ts";

const FREE_PORT = 4_242;

/** A worker whose process is this test. */
class FakeWorker {
  ports: Listening["ports"] = {};
  isStarted = false;
  isClosed = false;
  /** Why it was killed, each time. */
  readonly kills: string[] = [];
  /** False: it hears questions and says nothing. */
  isAnswering = true;
  hits = 0;
  questions = 0;
  totals: EdgeTotals | undefined;
  readonly #copy: RoleCopy;

  constructor(copy: RoleCopy) {
    this.#copy = copy;
  }

  async start(): Promise<void> {
    this.isStarted = true;
    this.ports = { "edge-port": this.ports["edge-port"] ?? FREE_PORT };
  }

  pin(ports: Listening["ports"]): void {
    this.ports = ports;
  }

  send(message: object): void {
    if (isEdgeTotals(message)) this.totals = message;
    if (isHubQuestion(message)) this.questions++;
    if (isHubQuestion(message) && this.isAnswering) void this.report({ askId: message.askId });
  }

  kill(why: string): void {
    this.kills.push(why);
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  say(message: object): void {
    this.#copy.onMessage(message);
  }

  die(): void {
    this.hits = 0;
    this.#copy.onExit();
  }

  async report(changes: Partial<WorkerReport> = {}): Promise<void> {
    const registry = new Registry();
    observedCounter({
      registry,
      name: "spillway_edge_requests_total",
      help: "For a test.",
      label: "result",
      read: () => ({ hit: this.hits }),
    });
    const sessions = {
      keys: new BigUint64Array(),
      prefixes: new BigUint64Array(),
      busyMs: new Float64Array(),
    };
    const metrics = await registry.getMetricsAsJSON();
    const figures = { ts: 0, events: 0, egressBitsPerSecond: 0, streams: new Map(), use: NO_USE };
    const report = { askId: 0, ...figures, sessions, metrics };
    this.#copy.onMessage({ type: "report", ...report, ...changes });
  }
}

/** Of a process that was stopped for a while: timers fire late, and once. */
class StandingClock extends FakeClock {
  stoodStillMs = 0;

  override wallMs(): number {
    return super.wallMs() + this.stoodStillMs;
  }

  override monotonicMs(): number {
    return super.monotonicMs() + this.stoodStillMs;
  }
}

async function startHub(count: number, clock = new FakeClock()) {
  const viewers = new CountedViewers({ clock, viewersMax: 0 });
  const workers: FakeWorker[] = [];
  const registry = new Registry();
  const state: { reason: string | undefined } = { reason: undefined };
  const limits = { viewerLimit: 0, viewerMax: 0, streamViewerLimit: 0, streamViewerMax: 0 };
  const admission = new Admission({ viewers, ...limits });
  const hub = new WorkerHub({
    count,
    task: { socketPath: "/nowhere", salt: 1n },
    supervise(copy) {
      const worker = new FakeWorker(copy);
      workers.push(worker);
      return worker;
    },
    stopMsMax: 1_000,
    viewers,
    admission,
    registry,
    readiness: () => state.reason,
    clock,
  });
  declareWorkerMetrics(registry, hub);
  const ports = await hub.start();
  return { hub, workers, viewers, admission, clock, state, ports };
}

function worker(workers: readonly FakeWorker[], index: number): FakeWorker {
  const found = workers[index];
  if (found === undefined) throw new Error(`no worker ${index}`);
  return found;
}

test("WorkerHub: the first worker finds a port, the others get the same, and close() ends all", async () => {
  const { hub, workers, ports } = await startHub(3);
  expect(ports).toEqual({ "edge-port": FREE_PORT });
  expect(workers.map(({ ports: own, isStarted }) => [own["edge-port"], isStarted])).toEqual([
    [FREE_PORT, true],
    [FREE_PORT, true],
    [FREE_PORT, true],
  ]);
  await hub.close();
  expect(workers.every(({ isClosed }) => isClosed)).toBe(true);
});

test("WorkerHub adds up what workers report, says it to who reports, and forgets connections of one that dies", async () => {
  const { hub, workers, viewers } = await startHub(2);
  await worker(workers, 0).report({ ts: 3, events: 5, egressBitsPerSecond: 1_000 });
  const sessions = {
    keys: BigUint64Array.of(9n),
    prefixes: BigUint64Array.of(5n),
    busyMs: Float64Array.of(0, 800),
  };
  await worker(workers, 1).report({ ts: 4, events: 1, egressBitsPerSecond: 200, sessions });
  expect(worker(workers, 1).totals).toEqual({
    type: "totals",
    reason: "",
    viewers: { llhls: 0, hls: 1, ts: 7, events: 6 },
    egressBitsPerSecond: 1_200,
    streamsElsewhere: new Map(),
    useElsewhere: NO_USE,
    streamsOff: [],
    sessionKeys: undefined,
    heavyPrefixes: new Map(),
  });
  worker(workers, 0).die();
  expect([viewers.ts, viewers.events, hub.bitsPerSecond, hub.running]).toEqual([4, 1, 200, 1]);
});

test("WorkerHub tells each worker what prefixes use of their limits at the others", async () => {
  const { workers } = await startHub(3);
  const use = (requests: Record<string, number>, connections: Record<string, number> = {}): PrefixUse => ({
    requests: new Map(Object.entries(requests)),
    connections: new Map(Object.entries(connections)),
  });
  await worker(workers, 0).report({ use: use({ p: 50 }) });
  await worker(workers, 1).report({ use: use({ p: 20, q: 9 }, { p: 2 }) });
  await worker(workers, 2).report({ use: use({}, { p: 3 }) });
  await worker(workers, 0).report({ use: use({ p: 30 }) });
  await worker(workers, 1).report({ use: use({ p: 20, q: 9 }, { p: 2 }) });
  const heard = [0, 1, 2].map((index) => worker(workers, index).totals?.useElsewhere);
  expect(heard).toEqual([
    use({ p: 20, q: 9 }, { p: 5 }),
    use({ p: 30 }, { p: 3 }),
    use({ p: 70, q: 9 }, { p: 2 }),
  ]);
});

test("WorkerHub: viewers of a stream are told to the other workers, and what one switches off is off in all", async () => {
  const { workers, admission } = await startHub(3);
  const counts = [2, 3, 0];
  for (const [index, count] of counts.entries()) {
    await worker(workers, index).report({ streams: new Map([["canvas", count]]) });
  }
  await worker(workers, 0).report({ streams: new Map([["canvas", 2]]) });
  expect(worker(workers, 0).totals?.streamsElsewhere).toEqual(new Map([["canvas", 3]]));
  expect(worker(workers, 2).totals?.streamsElsewhere).toEqual(new Map([["canvas", 5]]));
  expect(admission.viewersOf("canvas")).toBe(5);
  worker(workers, 1).say({ type: "switch", stream: "canvas", state: "off" });
  expect(workers.map(({ totals }) => totals?.streamsOff)).toEqual([["canvas"], ["canvas"], ["canvas"]]);
  worker(workers, 2).say({ type: "switch", stream: "canvas", state: "on" });
  expect(workers.map(({ totals }) => totals?.streamsOff)).toEqual([[], [], []]);
});

test("WorkerHub tells all workers at once that the edge cannot serve", async () => {
  const { hub, workers, state } = await startHub(2);
  state.reason = "waiting for upstream";
  hub.publish();
  expect(workers.map(({ totals }) => totals?.reason)).toEqual([
    "waiting for upstream",
    "waiting for upstream",
  ]);
});

test("WorkerHub shows the counts of this moment, those of dead workers among them", async () => {
  const { hub, workers } = await startHub(2);
  await Promise.all(workers.map((each) => each.report()));
  worker(workers, 0).hits = 10;
  worker(workers, 1).hits = 5;
  expect(await hub.metrics()).toContain('spillway_edge_requests_total{result="hit"} 15');
  worker(workers, 0).die();
  const page = await hub.metrics();
  expect(page).toContain('spillway_edge_requests_total{result="hit"} 15');
  expect(page).toContain("spillway_edge_workers 1");
  expect(page).toContain("spillway_edge_worker_ends_total 1");
  worker(workers, 0).hits = 2;
  await worker(workers, 0).report();
  expect(await hub.metrics()).toContain('spillway_edge_requests_total{result="hit"} 17');
});

test("WorkerHub asks its workers once for all who want metrics at the same time", async () => {
  const { hub, workers } = await startHub(1);
  await worker(workers, 0).report();
  const pages = await Promise.all([hub.metrics(), hub.metrics(), hub.metrics()]);
  expect([new Set(pages).size, worker(workers, 0).questions]).toEqual([1, 1]);
  await hub.metrics();
  expect(worker(workers, 0).questions).toBe(2);
});

test("WorkerHub waits a second for a worker that says nothing and shows what it said last", async () => {
  const { hub, workers, clock } = await startHub(2);
  await Promise.all(workers.map((each) => each.report()));
  worker(workers, 0).hits = 3;
  await worker(workers, 0).report();
  worker(workers, 0).isAnswering = false;
  worker(workers, 0).hits = 30;
  worker(workers, 1).hits = 4;
  const page = hub.metrics();
  clock.advance(1_000);
  expect(await page).toContain('spillway_edge_requests_total{result="hit"} 7');
});

test("WorkerHub has a worker killed that says nothing for ten seconds, once, and watches the one in its place", async () => {
  const { hub, workers, clock } = await startHub(3);
  const [well, hung] = [worker(workers, 0), worker(workers, 1)];
  // The third has yet to say something: how long its start may take is not for the hub to say.
  await Promise.all([well.report(), hung.report()]);
  const pass = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second++) {
      clock.advance(1_000);
      await well.report();
    }
  };
  const kills = (): number[] => workers.map((each) => each.kills.length);
  await pass(9);
  expect(kills()).toEqual([0, 0, 0]);
  await pass(1);
  expect([kills(), hung.kills]).toEqual([[0, 1, 0], ["has said nothing for 10 s"]]);
  hung.die();
  expect([hub.ended, hub.running]).toEqual([1, 1]);
  await pass(20);
  expect(kills()).toEqual([0, 1, 0]);
  await hung.report();
  await pass(10);
  expect(kills()).toEqual([0, 2, 0]);
});

test("WorkerHub: one word in ten seconds is enough, and a time in which the hub itself stood still counts for nothing", async () => {
  const clock = new StandingClock();
  const { workers } = await startHub(1, clock);
  const only = worker(workers, 0);
  await only.report();
  clock.advance(9_000);
  await only.report();
  clock.advance(8_000);
  clock.stoodStillMs = 60_000;
  clock.advance(1_000);
  expect(only.kills).toEqual([]);
  clock.advance(1_000);
  expect(only.kills.length).toBe(1);
});

test("WorkerHub kills nobody who drains: how long that may take is known to the supervisor", async () => {
  const { hub, workers, clock } = await startHub(1);
  await worker(workers, 0).report();
  await hub.close();
  clock.advance(60_000);
  expect(worker(workers, 0).kills).toEqual([]);
});
