/** The series of a node's certificate: alert before it ends. */
import type { Registry } from "prom-client";
import { observedGauge } from "#common/metrics.ts";
import type { TlsSource } from "#common/tls.ts";
import { msToSeconds } from "#common/units.ts";

const NAMES = {
  server: "spillway_server_tls_expiry_timestamp_seconds",
  origin: "spillway_origin_tls_expiry_timestamp_seconds",
  edge: "spillway_edge_tls_expiry_timestamp_seconds",
};

/** Declares `spillway_<node>_tls_expiry_timestamp_seconds` where there is a certificate. */
export function declareTlsMetrics(
  registry: Registry,
  { node, tls }: { readonly node: keyof typeof NAMES; readonly tls: TlsSource | undefined },
): void {
  if (tls === undefined) return;
  observedGauge({
    registry,
    name: NAMES[node],
    help: "When the certificate in use ends, or the first of its chain, in seconds since the epoch.",
    read: () => msToSeconds(tls.expiryMs),
  });
}
