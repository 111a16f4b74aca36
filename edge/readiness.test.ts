/** What an edge says of its upstream, to those who ask and in its log. */
import { afterEach, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { silentLog } from "#common/log.ts";
import { UpstreamProbe } from "./readiness.ts";
import type { PeerState } from "./upstream-peer.ts";
import { UpstreamError, type UpstreamResponse } from "./upstream.ts";

const PROBE_MS = 250;

const probes: UpstreamProbe[] = [];
afterEach(() => probes.splice(0).forEach((probe) => probe.close()));

function answer(status: number, words = ""): () => Promise<UpstreamResponse> {
  const head = { status, headers: new Headers(), requestedMs: 0, receivedMs: 0, receivedWallMs: 0 };
  return async () => ({
    head,
    chunks: (async function* () {
      yield new TextEncoder().encode(words);
    })(),
    discard: () => {},
  });
}

async function unreachable(): Promise<UpstreamResponse> {
  const cause = new Error("getaddrinfo ENOTFOUND origin");
  throw new UpstreamError("Upstream does not answer", { status: 502, isReached: false, cause });
}

function begin(first: () => Promise<UpstreamResponse>): {
  readonly probe: UpstreamProbe;
  /** What the log says, in order. */
  readonly told: readonly string[];
  readonly changes: readonly (string | undefined)[];
  /** What the upstream's state is taken for, each time that it is told. */
  readonly states: readonly PeerState[];
  /** Answers from now on. */
  readonly answerWith: (next: () => Promise<UpstreamResponse>) => void;
  /** Lets a time pass, with a probe in each quarter of a second at most. */
  readonly pass: (durationMs: number) => Promise<void>;
} {
  const clock = new FakeClock();
  const told: string[] = [];
  const changes: (string | undefined)[] = [];
  const say = (message: string): void => void told.push(message);
  const states: PeerState[] = [];
  let respond = first;
  const probe = new UpstreamProbe({
    upstream: {
      urls: ["http://origin:8080"],
      request: () => respond(),
      tellState: (state) => void states.push(state),
    },
    clock,
    log: { ...silentLog, info: say, warn: say },
    onChange: () => void changes.push(probe.reason),
  });
  probes.push(probe);
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return {
    probe,
    told,
    changes,
    states,
    answerWith: (next) => (respond = next),
    async pass(durationMs) {
      await settle();
      for (let passedMs = 0; passedMs < durationMs; passedMs += PROBE_MS) {
        clock.advance(PROBE_MS);
        await settle();
      }
    },
  };
}

test("UpstreamProbe says why there is no upstream at the start, after five seconds and once", async () => {
  const { probe, told, changes, answerWith, pass } = begin(unreachable);
  await pass(4_750);
  expect([probe.reason, told]).toEqual(["waiting for the upstream", []]);
  await pass(10_000);
  const line = "Not ready: waiting for the upstream: Upstream does not answer: getaddrinfo ENOTFOUND origin";
  expect(told).toEqual([line]);
  answerWith(answer(200));
  await pass(1_000);
  expect([probe.reason, told, changes]).toEqual([undefined, [line, "Upstream is ready"], [undefined]]);
});

test("UpstreamProbe says nothing of an origin that starts later than the edge, but that it is ready", async () => {
  const { told, answerWith, pass } = begin(unreachable);
  await pass(1_000);
  answerWith(answer(503, "No video yet"));
  await pass(2_000);
  answerWith(answer(200));
  await pass(1_000);
  expect(told).toEqual(["Upstream is ready"]);
});

test("UpstreamProbe says at once what it loses, after two failures", async () => {
  const { probe, told, answerWith, pass } = begin(answer(404));
  await pass(1_000);
  expect([probe.reason, told]).toEqual([undefined, ["Upstream is ready"]]);
  answerWith(answer(503, "No video from the source\n"));
  await pass(1_000);
  expect(probe.reason).toBeUndefined();
  await pass(250);
  expect(probe.reason).toBe("the upstream is not ready");
  expect(told.slice(1)).toEqual(["Not ready: the upstream is not ready: No video from the source"]);
});

test("UpstreamProbe: the upstream is up and down when the edge is ready and not, and one lost probe is neither", async () => {
  const { probe, states, answerWith, pass } = begin(answer(200));
  const now = (): readonly unknown[] => [probe.reason === undefined, states.at(-1)];
  await pass(750);
  expect(now()).toEqual([true, "up"]);
  answerWith(unreachable);
  await pass(250);
  expect(now()).toEqual([true, "up"]);
  answerWith(answer(200));
  await pass(250);
  expect(new Set(states)).toEqual(new Set(["up"]));
  answerWith(unreachable);
  await pass(1_250);
  expect(now()).toEqual([false, "down"]);
  answerWith(answer(503));
  await pass(250);
  expect(now()).toEqual([false, "unready"]);
  answerWith(answer(200));
  await pass(250);
  expect(now()).toEqual([true, "up"]);
});
