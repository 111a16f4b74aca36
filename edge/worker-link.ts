/**
 * A worker's side of the talk with its hub: it reports once a second, answers questions, and keeps what it hears of
 * the whole edge, which is what it shows to viewers and load balancers.
 */
import { Registry } from "prom-client";
import { every, type Clock } from "#common/clock.ts";
import type { MetricsPage } from "#common/node-http.ts";
import type { CopyOf } from "#common/role.ts";
import type { EgressRate } from "./counters.ts";
import {
  isEdgeTotals,
  isHubQuestion,
  REPORT_MS,
  type EdgeTotals,
  type WorkerReport,
} from "./worker-messages.ts";
import type { WorkerViewers } from "./worker-viewers.ts";

export interface WorkerLinkOptions {
  readonly channel: Pick<CopyOf, "send" | "listen">;
  readonly viewers: WorkerViewers;
  /** Of this worker. */
  readonly egress: EgressRate;
  /** Of this worker. */
  readonly registry: Registry;
  readonly clock: Clock;
}

/** Keeps a worker and its hub informed until {@link WorkerLink.close}. */
export class WorkerLink {
  readonly #options: WorkerLinkOptions;
  #totals: EdgeTotals | undefined;
  #stopReporting: () => void = () => {};

  constructor(options: WorkerLinkOptions) {
    this.#options = options;
  }

  /** Begins to listen and to report, at once and then each second. */
  begin(): void {
    const { channel, clock } = this.#options;
    channel.listen((message) => {
      if (isEdgeTotals(message)) this.#adopt(message);
      if (isHubQuestion(message)) void this.#report(message.askId);
    });
    void this.#report(0);
    this.#stopReporting = every(clock, REPORT_MS, () => void this.#report(0));
  }

  /** Why the edge cannot serve, or `undefined`. */
  get reason(): string | undefined {
    const reason = this.#totals?.reason ?? "waiting for the other processes of this edge";
    return reason === "" ? undefined : reason;
  }

  /** What all workers together send. */
  get bitsPerSecond(): number {
    return this.#totals?.egressBitsPerSecond ?? 0;
  }

  close(): void {
    this.#stopReporting();
  }

  #adopt(totals: EdgeTotals): void {
    this.#totals = totals;
    this.#options.viewers.adopt(totals);
  }

  /** Never rejects: what is collected is in memory. */
  async #report(askId: number): Promise<void> {
    const { channel, viewers, egress, registry } = this.#options;
    const metrics = await registry.getMetricsAsJSON();
    const report: WorkerReport = {
      type: "report",
      askId,
      ts: viewers.ts,
      events: viewers.events,
      egressBitsPerSecond: egress.bitsPerSecond,
      sessions: viewers.takeNotes(),
      metrics,
    };
    channel.send(report);
  }
}

/** The series of the whole edge, as the hub makes them. */
export function metricsOfHub(socketPath: string): MetricsPage {
  return {
    contentType: Registry.PROMETHEUS_CONTENT_TYPE,
    async metrics() {
      const response = await fetch("http://localhost/metrics", { unix: socketPath });
      return response.text();
    },
  };
}
