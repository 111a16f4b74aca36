/** Windows of a comparison, with servers that answer and with one that does not. */
import { afterEach, describe, expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { runWindow, type WindowPlan } from "./compare-window.ts";
import { FakePixelflut } from "./fake-pixelflut.ts";
import { buildPatterns } from "./pixel-patterns.ts";

const patterns = buildPatterns({
  width: 40,
  height: 30,
  format: "text",
  order: "ordered",
  image: "noise",
  seed: 1,
  pixels: 0,
});
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function measure(
  server: { readonly port: number },
  change: Partial<WindowPlan> = {},
  cpuSeconds: () => number | undefined = () => undefined,
) {
  return runWindow(
    { target: { host: "127.0.0.1", port: server.port }, cpuSeconds },
    {
      patterns,
      connections: 2,
      threads: 1,
      sockets: "direct",
      seconds: 0.1,
      finishMsMax: 10_000,
      clock: systemClock,
      signal: new AbortController().signal,
      ...change,
    },
  );
}

describe("runWindow()", () => {
  test("relates what was sent and spent until the last answer", async () => {
    const server = new FakePixelflut(40, 30);
    closers.push(() => server.close());
    let seconds = 5;
    const result = await measure(server, {}, () => (seconds += 1));
    expect(result).toMatchObject({ isConfirmed: true, failures: "none" });
    // Each of the two readings that count is at least a second after the one before.
    expect(Number(result.serverSecondsPerGigabyte) * (server.bytes / 1e9)).toBeGreaterThan(0.99);
    expect(result.bitsPerSecond / 8 / Number(result.pixelsPerSecond)).toBeCloseTo(
      server.bytes / server.pixels,
      6,
    );
    expect(Number(result.clientSecondsPerGigabyte)).toBeGreaterThan(0);
  });

  test("does not wait for answers that never come at the cost of the server", async () => {
    // The first connection is answered once its SIZE has come, the other never.
    let connections = 0;
    const server = Bun.listen<{ readonly isFirst: boolean }>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => void (socket.data = { isFirst: (connections += 1) === 1 }),
        data: (socket, chunk) =>
          void (socket.data.isFirst && chunk.includes("SIZE\n") && socket.write("SIZE 1 1\n")),
      },
    });
    closers.push(() => server.stop(true));
    const finishMsMax = 800;
    const startMs = performance.now();
    const result = await measure(server, { finishMsMax });
    expect(performance.now() - startMs).toBeGreaterThan(finishMsMax);
    expect(result).toMatchObject({ isConfirmed: false, failures: "1 no answer at the end" });
    expect(result.pixelsPerSecond).toBeUndefined();
    expect(result.serverSecondsPerGigabyte).toBeUndefined();
    expect(result.bitsPerSecond).toBeGreaterThan(0);
  });

  test("ends when all connections have failed", async () => {
    const server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { open: (socket) => socket.terminate(), data() {} },
    });
    closers.push(() => server.stop(true));
    const result = await measure(server, { seconds: 60 });
    expect(result.isConfirmed).toBe(false);
    expect(result.failures).toMatch(/^2 |^1 .*, 1 /);
  });
});
