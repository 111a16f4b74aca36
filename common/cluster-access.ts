/**
 * Who may read the feed or hold a lease: processes of this same host, unless they come through a proxy on it, and
 * whoever proves the cluster secret. Without a secret nobody from another host can.
 */
import type { ProofChecker, ProofPurpose } from "#common/cluster-auth.ts";
import { isLoopbackAddress } from "#common/listen.ts";

/** Headers that a proxy adds: a request with one of them is from elsewhere, whatever its address says. */
const PROXY_HEADERS = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];

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
    isLoopbackAddress(request.address) && PROXY_HEADERS.every((name) => !request.headers.has(name));
  return isLocal || proofs.isValid(request.headers.get("authorization"), request.purpose, request.wallMs);
}
