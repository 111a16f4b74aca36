/** Who counts as local. */
import { expect, test } from "bun:test";
import { mayUseCluster } from "#common/cluster-access.ts";
import { ProofChecker } from "#common/cluster-auth.ts";

const proofs = new ProofChecker("");

test.each([
  ["127.0.0.1", {}, true],
  ["::1", { host: "canvas" }, true],
  ["192.0.2.1", {}, false],
  ["127.0.0.1", { "x-forwarded-for": "192.0.2.1" }, false],
  ["127.0.0.1", { via: "1.1 proxy" }, false],
  ["127.0.0.1", { origin: "http://evil.example" }, false],
  ["127.0.0.1", { origin: "null" }, false],
] as const)("mayUseCluster() from %s with %p is %p", (address, headers, expected) => {
  const request = { headers: new Headers(headers), address, purpose: "lease", wallMs: 0 } as const;
  expect(mayUseCluster(proofs, request)).toBe(expected);
});
