/** Who may change a running node: whoever sends the admin token as `Authorization: Bearer <token>`. */
// RFC 6750 2.1 (bearer tokens)
import { createHash, timingSafeEqual } from "node:crypto";

/** True when `header` carries `token`. Takes the same time wherever the two differ. Always false without a token. */
export function isAdmin(header: string | null, token: string): boolean {
  const given = /^bearer +([\x21-\x7e]+)$/i.exec(header ?? "")?.[1];
  if (token === "" || given === undefined) return false;
  // Of equal length whatever was given.
  return timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
