/**
 * The side of an edge that origins see: whether the upstream can be used, and the leases by which origins send viewers
 * here. There is one of it however many processes serve the viewers.
 */
import type { Clock } from "#common/clock.ts";
import {
  LEASE_VERSION,
  type EdgeState,
  type LeaseHello,
  type LeaseLoad,
  type LeaseSegmentHosts,
} from "#common/formats/lease.ts";
import type { Lifecycle } from "#common/lifecycle.ts";
import type { Log } from "#common/log.ts";
import type { Admission } from "./admission.ts";
import type { EdgeConfig } from "./config.ts";
import type { EgressRate } from "./counters.ts";
import { LeaseClient } from "./lease.ts";
import { UpstreamProbe } from "./readiness.ts";
import type { SegmentHosts } from "./segment-hosts.ts";
import { SegmentOrigins } from "./segment-origins.ts";
import type { Upstream } from "./upstream.ts";
import type { Viewers } from "./viewers.ts";

const BITS_PER_MEGABIT = 1_000_000;

export interface OriginSideOptions {
  readonly config: EdgeConfig;
  readonly upstream: Upstream;
  /** Of the whole edge. */
  readonly viewers: Viewers;
  /** Told of the tables that leases bring. */
  readonly segmentHosts: SegmentHosts;
  readonly admission: Admission;
  readonly lifecycle: Lifecycle;
  readonly clock: Clock;
  readonly log: Log;
  /** Called when the edge becomes able or unable to serve. Default: origins alone are told. */
  readonly onChange?: () => void;
}

/** Where viewers reach the edge. */
export type EdgeAddress = Pick<LeaseHello, "scheme" | "port">;

/** Upstream probe and leases. */
export class OriginSide {
  /** Those of {@link takeLeases}. */
  readonly leases: LeaseClient[] = [];
  readonly #options: OriginSideOptions;
  readonly #probe: UpstreamProbe;

  /** Begins to probe. */
  constructor(options: OriginSideOptions) {
    this.#options = options;
    const { upstream, clock, log, lifecycle } = options;
    const onChange = (): void => {
      options.onChange?.();
      for (const lease of this.leases) lease.report();
    };
    this.#probe = new UpstreamProbe({ upstream, clock, log, onChange });
    options.admission.onChange(() => this.leases.forEach((lease) => lease.report()));
    lifecycle.onClose("upstream probe", () => this.#probe.close());
    lifecycle.onClose("leases", () => this.#endLeases());
  }

  /** Why the edge cannot serve, or `undefined`. */
  readonly readiness = (): string | undefined => {
    const { lifecycle, admission } = this.#options;
    if (lifecycle.isStopping) return "draining";
    return this.#probe.reason ?? (admission.isClosed ? "full" : undefined);
  };

  /**
   * Takes out a lease at each upstream: from now on origins send viewers to `address`. A caching proxy takes none: its
   * upstream is none of ours, and has no use for a proof of the cluster's secret.
   */
  takeLeases(address: EdgeAddress, egress: Pick<EgressRate, "bitsPerSecond">): void {
    const { config, viewers, lifecycle, clock, log } = this.#options;
    if (config.proxyAll) return;
    const load = (): Omit<LeaseLoad, "type"> => ({
      state: this.#state(),
      viewers: viewers.total,
      egressBitsPerSecond: egress.bitsPerSecond,
    });
    const { clusterSecret } = config;
    const hello = createHello(config, address);
    const origins = new SegmentOrigins(this.#options.segmentHosts);
    for (const [place, upstreamUrl] of config.upstream.entries()) {
      const lease = { upstreamUrl, hello, load, clusterSecret, clock, log, random: Math.random };
      const onSegmentHosts = (table: LeaseSegmentHosts): void => origins.hear(place, table);
      const onLost = (): void => origins.lose(place);
      this.leases.push(new LeaseClient({ ...lease, onSegmentHosts, onLost }));
    }
    lifecycle.onClose("new viewers", () => {
      // What a lease tells of segments holds for the playlists of the last viewers too: it says that the edge drains.
      if (this.#options.segmentHosts.count > 0) this.leases.forEach((lease) => lease.report());
      else this.#endLeases();
    });
  }

  #endLeases(): void {
    for (const lease of this.leases) lease.close();
  }

  #state(): EdgeState {
    const { lifecycle, admission } = this.#options;
    if (lifecycle.isStopping) return "draining";
    // Which of its streams an origin would send viewers or segments here for is not known.
    if (this.#probe.reason !== undefined || admission.hasOff) return "waiting";
    return admission.isFull ? "full" : "ready";
  }
}

function createHello(config: EdgeConfig, address: EdgeAddress): LeaseHello {
  return {
    type: "hello",
    version: LEASE_VERSION,
    publicUrl: config.publicUrl,
    ...address,
    region: config.region,
    capacityBitsPerSecond: config.capacityMbit * BITS_PER_MEGABIT,
  };
}
