/** The thin functions on the C library of Linux. */
import { describe, expect, test } from "bun:test";
import { EAGAIN } from "./linux-constants.ts";
import { addressOf, LinuxSockets } from "./linux-sockets.ts";

const LISTENING = { port: 0, backlog: 16, idleMs: 60_000 };
const EBADF = 9;

describe.if(process.platform === "linux")("LinuxSockets", () => {
  test.each([
    ["::", "::"],
    ["::1", "::1"],
    ["0.0.0.0", "0.0.0.0"],
    ["127.0.0.1", "127.0.0.1"],
    ["::ffff:127.0.0.1", "127.0.0.1"],
  ])("listen() binds %s", (hostname, address) => {
    const sockets = new LinuxSockets();
    const listener = sockets.listen({ ...LISTENING, hostname });
    expect(sockets.localAddress(listener)).toBe(address);
    expect(sockets.localPort(listener)).toBeGreaterThan(0);
    sockets.close(listener);
  });

  test("listen() throws with the system's code", () => {
    const sockets = new LinuxSockets();
    const listener = sockets.listen({ ...LISTENING, hostname: "127.0.0.1" });
    const port = sockets.localPort(listener);
    const codeOf = (hostname: string, at: number): unknown => {
      try {
        return sockets.listen({ ...LISTENING, hostname, port: at });
      } catch (error) {
        return error;
      }
    };
    expect(codeOf("127.0.0.1", port)).toMatchObject({ code: "EADDRINUSE" });
    expect(codeOf("192.0.2.1", 0)).toMatchObject({ code: "EADDRNOTAVAIL" });
    sockets.close(listener);
  });

  test("send() and receive() return lengths, FIN as 0, and errors as negative numbers", () => {
    const sockets = new LinuxSockets();
    const [one, other] = sockets.createPair();
    const bytes = new Uint8Array(new ArrayBuffer(1 << 20));
    const address = addressOf(bytes);
    expect(sockets.receive(one, address, 10)).toBe(-EAGAIN);
    expect(sockets.send(other, address, 5)).toBe(5);
    expect(sockets.receive(one, address, 10)).toBe(5);
    while (sockets.send(other, address, bytes.length) > 0);
    expect(sockets.send(other, address, 1)).toBe(-EAGAIN);
    sockets.finish(one);
    expect(sockets.receive(other, address, 10)).toBe(0);
    sockets.close(one);
    sockets.close(other);
    expect(sockets.receive(other, address, 10)).toBe(-EBADF);
  });

  test("monotonicMs() goes on, by the same clock in every instance", () => {
    const [first, second] = [new LinuxSockets(), new LinuxSockets()];
    const readings = Array.from({ length: 100 }, (_, index) => (index % 2 ? first : second).monotonicMs());
    expect(readings).toEqual(readings.toSorted((one, other) => one - other));
  });
});
