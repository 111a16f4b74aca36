/**
 * How nodes of one cluster prove that they share its secret: an HMAC over purpose, time and nonce, sent as
 * `Authorization: Spillway <time>.<nonce>.<mac>`. The secret itself never crosses the wire, a proof is good for
 * one use within half a minute, and for one purpose.
 */
// RFC 2104 (HMAC), RFC 9110 11.6.2 (Authorization)
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { LRUCache } from "lru-cache";
import { msToSeconds } from "#common/units.ts";

/** Greatest difference between the two machines' clocks, and how long a nonce is remembered. */
const PROOF_AGE_MS_MAX = 30_000;
/** Nonces remembered at once. Past this the oldest is forgotten; only holders of the secret can add one. */
const NONCES_MAX = 10_000;
const SCHEME = "Spillway";

/** What an answer of 403 to a node means, in words for its log. */
export const PROOF_REFUSED = `the cluster secrets of the two nodes differ, one of them has none, or their clocks are over ${msToSeconds(PROOF_AGE_MS_MAX)} s apart`;

/** What a proof is for; one for the feed does not open a lease. */
export type ProofPurpose = "feed" | "lease";

/** The value of an `Authorization` header that proves knowledge of `secret` at `wallMs`. */
export function proveSecret(options: {
  readonly secret: string;
  readonly purpose: ProofPurpose;
  readonly wallMs: number;
}): string {
  const time = Math.floor(options.wallMs).toString();
  const nonce = randomBytes(16).toString("hex");
  return `${SCHEME} ${time}.${nonce}.${mac(options, time, nonce).toString("hex")}`;
}

/** Checks proofs and remembers their nonces. */
export class ProofChecker {
  readonly #secret: string;
  readonly #seen: LRUCache<string, true>;

  constructor(secret: string) {
    this.#secret = secret;
    this.#seen = new LRUCache({ max: NONCES_MAX, ttl: 2 * PROOF_AGE_MS_MAX });
  }

  /** True when `header` is a fresh, unused proof for `purpose`. Always false without a secret. */
  isValid(header: string | null, purpose: ProofPurpose, wallMs: number): boolean {
    if (this.#secret === "" || header === null) return false;
    const match = /^Spillway (\d{1,15})\.([0-9a-f]{32})\.([0-9a-f]{64})$/.exec(header);
    if (match === null) return false;
    const [, time = "", nonce = "", given = ""] = match;
    if (Math.abs(wallMs - Number(time)) > PROOF_AGE_MS_MAX) return false;
    const expected = mac({ secret: this.#secret, purpose }, time, nonce);
    if (!timingSafeEqual(expected, Buffer.from(given, "hex")) || this.#seen.has(nonce)) return false;
    this.#seen.set(nonce, true);
    return true;
  }
}

function mac(
  { secret, purpose }: { readonly secret: string; readonly purpose: ProofPurpose },
  time: string,
  nonce: string,
): Buffer {
  return createHmac("sha256", secret).update(`${purpose}\n${time}\n${nonce}`).digest();
}
