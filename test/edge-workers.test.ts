/**
 * An edge of several processes: what its origin sees of it, what its viewers share, and what is lost when one of the
 * processes is killed.
 */
import { afterEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { createSelfSigned } from "#common/formats/fixtures/self-signed.ts";
import { TsInspector } from "#common/formats/fixtures/mpegts-reader.ts";
import { TASK_VARIABLE } from "#common/supervised-child.ts";
import { decodeWorkerTask } from "../edge/worker-messages.ts";
import { FakeLiveOrigin } from "./fake-live-origin.ts";
import { freePorts } from "../bench/free-ports.ts";
import {
  childrenOf,
  descendantsOf,
  environmentOf,
  flags,
  getText,
  isOk,
  isRunning,
  metric,
  nodeName,
  Program,
  Spillway,
  statusOf,
  TemporaryFolder,
  waitFor,
} from "./harness.ts";

const WORKERS = 3;
const PLAYLIST = "/live/canvas/720p/index.m3u8";
const MEDIA = "/live/canvas/720p/aabbccdd-100.m4s";
const REQUESTS = 'spillway_edge_requests_total{result="hit"}';

/** An edge with workers in front of an origin of its own. */
class Edge implements AsyncDisposable {
  readonly origin = new FakeLiveOrigin();
  readonly port = freePorts(1)[0] ?? 0;
  readonly url = `http://127.0.0.1:${this.port}`;
  readonly program: Program;

  constructor(args: readonly string[] = []) {
    const settings = { "edge-port": this.port, "edge-workers": WORKERS, upstream: this.origin.url };
    this.program = new Program(["edge", ...flags(settings), ...args]);
  }

  static async open(args: readonly string[] = []): Promise<Edge> {
    const edge = new Edge(args);
    await waitFor("the edge to be ready", () => isOk(`${edge.url}/readyz`));
    await waitFor("its lease", () => edge.origin.load?.state === "ready");
    await waitFor("its workers", () => edge.workers.length === WORKERS);
    return edge;
  }

  get workers(): readonly number[] {
    return childrenOf(this.program.process.pid);
  }

  worker(number: number): number | undefined {
    return this.workers.find((pid) => nodeName(pid) === `edge worker ${number}`);
  }

  metrics(): Promise<string> {
    return getText(`${this.url}/metrics`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    await this.origin[Symbol.asyncDispose]();
  }
}

/** Asks on a connection of its own, which the system gives to any of the workers. */
function ask(url: string, init: BunFetchRequestInit = {}): Promise<Response> {
  return fetch(url, { ...init, keepalive: false, headers: { connection: "close", ...init.headers } });
}

/** A client of an endless response. */
class Endless {
  readonly inspector = new TsInspector();
  bytes = 0;
  isOver = false;
  readonly #abort = new AbortController();

  static async open(url: string): Promise<Endless> {
    const viewer = new Endless();
    const { body } = await fetch(url, { signal: viewer.#abort.signal, keepalive: false });
    if (body === null) throw new Error(`${url} has no body`);
    void viewer.#read(body);
    return viewer;
  }

  close(): void {
    this.#abort.abort();
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    try {
      for await (const chunk of body) {
        this.bytes += chunk.length;
        this.inspector.push(chunk);
      }
    } catch {
      // Broken off or closed: either way it is over.
    }
    this.isOver = true;
  }
}

/** A connection of HTTP/1.1 that has had an answer, and stays open where that is no refusal. */
async function openConnection(
  port: number,
): Promise<{ readonly socket: Bun.Socket; readonly status: number }> {
  const head = Promise.withResolvers<string>();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: { data: (_socket, bytes) => head.resolve(bytes.toString()) },
  });
  socket.write(`HEAD ${PLAYLIST} HTTP/1.1\r\nHost: edge\r\n\r\n`);
  return { socket, status: statusOf(await head.promise) };
}

function many<T>(count: number, make: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => make(index)));
}

const opened: Endless[] = [];
afterEach(() => opened.splice(0).forEach((viewer) => viewer.close()));

async function openMany(count: number, url: string): Promise<Endless[]> {
  const viewers = await many(count, () => Endless.open(url));
  opened.push(...viewers);
  return viewers;
}

test("three workers are one edge to the origin: one lease, each thing asked for once, one count of viewers", async () => {
  await using edge = await Edge.open();
  const { origin } = edge;
  for (let round = 0; round < 10; round++) {
    const target = `${edge.url}${PLAYLIST}?${origin.next}`;
    // The address is the same for all: the browsers tell them apart.
    const answers = await many(30, (index) => ask(target, { headers: { "user-agent": `player ${index}` } }));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    await many(30, async () => expect(await (await ask(`${edge.url}${MEDIA}`)).text()).toBe(MEDIA));
  }
  const repeated = [...origin.hits].filter(([path, hits]) => hits > 1 && path.includes("aabbccdd"));
  expect(repeated).toEqual([]);
  const blocking = [...origin.hits].filter(([path]) => path.includes("_HLS_msn"));
  expect(blocking.filter(([, hits]) => hits > 1)).toEqual([]);
  expect([origin.leases, origin.leasesEver]).toEqual([1, 1]);
  await waitFor("the lease to tell of the viewers", () => origin.load?.viewers === 30);
  const health: unknown = JSON.parse(await getText(`${edge.url}/health`));
  expect(health).toMatchObject({ status: "ok", viewer: 30 });
  const page = await edge.metrics();
  const answered = ["hit", "miss", "collapsed"].map((result) =>
    metric(page, `spillway_edge_requests_total{result="${result}"}`),
  );
  expect(answered.reduce((sum, count) => sum + count, 0)).toBe(600);
  expect(metric(page, "spillway_edge_workers")).toBe(WORKERS);
  expect(metric(page, "spillway_edge_leases")).toBe(1);
});

test("stream.ts and events reach viewers of every worker by one upstream connection each", async () => {
  await using edge = await Edge.open();
  const viewers = await openMany(24, `${edge.url}/live/canvas/stream.ts`);
  const listeners = await openMany(24, `${edge.url}/live/canvas/events`);
  await waitFor("everybody to get something", () =>
    viewers.every(({ inspector }) => inspector.counts.packets >= 200),
  );
  await waitFor("all events", () => listeners.every(({ bytes }) => bytes > 100));
  expect(viewers.map(({ inspector }) => inspector.counts.continuityErrors)).toEqual(viewers.map(() => 0));
  expect(edge.origin.endless).toBe(2);
  await waitFor("both counts", async () => {
    const page = await edge.metrics();
    const count = (kind: string): number => metric(page, `spillway_edge_viewers{kind="${kind}"}`);
    return count("ts") === 24 && count("events") === 24;
  });
  expect(edge.origin.load?.viewers).toBe(24);
});

test("kill -9 of a worker ends its connections alone; it comes back, and no count goes back", async () => {
  await using edge = await Edge.open();
  // Each worker asks the hub once, and then has it.
  for (let round = 0; round < 2; round++)
    await many(60, async () => (await ask(`${edge.url}${MEDIA}`)).text());
  const before = metric(await edge.metrics(), REQUESTS);
  expect(before).toBeGreaterThan(50);
  const viewers = await openMany(24, `${edge.url}/live/canvas/stream.ts`);
  await waitFor("everybody to get something", () => viewers.every(({ bytes }) => bytes > 0));
  const killed = edge.worker(1) ?? 0;
  process.kill(killed, "SIGKILL");
  await waitFor("its viewers to be cut off", () => viewers.some(({ isOver }) => isOver));
  const failures: unknown[] = [];
  const rest = viewers.filter(({ isOver }) => !isOver);
  await waitFor("another worker in its place", async () => {
    // Whoever connects now gets to one that lives.
    await many(6, async () => (await ask(`${edge.url}${PLAYLIST}`)).text()).catch((error) =>
      failures.push(error),
    );
    const next = edge.worker(1);
    return next !== undefined && next !== killed;
  });
  expect(failures).toEqual([]);
  const bytes = rest.map((viewer) => viewer.bytes);
  await waitFor("the others to go on", () =>
    rest.every((viewer, index) => viewer.bytes > (bytes[index] ?? 0)),
  );
  expect(rest.length).toBeGreaterThan(5);
  expect(rest.filter(({ isOver }) => isOver)).toEqual([]);
  await waitFor(
    "three workers",
    async () => metric(await edge.metrics(), "spillway_edge_workers") === WORKERS,
  );
  const page = await edge.metrics();
  expect(metric(page, REQUESTS)).toBeGreaterThanOrEqual(before);
  expect(metric(page, "spillway_edge_worker_ends_total")).toBe(1);
  expect([edge.origin.leasesEver, edge.origin.endless]).toEqual([1, 1]);
  expect(edge.program.errors).toMatch(/edge worker 1 ended \(signal (SIGKILL|9)\)/);
});

test("a stream that is switched off at one worker is off at all, and at one that is replaced", async () => {
  const token = "for-this-test-only";
  await using edge = await Edge.open([`--admin-token=${token}`]);
  const statuses = async (): Promise<readonly number[]> => {
    const answers = await many(30, () => ask(`${edge.url}${MEDIA}`));
    return [...new Set(answers.map(({ status }) => status))];
  };
  const control = async (order: string): Promise<number> => {
    const url = `${edge.url}/api/v1/streams/canvas/control?${order}`;
    return (await ask(url, { method: "POST", headers: { authorization: `Bearer ${token}` } })).status;
  };
  expect(await statuses()).toEqual([200]);
  const [viewer] = await openMany(1, `${edge.url}/live/canvas/stream.ts`);
  expect(await control("offline")).toBe(202);
  await waitFor("every worker to refuse", async () => String(await statuses()) === "503");
  await waitFor("the viewer to be let go", () => viewer?.isOver);
  const killed = edge.worker(2) ?? 0;
  process.kill(killed, "SIGKILL");
  await waitFor(
    "another worker",
    async () => metric(await edge.metrics(), "spillway_edge_workers") === WORKERS,
  );
  expect(await statuses()).toEqual([503]);
  expect(await control("online")).toBe(202);
  await waitFor("every worker to serve", async () => String(await statuses()) === "200");
});

test("kill -9 of the process that was started ends the workers, and the next one has the port", async () => {
  const edge = await Edge.open();
  const { workers } = edge;
  edge.program.process.kill("SIGKILL");
  await waitFor("the workers to end", () => workers.every((pid) => !isRunning(pid)));
  const again = new Program([
    "edge",
    ...flags({ "edge-port": edge.port, "edge-workers": 2, upstream: edge.origin.url }),
  ]);
  await waitFor("the next edge", () => isOk(`${edge.url}/readyz`));
  await again[Symbol.asyncDispose]();
  await edge.origin[Symbol.asyncDispose]();
});

test("SIGTERM gives the lease up, ends what is under way, and leaves nothing behind", async () => {
  await using edge = await Edge.open(["--drain-seconds=2"]);
  const { origin } = edge;
  const socket = await waitFor("the socket's name", () => socketOf(edge.worker(1) ?? 0));
  expect(existsSync(socket)).toBe(true);
  await many(10, async () => (await ask(`${edge.url}${PLAYLIST}`)).text());
  const viewers = await openMany(4, `${edge.url}/live/canvas/stream.ts`);
  await waitFor("all to watch", () => viewers.every(({ bytes }) => bytes > 0));
  const gate = Promise.withResolvers<void>();
  origin.held = { part: "aabbccdd-101", until: gate.promise };
  const answers = many(10, () => ask(`${edge.url}/live/canvas/720p/aabbccdd-101.m4s`));
  await waitFor("the request to reach the origin", () => origin.count("aabbccdd-101.m4s") === 1);
  await waitFor("all ten to wait", async () => metric(await edge.metrics(), "spillway_edge_fills") === 1);
  edge.program.process.kill("SIGTERM");
  await waitFor("the edge to say so", () => origin.load?.state === "draining");
  gate.resolve();
  expect((await answers).map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));
  expect(await edge.program.ended()).toBe(0);
  expect(origin.leases).toBe(0);
  expect(existsSync(socket)).toBe(false);
  expect(edge.program.errors).not.toContain("restarting");
  // Nor does anything sound like trouble that is none.
  expect(edge.program.errors).not.toContain("lost its upstream");
});

function socketOf(pid: number): string | undefined {
  const task = environmentOf(pid, TASK_VARIABLE);
  return task === undefined ? undefined : decodeWorkerTask(task).socketPath;
}

test("start gives its edges workers and its certificate, and all of it ends with it", async () => {
  using folder = new TemporaryFolder();
  const files = { "tls-cert": `${folder.path}/cert.pem`, "tls-key": `${folder.path}/key.pem` };
  const certificate = createSelfSigned("localhost");
  await Bun.write(files["tls-cert"], certificate.cert);
  await Bun.write(files["tls-key"], certificate.key);
  const spillway = new Spillway([...flags(files), "--edge-workers=2"], 1);
  let processes: number[] = [];
  try {
    await spillway.ready();
    processes = descendantsOf(spillway.program.process.pid);
    expect(processes.map(nodeName).toSorted()).toEqual([
      "edge 1",
      "edge 1 worker 1",
      "edge 1 worker 2",
      "origin",
      "server",
    ]);
    const page = await getText(`${spillway.edge()}/live/canvas/index.m3u8`);
    expect(page).toContain("\n180p/index.m3u8");
    await waitFor("the lease", async () => {
      const edges: unknown = JSON.parse(await getText(`${spillway.origin}/api/v1/edges`));
      return Array.isArray(edges) && edges.length === 1;
    });
  } finally {
    await spillway[Symbol.asyncDispose]();
  }
  expect(processes.filter(isRunning)).toEqual([]);
});

test.each([
  [["--edge-workers=65"], 2, /--edge-workers.*1 to 64/],
  [["--edge-workers=3", "--cache-mib=63"], 2, /--cache-mib 63 .*--edge-workers 3: expected at least 64/],
])("%j is refused at start", async (args, status, message) => {
  const program = new Program(["edge", "--edge-port=0", ...args]);
  expect(await program.ended()).toBe(status);
  expect(program.errors).toMatch(message);
});

test("workers do not share the port with an edge that has it already", async () => {
  await using edge = await Edge.open();
  const second = new Program(["edge", ...flags({ "edge-port": edge.port, "edge-workers": 2 })]);
  expect(await second.ended()).toBe(1);
  expect(second.errors).toContain(`Cannot bind port ${edge.port} on :: (--edge-port): address in use`);
  expect(await isOk(`${edge.url}/readyz`)).toBe(true);
});

test.skipIf(process.platform !== "linux")(
  "connections of one address count at all workers together: not even all of them take more than the limit",
  async () => {
    const limit = 2 * WORKERS;
    await using edge = await Edge.open(["--viewer-connections-per-prefix", String(limit)]);
    const port = Number(new URL(edge.url).port);
    // Fewer than would fill every worker, if each counted by itself.
    const first = await many(2 * limit, () => openConnection(port));
    expect(first.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(limit);
    // Each asks the workers for their figures, and tells them those of the others; from another address, as far as limits go.
    for (let times = 0; times < 3; times++) await getText(`http://[::1]:${port}/metrics`);
    const second = await many(2 * limit, () => openConnection(port));
    expect(second.map(({ status }) => status)).toEqual(second.map(() => 503));
    for (const { socket } of [...first, ...second]) socket.end();
    await waitFor("places for others", async () => (await ask(edge.url + PLAYLIST)).ok);
  },
);

test("too few open files are told of once, not by each worker", async () => {
  await using origin = new FakeLiveOrigin();
  const [port = 0] = freePorts(1);
  const settings = { "edge-port": port, "edge-workers": WORKERS, upstream: origin.url, "drain-seconds": 0 };
  const command = [process.execPath, `${import.meta.dir}/../main.ts`, "edge", ...flags(settings)];
  const edge = Bun.spawn(["sh", "-c", 'ulimit -n 600; exec "$0" "$@"', ...command], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const log = new Response(edge.stderr).text();
  await waitFor("the edge to be ready", () => isOk(`http://127.0.0.1:${port}/readyz`));
  edge.kill("SIGTERM");
  await edge.exited;
  expect((await log).match(/LimitNOFILE/g)).toHaveLength(1);
});
