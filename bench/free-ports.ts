/** Ports for the processes that load scripts and tests start, which have to be told one before they listen. */
import { readFileSync } from "node:fs";
import { errorCode, StartError } from "#common/errors.ts";

/** Ports that people's own programs seldom have, up to those that the system gives away. */
const PORT_MIN = 10_000;
const PORT_END_ELSEWHERE = 49_152;
const isLinux = process.platform === "linux";
const PORT_END = firstGivenPort();
/** So many places are tried. Where none is free, something else is wrong. */
const ATTEMPTS_MAX = 1_000;

/**
 * `count` neighbouring ports that nothing listens on, and that nobody else gets before they are used: not by asking the
 * system for any port, as every outgoing connection does, and not from here, in this process or another.
 */
export function freePorts(count: number): number[] {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const first = PORT_MIN + Math.floor(Math.random() * (PORT_END - PORT_MIN - count));
    const ports = Array.from({ length: count }, (_, index) => first + index);
    if (reservePorts(ports)) return ports;
  }
  throw new StartError("no-free-port", `No ${count} neighbouring ports are free from ${PORT_MIN} on`);
}

/** For as long as this process runs: names of sockets are each one's alone, and those that begin with NUL are no files. On Linux alone. */
function reservePorts(ports: readonly number[]): boolean {
  const names: Bun.UnixSocketListener<undefined>[] = [];
  try {
    for (const port of ports) {
      if (isLinux) names.push(Bun.listen({ unix: `\0spillway-port-${port}`, socket: { data() {} } }));
      tryPort(port);
    }
  } catch {
    for (const name of names) name.stop(true);
    return false;
  }
  for (const name of names) name.unref();
  return true;
}

/** Throws where somebody listens, at whatever address of this machine. */
function tryPort(port: number): void {
  Bun.listen({ hostname: "0.0.0.0", port, socket: { data() {} } }).stop(true);
  try {
    Bun.listen({ hostname: "::", port, socket: { data() {} } }).stop(true);
  } catch (error) {
    // Else the machine has no IPv6.
    if (errorCode(error) === "EADDRINUSE") throw error;
  }
}

/** The first of the ports that Linux gives to who asks for any. Where it gives nearly all, there is no keeping away. */
function firstGivenPort(): number {
  const [first = ""] = isLinux
    ? readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split("\t")
    : [];
  return Number(first) >= 2 * PORT_MIN ? Number(first) : PORT_END_ELSEWHERE;
}
