/** The feed's reader against a server that ends, stalls and sends garbage. */
import { afterEach, describe, expect, test } from "bun:test";
import { type Clock, FakeClock, systemClock } from "#common/clock.ts";
import { PROOF_REFUSED, ProofChecker } from "#common/cluster-auth.ts";
import { encodeFeedFrame, encodeFeedHeader } from "#common/formats/feed.ts";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import type { EncodedFrame } from "#common/formats/frame.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { HeldBudget } from "#common/held-requests.ts";
import { silentLog } from "#common/log.ts";
import { SOURCE_SILENCE_MS_MAX } from "./config.ts";
import { LiveStream } from "./live-stream.ts";
import { openSource } from "./open-source.ts";
import type { Source } from "./source.ts";

const run = testsrcRun();
const LIMITS = { partDurationMs: 200, windowSeconds: 24 };
const SECRET = "a secret of some length";

function feed(from: number, to: number): Uint8Array<ArrayBuffer> {
  const frames = Array.from({ length: to - from }, (_, index) =>
    encodeFeedFrame(run, testsrcFrame(run, from + index)),
  );
  return joinBytes([encodeFeedHeader(run), ...frames]);
}

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

interface Reading {
  readonly source: Source;
  /** Hears the same. */
  readonly stream: LiveStream;
  readonly heard: string[];
  readonly requests: Headers[];
}

/** A source whose connections get `answers` one after the other, the last one again and again. */
function read(
  answers: readonly (() => Response | Promise<Response>)[],
  { clock = systemClock as Clock, url = "http://canvas/feed.mp4" } = {},
): Reading {
  const heard: string[] = [];
  const requests: Headers[] = [];
  const stream = new LiveStream({ ...LIMITS, clock, log: silentLog, budget: new HeldBudget(10) });
  const source = openSource({
    url,
    secret: SECRET,
    targetDurationSeconds: 2,
    partDurationMs: 200,
    numbers: {
      beginRun: () => {
        throw new Error("a feed has numbers of its own");
      },
      reserveSegment: () => {},
    },
    clock,
    log: silentLog,
    handlers: {
      onRun(run) {
        heard.push(`run ${run.ordinal}`);
        stream.onRun(run);
      },
      onFrame(frame) {
        heard.push(String(frame.number - run.startFrame));
        stream.onFrame(frame);
      },
      onFigures: () => {},
      onEnd: () => void heard.push("end"),
    },
    async fetch(_, init) {
      requests.push(new Headers(init.headers));
      const answer = answers[Math.min(requests.length, answers.length) - 1];
      if (answer === undefined) throw new Error("no answer");
      const { promise: aborted, reject } = Promise.withResolvers<never>();
      init.signal?.addEventListener("abort", () => reject(new Error("aborted")), { once: true });
      return Promise.race([answer(), aborted]);
    },
  });
  closers.push(() => source.close());
  return { source, stream, heard, requests };
}

/** An answer that sends `bytes` and then nothing. */
const stalling = (bytes?: Uint8Array<ArrayBuffer>) => (): Response =>
  new Response(
    new ReadableStream({
      start: (controller) => {
        if (bytes !== undefined) controller.enqueue(bytes);
      },
    }),
  );

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(1);
}

describe("openSource() of a feed", () => {
  test("opens again after an end, garbage, a refusal, and tells frames as they come", async () => {
    const { source, heard, requests } = read([
      () => new Response(feed(0, 2)),
      () => new Response(new Uint8Array(3000).fill(0xfe)),
      () => new Response("no", { status: 403 }),
      () => Promise.reject(new Error("connection refused")),
      stalling(feed(0, 4)),
    ]);
    await until(() => heard.length === 8);
    expect(heard).toEqual(["run 7", "0", "1", "run 7", "0", "1", "2", "3"]);
    expect(source.status).toMatchObject({ state: "live", failure: undefined, reconnects: 4, unreadable: 1 });
    expect(requests).toHaveLength(5);
  });

  test("no key frame for a minute: stays connected, says why, and goes on at the first", async () => {
    const clock = new FakeClock();
    const { promise: rest, resolve } = Promise.withResolvers<Uint8Array>();
    const frames = (from: number, to: number): Uint8Array<ArrayBuffer> =>
      joinBytes(Array.from({ length: to - from }, (_, at) => encodeFeedFrame(run, frameOf(from + at))));
    const frameOf = (index: number): EncodedFrame => {
      const isKey = index % run.fps === 0 && (index < 30 || index >= 61 * 30);
      return { ...testsrcFrame(run, index), isKey };
    };
    const body = new ReadableStream({
      async start(controller) {
        controller.enqueue(joinBytes([encodeFeedHeader(run), frames(0, 61 * 30)]));
        controller.enqueue(await rest);
      },
    });
    const { source, heard, requests } = read([() => new Response(body)], { clock });
    await until(() => source.status.state === "waiting");
    expect(source.status.failure).toBe("a second begins without a key frame");
    const before = ["run 7", ...Array.from({ length: 30 }, (_, index) => String(index))];
    expect(heard).toEqual(before);
    clock.advance(SOURCE_SILENCE_MS_MAX - 1);
    resolve(frames(61 * 30, 61 * 30 + 2));
    await until(() => heard.length === before.length + 3);
    expect(heard.slice(before.length)).toEqual(["run 7", "1830", "1831"]);
    expect(source.status).toMatchObject({ state: "live", failure: undefined, unreadable: 0 });
    expect(requests.length).toBe(1);
  });

  test("proves the secret with a fresh proof for each connection", async () => {
    const { requests } = read([() => new Response(feed(0, 1)), stalling()]);
    await until(() => requests.length === 2);
    const proofs = new ProofChecker(SECRET);
    for (const headers of requests)
      expect(proofs.isValid(headers.get("authorization"), "feed", Date.now())).toBe(true);
  });

  test("proves nothing to a source that is no canvas server's", async () => {
    for (const url of ["http://elsewhere/any.ts?x=/feed.mp4", "http://elsewhere/feed.mp4.ts"]) {
      const { requests } = read([stalling()], { url });
      await until(() => requests.length === 1);
      expect(requests.map((headers) => headers.get("authorization"))).toEqual([null]);
    }
  });

  test.each([
    ["http://canvas/feed.mp4", 403, `the source answers with status 403: ${PROOF_REFUSED}`],
    ["http://canvas/feed.mp4", 404, "the source answers with status 404"],
    ["http://elsewhere/any.ts", 403, "the source answers with status 403"],
  ])("%s: says why it is not connected after %i", async (url, status, failure) => {
    const { source } = read([() => new Response("no", { status })], { url });
    await until(() => source.status.failure !== undefined);
    expect(source.status).toMatchObject({ state: "lost", failure });
  });

  test("10 x real time is history for a minute, then it is slowed down, and an origin on it becomes ready", async () => {
    const clock = new FakeClock();
    const { heard, stream } = read([stalling(feed(0, 70 * 30))], { clock });
    await until(() => heard.length > 60 * 30);
    expect(heard.length).toBeLessThan(61 * 30);
    expect(stream.isCatchingUp).toBeTrue();
    for (let second = 1; second <= 3; second++) {
      const before = heard.length;
      for (let step = 0; step < 30; step++) {
        clock.advance(1000 / 30);
        await Bun.sleep(1);
      }
      await until(() => heard.length - before >= 27);
      expect(heard.length - before).toBeLessThan(34);
    }
    expect(stream.isCatchingUp).toBeFalse();
  });

  test.each([
    ["after some frames", stalling(feed(0, 2)), 3],
    ["after the headers", stalling(), 0],
    ["before any answer", () => Promise.withResolvers<Response>().promise, 0],
  ])("silence %s ends the connection", async (_, answer, heardCount) => {
    const clock = new FakeClock();
    const { source, heard, requests } = read([answer], { clock });
    await until(() => heard.length === heardCount && requests.length === 1);
    clock.advance(SOURCE_SILENCE_MS_MAX);
    await until(() => source.status.failure !== undefined);
    expect(source.status.failure).toBe("no frame for 3 s");
    clock.advance(1000);
    await until(() => requests.length === 2);
  });
});
