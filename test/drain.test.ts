/** An edge that gets SIGTERM: everybody is answered for the time that it says, and what follows is its end. */
import { afterAll, describe, expect, test } from "bun:test";
import { createSelfSigned } from "#common/formats/fixtures/self-signed.ts";
import { FakeLiveOrigin } from "./fake-live-origin.ts";
import { freePorts } from "../bench/free-ports.ts";
import { flags, isOk, Program, TemporaryFolder, waitFor } from "./harness.ts";

const DRAIN_SECONDS = 3;
const DRAIN_MS = DRAIN_SECONDS * 1_000;
/** A request begun this shortly before the end may not have arrived by then. */
const CROSSING_MS = 150;
const PLAYLIST = "/live/canvas/720p/index.m3u8";
const MEDIA = "/live/canvas/720p/aabbccdd-100.m4s";
const ANY_CERTIFICATE = { tls: { rejectUnauthorized: false } };

interface Outcome {
  readonly path: string;
  readonly beganMs: number;
  /** 0 where there was no answer. */
  readonly status: number;
}

/** Asks for one thing after the other until told that it is over. */
class Asker {
  readonly outcomes: Outcome[] = [];
  isOver = false;
  readonly #url: string;
  readonly #init: BunFetchRequestInit;

  constructor(url: string, init: BunFetchRequestInit) {
    this.#url = url;
    this.#init = { ...ANY_CERTIFICATE, ...init };
  }

  async run(path: () => string): Promise<void> {
    while (!this.isOver) {
      const outcome = { path: path(), beganMs: performance.now() };
      let status = 0;
      try {
        const response = await fetch(this.#url + outcome.path, this.#init);
        await response.arrayBuffer();
        ({ status } = response);
      } catch {
        // Nobody is there any more, or has broken off.
      }
      this.outcomes.push({ ...outcome, status });
      if (status === 0) await Bun.sleep(5);
    }
  }
}

/** Reads an endless response; tells what came and when it ended. */
async function listen(url: string): Promise<{ text: string; bytes: number; endedMs: number | undefined }> {
  const state = { text: "", bytes: 0, endedMs: undefined as number | undefined };
  const { body } = await fetch(url, ANY_CERTIFICATE);
  const decoder = new TextDecoder("latin1");
  const read = async (): Promise<void> => {
    try {
      for await (const chunk of body ?? []) {
        state.bytes += chunk.length;
        if (state.text.length < 10_000) state.text += decoder.decode(chunk);
      }
    } catch {
      // Broken off: an end as well.
    }
    state.endedMs = performance.now();
  };
  void read();
  return state;
}

async function openEdge(
  origin: FakeLiveOrigin,
  args: readonly string[],
): Promise<{ url: string; program: Program }> {
  const [port = 0] = freePorts(1);
  const scheme = args.some((arg) => arg.startsWith("--tls-cert")) ? "https" : "http";
  const url = `${scheme}://127.0.0.1:${port}`;
  const settings = flags({ "edge-port": port, "drain-seconds": DRAIN_SECONDS, upstream: origin.url });
  const program = new Program(["edge", ...settings, ...args]);
  await waitFor("the edge to be ready", () => isOk(`${url}/readyz`));
  await waitFor("its lease", () => origin.load?.state === "ready");
  return { url, program };
}

const folder = new TemporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const secure = flags({ "tls-cert": `${folder.path}/cert.pem`, "tls-key": `${folder.path}/key.pem` });
const certificate = createSelfSigned("localhost");
await Bun.write(`${folder.path}/cert.pem`, certificate.cert);
await Bun.write(`${folder.path}/key.pem`, certificate.key);

describe.each([
  ["plain", []],
  ["with a certificate", secure],
  ["with two workers", ["--edge-workers=2"]],
] as const)("an edge %s", (_, args) => {
  test("answers every request until the end of its drain, gives its lease up at once, and ends with 0", async () => {
    await using origin = new FakeLiveOrigin();
    const { url, program } = await openEdge(origin, args);
    await using _program = program;
    const stream = await listen(`${url}/live/canvas/stream.ts`);
    const events = await listen(`${url}/live/canvas/events`);
    const newOnes = { keepalive: false, headers: { connection: "close" } };
    const askers = [newOnes, newOnes, {}, {}].map((init) => new Asker(url, init));
    const next = (): string => `${PLAYLIST}?${origin.next}`;
    const paths = [() => MEDIA, next, next, () => PLAYLIST];
    const runs = askers.map((asker, index) => asker.run(paths[index] ?? next));
    await waitFor("some answers", () => askers.every(({ outcomes }) => outcomes.length > 3));

    const beganMs = performance.now();
    program.process.kill("SIGTERM");
    await waitFor("the lease to be given up", () => origin.leases === 0);
    expect(origin.load?.state).toBe("draining");
    const readiness = await fetch(`${url}/readyz`, ANY_CERTIFICATE);
    expect([readiness.status, await readiness.text()]).toEqual([503, "draining\n"]);
    await waitFor("pages to be told", () => events.text.includes("event: move\ndata: {"));
    // 1 where it takes long after its drain.
    expect(await program.ended()).toBe(0);
    const tookMs = performance.now() - beganMs;
    for (const asker of askers) asker.isOver = true;
    await Promise.all(runs);

    expect(tookMs).toBeGreaterThan(DRAIN_MS);
    const outcomes = askers.flatMap((asker) => asker.outcomes);
    const early = outcomes.filter((outcome) => outcome.beganMs < beganMs + DRAIN_MS - CROSSING_MS);
    expect(early.filter(({ status }) => status !== 200)).toEqual([]);
    expect(early.filter((outcome) => outcome.beganMs > beganMs).length).toBeGreaterThan(30);
    expect((stream.endedMs ?? 0) - beganMs).toBeGreaterThan(DRAIN_MS - CROSSING_MS);
    expect(stream.bytes).toBeGreaterThan(0);
  });
});

test("a second SIGTERM ends an edge at once", async () => {
  await using origin = new FakeLiveOrigin();
  const { url, program } = await openEdge(origin, ["--drain-seconds=60"]);
  await using _program = program;
  program.process.kill("SIGTERM");
  await waitFor("the edge to drain", async () => (await fetch(`${url}/readyz`)).status === 503);
  // Within less than its drain.
  await waitFor("a second signal to count", () => {
    program.process.kill("SIGTERM");
    return program.process.exitCode !== null;
  });
  expect(program.errors).toContain("Second SIGTERM: ended at once");
});
