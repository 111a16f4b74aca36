/**
 * Who may read the feed or hold a lease: processes of this same host, unless they come through a proxy or from a web page, and
 * whoever proves the cluster secret. Without a secret nobody from another host can.
 */
import type { ProofChecker, ProofPurpose } from "#common/cluster-auth.ts";
import { isLoopbackAddress } from "#common/listen.ts";

/**
 * Headers of requests that are from elsewhere, whatever their address says: those that proxies add, and the one with
 * which a browser speaks for a web page. Bun's clients, which nodes use, send none of them.
 */
const FOREIGN_HEADERS = ["forwarded", "via", "x-forwarded-for", "x-real-ip", "origin"];

export interface ClusterRequest {
  readonly headers: Headers;
  /** The peer's address. */
  readonly address: string;
  readonly purpose: ProofPurpose;
  readonly wallMs: number;
}

/** True when the request may use the cluster's own interfaces. */
export function mayUseCluster(proofs: ProofChecker, request: ClusterRequest): boolean {
  const isLocal =
    isLoopbackAddress(request.address) && FOREIGN_HEADERS.every((name) => !request.headers.has(name));
  return isLocal || proofs.isValid(request.headers.get("authorization"), request.purpose, request.wallMs);
}
