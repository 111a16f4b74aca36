/**
 * A worker's side of the talk with its hub: it reports once a second, answers questions, and keeps what it hears of
 * the whole edge, which is what it shows to viewers and load balancers.
 */
import { Registry } from "prom-client";
import { every, type Clock } from "#common/clock.ts";
import type { MetricsPage } from "#common/node-http.ts";
import type { CopyOf } from "#common/role.ts";
import type { Admission, StreamState } from "./admission.ts";
import type { EgressRate } from "./counters.ts";
import { NO_USE, type Guard } from "./guard.ts";
import {
  isEdgeTotals,
  isHubQuestion,
  REPORT_MS,
  type EdgeTotals,
  type WorkerReport,
  type WorkerSwitch,
} from "./worker-messages.ts";
import type { WorkerViewers } from "./worker-viewers.ts";

export interface WorkerLinkOptions {
  readonly channel: Pick<CopyOf, "send" | "listen">;
  readonly viewers: WorkerViewers;
  /** Of this worker; told of the others. */
  readonly admission: Admission;
  /** Of this worker. */
  readonly egress: EgressRate;
  /** Of this worker. */
  readonly registry: Registry;
  readonly clock: Clock;
}

/** Keeps a worker and its hub informed until {@link WorkerLink.close}. */
export class WorkerLink {
  /** Of this worker; told of the others. `undefined` where no viewer is limited, and before there are any. */
  guard: Pick<Guard, "use" | "hear"> | undefined;
  readonly #options: WorkerLinkOptions;
  #totals: EdgeTotals | undefined;
  #stopReporting: () => void = () => {};
  /** True while what the hub says is taken over: that is no news to it. */
  #isAdopting = false;

  constructor(options: WorkerLinkOptions) {
    this.#options = options;
  }

  /** Begins to listen and to report, at once and then each second. */
  begin(): void {
    const { channel, clock, admission } = this.#options;
    admission.onChange((stream, state) => this.#tellSwitch(stream, state));
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
    const { viewers, admission } = this.#options;
    const { streamsElsewhere, streamsOff } = totals;
    this.#totals = totals;
    viewers.adopt(totals);
    admission.elsewhere = streamsElsewhere;
    this.guard?.hear(totals.useElsewhere);
    this.#isAdopting = true;
    for (const stream of streamsOff) admission.set(stream, "off");
    for (const stream of admission.off) if (!streamsOff.includes(stream)) admission.set(stream, "on");
    this.#isAdopting = false;
  }

  #tellSwitch(stream: string, state: StreamState): void {
    if (this.#isAdopting) return;
    const message: WorkerSwitch = { type: "switch", stream, state };
    this.#options.channel.send(message);
  }

  /** Never rejects: what is collected is in memory. */
  async #report(askId: number): Promise<void> {
    const { channel, viewers, admission, egress, registry } = this.#options;
    const metrics = await registry.getMetricsAsJSON();
    const report: WorkerReport = {
      type: "report",
      askId,
      ts: viewers.ts,
      events: viewers.events,
      egressBitsPerSecond: egress.bitsPerSecond,
      sessions: viewers.takeNotes(),
      streams: admission.counts,
      use: this.guard?.use ?? NO_USE,
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
      const text = await response.text();
      if (!response.ok) throw new Error(`The hub answered ${response.status}`);
      return text;
    },
  };
}
