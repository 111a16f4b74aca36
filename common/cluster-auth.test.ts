/** Proofs of the cluster secret, and who gets in without one. */
import { networkInterfaces } from "node:os";
import { describe, expect, test } from "bun:test";
import { mayUseCluster } from "#common/cluster-access.ts";
import { ProofChecker, proveSecret } from "#common/cluster-auth.ts";
import { isLoopbackAddress, isOwnAddress } from "#common/listen.ts";

const secret = "0123456789abcdef0123";
const wallMs = Date.UTC(2026, 0, 1);

describe("ProofChecker", () => {
  test("takes a fresh proof once", () => {
    const checker = new ProofChecker(secret);
    const proof = proveSecret({ secret, purpose: "lease", wallMs });
    expect(checker.isValid(proof, "lease", wallMs + 1_000)).toBe(true);
    expect(checker.isValid(proof, "lease", wallMs + 1_000)).toBe(false);
  });

  test.each([
    ["another secret", proveSecret({ secret: "another-secret-here", purpose: "lease", wallMs }), wallMs],
    ["another purpose", proveSecret({ secret, purpose: "feed", wallMs }), wallMs],
    ["a proof too old", proveSecret({ secret, purpose: "lease", wallMs }), wallMs + 31_000],
    ["a proof from the future", proveSecret({ secret, purpose: "lease", wallMs }), wallMs - 31_000],
    ["nothing", null, wallMs],
    ["garbage", "Spillway x.y.z", wallMs],
    ["another scheme", "Bearer 0123456789abcdef0123", wallMs],
  ])("refuses %s", (_, header, nowMs) => {
    expect(new ProofChecker(secret).isValid(header, "lease", nowMs)).toBe(false);
  });

  test("refuses everything without a secret", () => {
    const proof = proveSecret({ secret: "", purpose: "lease", wallMs });
    expect(new ProofChecker("").isValid(proof, "lease", wallMs)).toBe(false);
  });
});

describe("mayUseCluster()", () => {
  const request = (address: string, headers: Record<string, string> = {}) => ({
    headers: new Headers(headers),
    address,
    purpose: "feed" as const,
    wallMs,
  });

  test("lets processes of this host in, but not what a proxy on it passes on", () => {
    const proofs = new ProofChecker("");
    expect(mayUseCluster(proofs, request("127.0.0.1"))).toBe(true);
    expect(mayUseCluster(proofs, request("::ffff:127.0.0.1"))).toBe(true);
    expect(mayUseCluster(proofs, request("127.0.0.1", { "x-forwarded-for": "192.0.2.7" }))).toBe(false);
    expect(mayUseCluster(proofs, request("127.0.0.1", { via: "1.1 proxy" }))).toBe(false);
  });

  test("lets another host in only with a proof", () => {
    const proofs = new ProofChecker(secret);
    const authorization = proveSecret({ secret, purpose: "feed", wallMs });
    expect(mayUseCluster(proofs, request("192.0.2.7"))).toBe(false);
    expect(mayUseCluster(proofs, request("192.0.2.7", { authorization }))).toBe(true);
  });
});

test.each([
  ["127.0.0.1", true],
  ["127.255.0.9", true],
  ["::1", true],
  ["::ffff:127.0.0.1", true],
  ["10.0.0.1", false],
  ["::ffff:10.0.0.1", false],
  ["127.0.0.1.example.org", false],
  ["", false],
])("isLoopbackAddress(%p)", (address, expected) => {
  expect(isLoopbackAddress(address)).toBe(expected);
});

test("isOwnAddress() knows the addresses of this machine's interfaces, and no other", () => {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const mapped = own.filter(({ family }) => family === "IPv4").map(({ address }) => `::ffff:${address}`);
  const addresses = ["127.0.0.1", "127.255.0.9", "::1", ...own.map(({ address }) => address), ...mapped];
  expect(addresses.filter((address) => !isOwnAddress(address))).toEqual([]);
  // RFC 5737 and 3849: for documentation, so nobody's.
  const others = ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7", ""];
  expect(others.filter(isOwnAddress)).toEqual([]);
});
