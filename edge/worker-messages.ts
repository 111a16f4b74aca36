/**
 * What the processes of one edge say to each other over the channel between parent and child. Each worker reports
 * once a second, and when it is asked to; the hub answers with what is true of all of them together.
 */
import type { Registry } from "prom-client";
import type { StreamState } from "./admission.ts";
import type { PrefixUse } from "./guard.ts";
import type { ViewerKind } from "./viewers.ts";

/** How often a worker reports, milliseconds. */
export const REPORT_MS = 1_000;

/** One series of a process, as prom-client makes it for others to read. */
export type MetricSeries = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>[number];

/** What a worker is told when it is started. */
export interface WorkerTask {
  /** The socket on which the hub answers: the worker's only upstream. */
  readonly socketPath: string;
  /** The same for all workers, so that a session has one key in all of them; see `sessionKey`. */
  readonly salt: bigint;
}

/** Requests of sessions since the report before: `busyMs` holds two numbers for each key, of blocking and plain ones. */
export interface SessionNotes {
  readonly keys: BigUint64Array;
  /** See `prefixHash`. */
  readonly prefixes: BigUint64Array;
  readonly busyMs: Float64Array;
}

/** A worker to its hub. */
export interface WorkerReport {
  readonly type: "report";
  /** The question that it answers; 0 for none. */
  readonly askId: number;
  readonly ts: number;
  readonly events: number;
  readonly egressBitsPerSecond: number;
  readonly sessions: SessionNotes;
  /** Viewers of `stream.ts` by stream. */
  readonly streams: ReadonlyMap<string, number>;
  /** What viewers' prefixes use of their limits. */
  readonly use: PrefixUse;
  readonly metrics: readonly MetricSeries[];
}

/** A worker to its hub: an admin has switched a stream on or off there. */
export interface WorkerSwitch {
  readonly type: "switch";
  readonly stream: string;
  readonly state: StreamState;
}

/** The hub to a worker whose figures are wanted now. */
export interface HubQuestion {
  readonly type: "question";
  readonly askId: number;
}

/** The hub to a worker: how the whole edge is. */
export interface EdgeTotals {
  readonly type: "totals";
  /** Why the edge cannot serve; empty when it can. */
  readonly reason: string;
  readonly viewers: Readonly<Record<ViewerKind, number>>;
  readonly egressBitsPerSecond: number;
  /** Viewers of `stream.ts` at the other workers, by stream. */
  readonly streamsElsewhere: ReadonlyMap<string, number>;
  /** What viewers' prefixes use of their limits at the other workers. */
  readonly useElsewhere: PrefixUse;
  /** Streams that are switched off. */
  readonly streamsOff: readonly string[];
  /** Sessions that are viewers already; only while the edge, or its part for some prefix, is full: nobody else is let in. */
  readonly sessionKeys: BigUint64Array | undefined;
  /** Viewers of the prefixes that have many, by `prefixHash`. */
  readonly heavyPrefixes: ReadonlyMap<bigint, number>;
}

/** The task as one word, for the environment of a process. */
export function encodeWorkerTask({ socketPath, salt }: WorkerTask): string {
  return `${salt} ${socketPath}`;
}

export function decodeWorkerTask(text: string): WorkerTask {
  const end = text.indexOf(" ");
  return { salt: BigInt(text.slice(0, end)), socketPath: text.slice(end + 1) };
}

/** Both ends are of the same program: the type alone tells what a message is. */
export function isWorkerReport(message: unknown): message is WorkerReport {
  return hasType(message, "report");
}

export function isWorkerSwitch(message: unknown): message is WorkerSwitch {
  return hasType(message, "switch");
}

export function isHubQuestion(message: unknown): message is HubQuestion {
  return hasType(message, "question");
}

export function isEdgeTotals(message: unknown): message is EdgeTotals {
  return hasType(message, "totals");
}

function hasType(message: unknown, type: string): boolean {
  return typeof message === "object" && message !== null && "type" in message && message.type === type;
}
