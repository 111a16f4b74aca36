/** Each load script at a small size against servers of this folder's own. */
import { afterEach, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "#common/clock.ts";
import { FakeHlsOrigin, type FakeOriginFaults } from "./fake-hls-origin.ts";
import { FakePixelflut } from "./fake-pixelflut.ts";
import { runBench } from "./main.ts";

const closers: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** Runs a load script with flags by name and returns its JSON results by name. */
async function bench(
  tool: string,
  flags: Readonly<Record<string, string | number | true>>,
  signal = new AbortController().signal,
) {
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const file = Bun.file(join(tmpdir(), `spillway-bench-${process.pid}-${crypto.randomUUID()}.json`));
  closers.push(() => rm(file.name ?? "", { force: true }));
  let table = "";
  await runBench([tool, ...args, `--json=${file.name}`], {
    signal,
    clock: systemClock,
    output: { progress() {}, table: (text) => void (table += text) },
  });
  const { results } = await file.json();
  const values: Record<string, unknown> = Object.fromEntries(
    Object.entries<{ value: unknown }>(results).map(([name, { value }]) => [name, value]),
  );
  return { values, table };
}

function pixelflut(): FakePixelflut {
  const server = new FakePixelflut(40, 30);
  closers.push(() => server.close());
  return server;
}

function origin(faults: FakeOriginFaults = {}): FakeHlsOrigin {
  const server = new FakeHlsOrigin(40, faults);
  closers.push(() => server.close());
  return server;
}

describe("bench pixels", () => {
  for (const [format, order, threads] of [
    ["text", "ordered", 1],
    ["text8", "shuffled", 1],
    ["pb", "shuffled", 2],
  ] as const) {
    test(`counts to the byte what arrives (${format}, ${order}, ${threads} threads)`, async () => {
      const server = pixelflut();
      const { values } = await bench("pixels", {
        port: server.port,
        seconds: 0.2,
        connections: 3,
        format,
        order,
        threads,
      });
      // Besides the flood there were one SIZE and two STATS.
      expect(server.bytes).toBe(Number(values["bytes"]) + 5 + 12);
      expect(server.pixels).toBe(Number(values["pixels"]));
      expect(values).toMatchObject({
        canvas: "40 x 30",
        confirmed: 3,
        failures: "none",
        serverPixels: server.pixels,
      });
      expect(Number(values["pixels"])).toBeGreaterThan(40 * 30);
      expect(server.cutBytes).toBe(0);
    });
  }

  test("reads the canvas back and finds the pixels that differ", async () => {
    const server = pixelflut();
    const flags = { port: server.port, seconds: 0.1, verify: true } as const;
    const right = await bench("pixels", flags);
    expect(right.values).toMatchObject({ verifiedPixels: 1_200, unansweredPixels: 0, differingPixels: 0 });
    server.forget(41);
    const wrong = await bench("pixels", flags);
    expect(wrong.values).toMatchObject({ verifiedPixels: 1_200, differingPixels: 1 });
    expect(wrong.values["differingExample"]).toStartWith("1,1 is 000000, not ");
  });

  test("ends early when it is interrupted and still prints what it sent", async () => {
    const server = pixelflut();
    const controller = new AbortController();
    const running = bench("pixels", { port: server.port, seconds: 60 }, controller.signal);
    while (server.pixels === 0) await Bun.sleep(5);
    controller.abort();
    const { table, values } = await running;
    expect(table).toStartWith("bench pixels (ended early)");
    expect(server.pixels).toBe(Number(values["pixels"]));
  });
});

describe("Ctrl-C prints what was measured so far", () => {
  for (const [tool, path] of [
    ["viewers", "index.m3u8"],
    ["relay", "stream.ts"],
  ] as const) {
    const flags = { viewers: 40, seconds: 60, "ramp-seconds": 1 };

    test(`of bench ${tool}, while viewers join`, async () => {
      const server = origin();
      const controller = new AbortController();
      const running = bench(tool, { ...flags, url: `${server.url}/${path}` }, controller.signal);
      while (server.requests < 5) await Bun.sleep(5);
      controller.abort();
      const { table, values } = await running;
      expect(table).toStartWith(`bench ${tool} (ended early)`);
      expect(Number(values["bytes"])).toBeGreaterThan(0);
      expect(Number(values["viewers"])).toBeLessThan(40);
    });

    test(`of bench ${tool}, though nothing has come yet`, async () => {
      const { table, values } = await bench(
        tool,
        { ...flags, url: `${origin().url}/${path}` },
        AbortSignal.abort(),
      );
      expect(table).toStartWith(`bench ${tool} (ended early)`);
      expect(values).toMatchObject({ viewers: 0, bytes: 0 });
    });
  }
});

describe("bench viewers", () => {
  test("plays low-latency and plain HLS side by side without a stall", async () => {
    const { values } = await bench("viewers", {
      url: `${origin().url}/index.m3u8`,
      viewers: 6,
      mode: "mixed",
      seconds: 0.6,
      "ramp-seconds": 0,
    });
    expect(values).toMatchObject({ begun: 6, errors: "none", protocolErrors: "none", rejoins: 0 });
    expect(Number(values["playlistWakeMax"])).toBeLessThan(500);
    expect(String(values["requestsByKind"])).toContain("6 multivariant");
  });

  for (const [name, faults, error] of [
    [
      "a held reload that is answered early",
      { answersEarly: true },
      "held playlist answered without what was asked",
    ],
    ["listed media that is missing", { losesMedia: true }, "404 for a listed init"],
  ] as const) {
    test(`flags ${name}`, async () => {
      const { values } = await bench("viewers", {
        url: `${origin(faults).url}/media.m3u8`,
        viewers: 2,
        seconds: 0.3,
        "ramp-seconds": 0,
      });
      expect(String(values["protocolErrors"])).toContain(error);
    });
  }

  test("says that there is nothing to play", async () => {
    const server = origin();
    await server.close();
    const run = bench("viewers", {
      url: `${server.url}/index.m3u8`,
      seconds: 0.2,
      viewers: 2,
      "ramp-seconds": 0,
    });
    await expect(run).rejects.toThrow("Cannot play http://127.0.0.1:");
  });
});

describe("bench relay", () => {
  test("reads many streams and finds them good", async () => {
    const { values } = await bench("relay", {
      url: `${origin().url}/stream.ts`,
      viewers: 5,
      seconds: 0.4,
      "ramp-seconds": 0,
    });
    expect(values).toMatchObject({
      viewersWithData: 5,
      continuityErrors: 0,
      syncErrors: 0,
      withoutTables: 0,
      withoutRandomAccess: 0,
      disconnects: 0,
      errors: "none",
    });
    expect(Number(values["packets"])).toBeGreaterThan(100);
  });

  test("counts lost packets", async () => {
    const url = `${origin({ losesPackets: true }).url}/stream.ts`;
    const { values } = await bench("relay", { url, viewers: 1, seconds: 0.4, "ramp-seconds": 0 });
    expect(Number(values["continuityErrors"])).toBeGreaterThan(3);
  });
});
