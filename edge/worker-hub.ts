/**
 * The processes of an edge with several workers, seen from the one that they share: it starts them on one port, keeps
 * them running, adds up what they report, and tells each how the whole edge is.
 */
import { Registry } from "prom-client";
import { every, type Clock } from "#common/clock.ts";
import type { MetricsPage } from "#common/node-http.ts";
import type { Listening, RoleChild, RoleCopy } from "#common/role.ts";
import { msToSeconds } from "#common/units.ts";
import type { Admission } from "./admission.ts";
import type { CountedViewers } from "./viewers.ts";
import {
  encodeWorkerTask,
  isWorkerReport,
  isWorkerSwitch,
  REPORT_MS,
  type EdgeTotals,
  type HubQuestion,
  type MetricSeries,
  type WorkerReport,
  type WorkerTask,
} from "./worker-messages.ts";
import { addCounts, renderEdgeSeries, type WorkerFigures } from "./worker-metrics.ts";

/** A worker that has not answered by then counts as it was when it last reported. */
const ANSWER_MS_MAX = 1_000;
/**
 * A worker that has reported nothing for so many turns of {@link REPORT_MS} has hung: it is killed and replaced, since the
 * kernel goes on giving it its share of new connections. A busy machine may hold a process up for three seconds.
 */
const SILENT_TURNS_MAX = 10;

export interface WorkerHubOptions {
  /** How many workers. */
  readonly count: number;
  readonly task: WorkerTask;
  readonly supervise: (copy: RoleCopy) => RoleChild;
  /** How long a worker that is asked to end may take. */
  readonly stopMsMax: number;
  /** Filled by what the workers report. */
  readonly viewers: CountedViewers;
  /** Limits and switched off streams of the whole edge. */
  readonly admission: Admission;
  /** Of this process. */
  readonly registry: Registry;
  /** Why the edge cannot serve, if so. */
  readonly readiness: () => string | undefined;
  readonly clock: Clock;
}

interface Worker {
  readonly child: RoleChild;
  /** The newest; `undefined` before the first of each process. */
  report: WorkerReport | undefined;
  /** Turns of the watch since it last reported. Not a time: while this process stands still no worker is heard. */
  silentTurns: number;
}

/** All workers of an edge. */
export class WorkerHub implements MetricsPage, WorkerFigures {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #options: WorkerHubOptions;
  readonly #workers: readonly Worker[];
  /** Whom a question's answer goes to. */
  readonly #questions = new Map<number, () => void>();
  #lastAskId = 0;
  #page: Promise<string> | undefined;
  #ended = 0;
  /** Counts of workers that have ended. */
  #past: Promise<readonly MetricSeries[]> = Promise.resolve([]);
  #stopWatching: () => void = () => {};

  constructor(options: WorkerHubOptions) {
    this.#options = options;
    options.admission.onChange(() => this.publish());
    this.#workers = Array.from({ length: options.count }, (_, index) => this.#create(index + 1));
  }

  /** Starts all workers and resolves with their port: the first finds it where it is free to choose. */
  async start(): Promise<Listening["ports"]> {
    const [first, ...others] = this.#workers;
    if (first === undefined) return {};
    await first.child.start();
    const { ports } = first.child;
    for (const { child } of others) child.pin(ports);
    await Promise.all(others.map(({ child }) => child.start()));
    this.#stopWatching = every(this.#options.clock, REPORT_MS, () => this.#watch());
    return ports;
  }

  get running(): number {
    return this.#sum(() => 1);
  }

  get ended(): number {
    return this.#ended;
  }

  /** What all workers together send. */
  get bitsPerSecond(): number {
    return this.#sum((report) => report.egressBitsPerSecond);
  }

  /** Tells every worker how the edge is: after a change that must not wait for the next report. */
  publish(): void {
    for (const worker of this.#workers) worker.child.send(this.#totals(worker));
  }

  /** The series of the whole edge, as of now; collected once for all who ask meanwhile. */
  metrics(): Promise<string> {
    this.#page ??= this.#collect().finally(() => {
      this.#page = undefined;
    });
    return this.#page;
  }

  /** Asks all workers to end, and waits for them: those that hang are killed when their time to end is over. */
  async close(): Promise<void> {
    this.#stopWatching();
    await Promise.all(this.#workers.map(({ child }) => child.close()));
  }

  async #collect(): Promise<string> {
    await Promise.all(this.#workers.map((worker) => this.#ask(worker)));
    // Both at the same moment: what is past of a worker that dies now must be neither missing nor there twice.
    const workers = this.#workers.map(({ report }) => report?.metrics ?? []);
    const [past, hub] = await Promise.all([this.#past, this.#options.registry.getMetricsAsJSON()]);
    return renderEdgeSeries({ hub, workers, past });
  }

  #create(number: number): Worker {
    const { supervise, task, stopMsMax } = this.#options;
    const child = supervise({
      name: `worker ${number}`,
      task: encodeWorkerTask(task),
      stopMsMax,
      onMessage: (message) => {
        if (isWorkerReport(message)) this.#adopt(worker, message);
        if (isWorkerSwitch(message)) this.#options.admission.set(message.stream, message.state);
      },
      onExit: () => this.#forget(worker),
    });
    const worker: Worker = { child, report: undefined, silentTurns: 0 };
    return worker;
  }

  /** Counts for each worker one turn without a report. One that has not begun to report is the supervisor's to judge. */
  #watch(): void {
    for (const worker of this.#workers) {
      if (worker.report === undefined || ++worker.silentTurns < SILENT_TURNS_MAX) continue;
      worker.silentTurns = 0;
      worker.child.kill(`has said nothing for ${msToSeconds(SILENT_TURNS_MAX * REPORT_MS)} s`);
    }
  }

  #adopt(worker: Worker, report: WorkerReport): void {
    const { viewers } = this.#options;
    worker.report = report;
    worker.silentTurns = 0;
    const { keys, prefixes, busyMs } = report.sessions;
    for (const [index, key] of keys.entries()) {
      const [blockingMs = 0, plainMs = 0] = busyMs.subarray(2 * index);
      viewers.add({ key, prefix: prefixes[index] ?? 0n, blockingMs, plainMs });
    }
    this.#countConnections();
    this.#questions.get(report.askId)?.();
    worker.child.send(this.#totals(worker));
  }

  /** Its viewers are gone; what it counted stays counted. */
  #forget(worker: Worker): void {
    const ended = worker.report?.metrics ?? [];
    worker.report = undefined;
    this.#ended++;
    this.#past = this.#past.then((past) => addCounts(past, ended));
    this.#countConnections();
  }

  #countConnections(): void {
    const { viewers, admission } = this.#options;
    admission.elsewhere = sumsOf(this.#workers, ({ streams }) => streams);
    viewers.ts = this.#sum((report) => report.ts);
    viewers.events = this.#sum((report) => report.events);
  }

  #sum(figure: (report: WorkerReport) => number): number {
    return this.#workers.reduce((sum, { report }) => sum + (report === undefined ? 0 : figure(report)), 0);
  }

  /** As `receiver` is to be told. */
  #totals(receiver: Worker): EdgeTotals {
    const { viewers, admission, readiness } = this.#options;
    const others = this.#workers.filter((worker) => worker !== receiver);
    return {
      type: "totals",
      reason: readiness() ?? "",
      viewers: viewers.byKind,
      egressBitsPerSecond: this.bitsPerSecond,
      streamsElsewhere: sumsOf(others, ({ streams }) => streams),
      useElsewhere: {
        requests: sumsOf(others, ({ use }) => use.requests),
        connections: sumsOf(others, ({ use }) => use.connections),
      },
      streamsOff: admission.off,
      sessionKeys: viewers.sessionKeys,
      heavyPrefixes: viewers.heavyPrefixes,
    };
  }

  /** Resolves when the worker has said how it is, or is not there to. */
  async #ask({ child, report }: Worker): Promise<void> {
    if (report === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const askId = ++this.#lastAskId;
    const cancel = this.#options.clock.after(ANSWER_MS_MAX, resolve);
    this.#questions.set(askId, resolve);
    const question: HubQuestion = { type: "question", askId };
    child.send(question);
    await promise;
    this.#questions.delete(askId);
    cancel();
  }
}

/** What several workers have reported by name, added up. */
function sumsOf(
  workers: readonly Worker[],
  figures: (report: WorkerReport) => ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { report } of workers) {
    if (report === undefined) continue;
    for (const [name, figure] of figures(report)) sums.set(name, (sums.get(name) ?? 0) + figure);
  }
  return sums;
}
