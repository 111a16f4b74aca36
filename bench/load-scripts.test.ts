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
  flags: Readonly<Record<string, string | number | boolean>>,
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
  for (const [format, order, threads, sockets] of [
    ["text", "ordered", 1, "direct"],
    ["text8", "shuffled", 2, "direct"],
    ["pb", "shuffled", 2, "direct"],
    ["multi", "shuffled", 1, "direct"],
    ["offset", "ordered", 3, "direct"],
    ["text", "shuffled", 2, "bun"],
    ["offset", "shuffled", 1, "bun"],
  ] as const) {
    test(`counts to the byte what arrives (${format}, ${order}, ${threads} threads, ${sockets})`, async () => {
      const server = pixelflut();
      const { values } = await bench("pixels", {
        port: server.port,
        seconds: 0.1,
        connections: 3,
        format,
        order,
        threads,
        sockets,
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

  for (const sockets of ["direct", "bun"]) {
    test(`reads the answers to gets so that they do not stall (${sockets})`, async () => {
      const server = pixelflut();
      const flags = { port: server.port, seconds: 0.1, format: "get", sockets } as const;
      const { values } = await bench("pixels", flags);
      expect(values).toMatchObject({ confirmed: 1, pixels: 0, commands: server.gets });
      // Far more than buffers between the two could hold.
      expect(Number(values["answeredBytes"])).toBeGreaterThan(server.gets * "PX 0 0 000000\n".length);
    });
  }

  for (const [format, connections, order] of [
    ["text", 1, "ordered"],
    ["alpha", 1, "shuffled"],
    ["alpha", 3, "ordered"],
    ["gray", 2, "shuffled"],
    ["offset", 2, "shuffled"],
    ["multi", 2, "ordered"],
    ["mixed", 8, "ordered"],
  ] as const) {
    test(`reads the canvas back and finds the pixels that differ (${format})`, async () => {
      const server = pixelflut();
      // What was there before counts where colours are blended.
      server.canvas.fill(0x0a0b0c);
      const flags = {
        port: server.port,
        seconds: 0.15,
        verify: true,
        format,
        connections,
        order,
        image: "noise",
      };
      const right = await bench("pixels", flags);
      expect(right.values).toMatchObject({
        verifiedPixels: 1_200,
        unansweredPixels: 0,
        differingPixels: 0,
        confirmed: connections,
      });
      server.forget(41);
      const wrong = await bench("pixels", flags);
      expect(wrong.values).toMatchObject({ verifiedPixels: 1_200, differingPixels: 1 });
      expect(wrong.values["differingExample"]).toStartWith("1,1 is 000000, not ");
    });
  }

  test("paints no more than the pixels asked for", async () => {
    const server = pixelflut();
    const { values } = await bench("pixels", { port: server.port, seconds: 0.1, pixels: 50, verify: true });
    expect(values).toMatchObject({ verifiedPixels: 50, differingPixels: 0 });
    expect(server.canvas.subarray(50).every((colour) => colour === 0)).toBe(true);
  });

  for (const sockets of ["direct", "bun"]) {
    test(`says which connections a server closed (${sockets})`, async () => {
      const server = pixelflut();
      const running = bench("pixels", { port: server.port, seconds: 60, connections: 2, sockets });
      while (server.pixels === 0) await Bun.sleep(5);
      server.close();
      const { values } = await running;
      expect(values["confirmed"]).toBe(0);
      expect(String(values["failures"])).toMatch(/^2 (closed by the server|ECONNRESET|EPIPE)$|^1 .*, 1 /);
    });
  }

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

describe("bench compare", () => {
  const fake = `'${process.execPath}' '${join(import.meta.dir, "fake-pixelflut.ts")}' {port}`;

  test("measures servers in alternation and relates ours to each", async () => {
    const { values, table } = await bench("compare", {
      own: fake,
      server: `peer=${fake}`,
      loads: "text-ordered,multi",
      connections: "2",
      rounds: 2,
      seconds: 0.1,
      "warm-up-seconds": 0,
      pixels: 200,
    });
    const keys = ["text-ordered", "multi"].flatMap((load) =>
      ["ours", "peer"].map((server) => `${load}.2.${server}`),
    );
    for (const key of keys) {
      expect(Number(values[`${key}.throughput`])).toBeGreaterThan(0);
      expect(Number(values[`${key}.pixelRate`])).toBeGreaterThan(0);
      expect(String(values[`${key}.throughputs`]).split(" ").length).toBe(2);
    }
    expect(Object.keys(values).length).toBe(keys.length * 6);
    expect(table).toMatch(/\n {2}text-ordered +2 {2}ours( +[0-9.]+){4}\n +peer( +[0-9.]+){5}/);
    expect(table).not.toContain(" rounds ");
  });

  test("starts a server again that ends by itself, and says so", async () => {
    const dying = `${fake} & sleep 0.6; kill $!`;
    const { table } = await bench("compare", {
      own: fake,
      server: `dying=${dying}`,
      loads: "text-ordered",
      connections: 1,
      rounds: 3,
      seconds: 0.3,
      "warm-up-seconds": 0,
      pixels: 200,
    });
    expect(table).toContain("Servers that ended by themselves and were started again: ");
  });

  for (const [flags, message] of [
    [{ server: "peer=false {port}" }, "peer has ended"],
    [{ server: `ours=${fake}` }, "Two servers are called ours (--server)"],
  ] as const) {
    test(`refuses ${JSON.stringify(flags).slice(0, 30)}`, async () => {
      await expect(bench("compare", { own: fake, ...flags })).rejects.toThrow(message);
    });
  }
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

  test.if(process.platform === "linux")("serves a relay, and tells what each viewer got of it", async () => {
    const reserved = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
    const sourcePort = reserved.port ?? 0;
    await reserved.stop(true);
    const { values } = await bench("relay", {
      url: `http://127.0.0.1:${sourcePort}/live/canvas/stream.ts`,
      "source-port": sourcePort,
      viewers: 6,
      checked: 2,
      seconds: 3,
      "ramp-seconds": 0,
      pid: process.pid,
    });
    expect(values).toMatchObject({
      viewersWithData: 6,
      continuityErrors: 0,
      syncErrors: 0,
      withoutTables: 0,
      withoutRandomAccess: 0,
      disconnects: 0,
      errors: "none",
    });
    // A key frame may be a second away, and on a busy machine further.
    expect(Number(values["slowestShare"])).toBeGreaterThan(0.3);
    expect(Number(values["fastestShare"])).toBeLessThan(1.2);
    expect(Number(values["memory"])).toBeGreaterThan(10);
    expect(Number(values["serverCores"])).toBeGreaterThan(0);
  });

  test("counts lost packets", async () => {
    const url = `${origin({ losesPackets: true }).url}/stream.ts`;
    const { values } = await bench("relay", { url, viewers: 1, seconds: 0.4, "ramp-seconds": 0 });
    expect(Number(values["continuityErrors"])).toBeGreaterThan(3);
  });
});
