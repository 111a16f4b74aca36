/**
 * Bad input and rude peers at the doors of a whole `start`: all of it counted and bounded, and others notice nothing.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { getText, isOk, metric, paint, Spillway, waitFor } from "./harness.ts";

const LONG_LINE_BYTES = 64 * 1024 * 1024;
/** What the server may grow by while it is fed {@link LONG_LINE_BYTES} without a line end, in kibibytes. */
const GROWTH_KIB_MAX = 48 * 1024;

function residentKib(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
}

async function serverMetric(spillway: Spillway, series: string): Promise<number> {
  return metric(await getText(`${spillway.server}/metrics`), series);
}

/** Connects, sends what `chunks` gives as fast as it is taken, and ends. */
async function flood(port: number, chunks: readonly Uint8Array[]): Promise<void> {
  const done = Promise.withResolvers<void>();
  let index = 0;
  let rest = chunks[0] ?? new Uint8Array();
  const send = (socket: Bun.Socket): void => {
    for (;;) {
      const taken = socket.write(rest);
      if (taken < rest.length) {
        rest = rest.subarray(Math.max(0, taken));
        return;
      }
      const next = chunks[++index];
      if (next === undefined) {
        socket.end();
        return;
      }
      rest = next;
    }
  };
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: { open: send, drain: send, data() {}, close: () => done.resolve(), error: () => done.resolve() },
  });
  await done.promise;
}

/** Seeded noise: the same garbage in every run. */
function garbage(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = 0x2545f491;
  for (let index = 0; index < length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[index] = state;
  }
  return bytes;
}

test("garbage, endless lines and vanishing players cost bounded memory, and others paint on", async () => {
  await using spillway = new Spillway([], 1);
  await spillway.ready();
  const { pixelflut } = spillway.ports;
  const pid = await waitFor("the server", () => spillway.childPid("server"));
  await flood(pixelflut, [garbage(1024 * 1024)]);
  const beforeKib = residentKib(pid);

  const block = new Uint8Array(1024 * 1024).fill(0x41);
  await flood(
    pixelflut,
    Array.from({ length: LONG_LINE_BYTES / block.length }, () => block),
  );
  await Promise.all(
    Array.from({ length: 200 }, async () => {
      const socket = await Bun.connect({ hostname: "127.0.0.1", port: pixelflut, socket: { data() {} } });
      socket.write("PX 1 1 ff0000\nPX 2 2 00");
      socket.terminate();
    }),
  );
  expect(await paint(pixelflut, "PX 7 7 123456\nPX 7 7\n")).toBe("PX 7 7 123456\n");
  await waitFor(
    "the vanished to be gone",
    async () => (await serverMetric(spillway, "spillway_server_connections")) === 0,
  );
  expect(await serverMetric(spillway, "spillway_server_long_lines_total")).toBeGreaterThanOrEqual(1);
  expect(await serverMetric(spillway, "spillway_server_received_bytes_total")).toBeGreaterThan(
    LONG_LINE_BYTES,
  );
  expect(residentKib(pid) - beforeKib).toBeLessThan(GROWTH_KIB_MAX);
  expect(spillway.childPid("server")).toBe(pid);
});

test("a player that asks and never reads is not answered without bound, and others are", async () => {
  await using spillway = new Spillway([], 1);
  await spillway.ready();
  const { pixelflut } = spillway.ports;
  const ask = new TextEncoder().encode("PX 1 1\n".repeat(20_000));
  const deaf = await Bun.connect({
    hostname: "127.0.0.1",
    port: pixelflut,
    socket: { data() {}, open: (s) => void s.pause() },
  });
  try {
    await waitFor("the server to stop reading", async () => {
      deaf.write(ask);
      return (await serverMetric(spillway, "spillway_server_stalls_total")) > 0;
    });
    expect(await paint(pixelflut, "PX 3 3 abcdef\nPX 3 3\n")).toBe("PX 3 3 abcdef\n");
  } finally {
    deaf.terminate();
  }
});

test("requests that no viewer makes get a status, and the edge serves on", async () => {
  await using spillway = new Spillway([], 1);
  await spillway.ready();
  const statuses = async (path: string): Promise<number> => (await fetch(`${spillway.edge()}${path}`)).status;
  expect(await statuses("/live/canvas/180p/index.m3u8?_HLS_part=1")).toBe(400);
  expect(await statuses("/live/canvas/180p/index.m3u8?_HLS_msn=999999999999")).toBe(400);
  expect(await statuses("/live/canvas/180p/index.m3u8?_HLS_msn=-1")).toBe(400);
  expect(await statuses("/live/canvas/180p/00000000-1.m4s")).toBe(404);
  expect(await statuses("/live/absent/index.m3u8")).toBe(404);
  expect(await statuses("/live/..%2f..%2fetc/passwd")).toBe(404);
  expect(await statuses("/package.json")).toBe(404);
  expect((await fetch(`${spillway.edge()}/live/canvas/index.m3u8`, { method: "DELETE" })).status).toBe(405);
  expect(await isOk(`${spillway.edge()}/live/canvas/180p/index.m3u8`)).toBe(true);
  expect(await isOk(`${spillway.edge()}/readyz`)).toBe(true);
});

test("a viewer of stream.ts that never reads is let go, and the others lose nothing", async () => {
  await using spillway = new Spillway([], 1);
  await spillway.ready();
  const url = `${spillway.edge()}/live/canvas/stream.ts`;
  const deaf = new AbortController();
  const stalled = await fetch(url, { signal: deaf.signal });
  const reader = (await fetch(url)).body?.getReader();
  if (reader === undefined) throw new Error("no body");
  let received = 0;
  while (received < 20 * 188) received += (await reader.read()).value?.length ?? 0;
  expect(stalled.status).toBe(200);
  expect(await isOk(`${spillway.edge()}/live/canvas/180p/index.m3u8`)).toBe(true);
  deaf.abort();
  await reader.cancel();
});
