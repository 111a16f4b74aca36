/** Opens the HTTP side of a node, with errors that name the option to change. */
import { errorCode, StartError } from "#common/errors.ts";

/** Longest silence on a connection, in seconds; longer than any held playlist (3 target durations). 255 is Bun's limit. */
export const IDLE_TIMEOUT_SECONDS = 60;

const CAUSES: Readonly<Record<string, string>> = {
  EADDRINUSE: "address in use",
  EACCES: "permission denied",
  EADDRNOTAVAIL: "no such address on this machine",
  ENOTFOUND: "unknown host name",
};

/**
 * Runs `listen` and turns a failure to bind into one line: `Cannot bind --edge-port 8081 on ::: address in use`.
 *
 * @param option the flag whose value was tried
 */
export function bindOrExplain<T>(
  where: { readonly option: string; readonly port: number; readonly hostname: string },
  listen: () => T,
): T {
  try {
    return listen();
  } catch (error) {
    const code = errorCode(error) ?? "";
    const why = CAUSES[code] ?? (error instanceof Error ? error.message : String(error));
    throw new StartError(
      "cannot-bind",
      `Cannot bind port ${where.port} on ${where.hostname} (--${where.option}): ${why}`,
    );
  }
}

/** A URL's host part for an address that a server is bound to: IPv6 in brackets, "any" addresses as loopback. */
export function hostOfBind(hostname: string): string {
  if (hostname === "::" || hostname === "0.0.0.0" || hostname === "") return "127.0.0.1";
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}

/** True for an address of this machine itself: 127.0.0.0/8, ::1, and 127.0.0.0/8 mapped into IPv6. */
export function isLoopbackAddress(address: string): boolean {
  const plain = address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
  return plain === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(plain);
}
