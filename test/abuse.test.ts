/**
 * Bad input and rude peers at the doors of a whole `start`: all of it counted and bounded, and others notice nothing.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { TsInspector } from "#common/formats/fixtures/mpegts-reader.ts";
import { getText, isOk, metric, paint, rawAnswer, Spillway, statusOf, waitFor } from "./harness.ts";

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
function garbage(length: number, seed = 0x2545f491): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
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

test("requests that are no HTTP, or far too long, are refused by every node alike", async () => {
  await using spillway = new Spillway([], 1);
  await spillway.ready();
  const { server, origin, edges } = spillway.ports;
  const requests = [
    `GET /healthz?${"a".repeat(1024 * 1024)} HTTP/1.1\r\nHost: a\r\n\r\n`,
    "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
  ];
  for (const port of [server, origin, ...edges]) {
    const answers = await Promise.all(requests.map((request) => rawAnswer(port, request)));
    expect(answers.map(statusOf)).toEqual([431, 400, 400]);
    expect(await isOk(`http://127.0.0.1:${port}/readyz`)).toBe(true);
  }
});

/** A viewer of `stream.ts` that reads as fast as it comes and checks every packet. */
class Viewer {
  readonly inspector = new TsInspector();
  readonly #abort = new AbortController();
  readonly #reading: Promise<void>;

  constructor(url: string) {
    this.#reading = this.#read(url);
  }

  async #read(url: string): Promise<void> {
    const response = await fetch(url, { signal: this.#abort.signal });
    if (!response.ok || response.body === null) throw new Error(`${url} answered ${response.status}`);
    for await (const chunk of response.body) this.inspector.push(chunk);
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#reading.catch((error: unknown) => {
      if (!this.#abort.signal.aborted) throw error;
    });
  }
}

test("a viewer of stream.ts that never reads loses pictures, and the others lose nothing", async () => {
  // The queue of a viewer holds two groups of pictures and the sockets some MiB more: this many bits fill it soon.
  await using spillway = new Spillway(["--rendition=320x180@20000"], 1);
  await spillway.ready();
  const path = "/live/canvas/stream.ts";
  const painter = await paintNoise(spillway.ports.pixelflut);
  const viewer = new Viewer(`${spillway.edge()}${path}`);
  const deaf = await Bun.connect({
    hostname: "127.0.0.1",
    port: spillway.ports.edges[0] ?? 0,
    socket: { data() {}, open: (socket) => void socket.pause() },
  });
  deaf.write(`GET ${path} HTTP/1.1\r\nHost: edge\r\n\r\n`);
  const lost = async (): Promise<number> => {
    const page = await getText(`${spillway.edge()}/metrics`);
    return (
      metric(page, "spillway_edge_relay_gops_lost_total") +
      metric(page, "spillway_edge_relay_viewers_dropped_total")
    );
  };
  try {
    await waitFor("the deaf viewer to lose pictures", async () => (await lost()) > 0);
    const { accessUnits } = viewer.inspector.counts;
    await waitFor("the other one to go on", () => viewer.inspector.counts.accessUnits > accessUnits + 30);
    expect(viewer.inspector.counts).toMatchObject({
      continuityErrors: 0,
      discontinuities: 0,
      syncLosses: 0,
      transportErrors: 0,
      tableErrors: 0,
    });
    expect(await isOk(`${spillway.edge()}/readyz`)).toBe(true);
  } finally {
    deaf.terminate();
    painter.terminate();
    await viewer.close();
  }
}, 60_000);

/** A player that paints the canvas over and over, each time with another noise, as fast as the server takes it. */
function paintNoise(port: number): Promise<Bun.Socket> {
  const pictures = Array.from({ length: 8 }, (_, index) => noise(index));
  let painted = 0;
  let rest: Uint8Array = new Uint8Array();
  const paintOn = (socket: Bun.Socket): void => {
    do {
      if (rest.length === 0) rest = pictures[painted++ % pictures.length] ?? rest;
      rest = rest.subarray(Math.max(0, socket.write(rest)));
    } while (rest.length === 0);
  };
  return Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: { data() {}, open: paintOn, drain: paintOn },
  });
}

/** One PXMULTI that fills the canvas of 320x180 with a noise of its own. */
function noise(index: number): Uint8Array {
  const head = new TextEncoder().encode("PXMULTI");
  const bytes = new Uint8Array(head.length + 8 + 320 * 180 * 4);
  bytes.set(head);
  new DataView(bytes.buffer).setUint32(head.length + 4, 320 * 180, true);
  const pixels = garbage(320 * 180 * 4, 0x2545f491 + index);
  for (let at = 3; at < pixels.length; at += 4) pixels[at] = 0xff;
  bytes.set(pixels, head.length + 8);
  return bytes;
}
