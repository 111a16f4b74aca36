/**
 * Fills under random orders of events: objects of any size and framing, viewers that come, stall, leave and ask for ranges
 * at any moment, an origin that dies. Whoever is told that an answer is whole has exactly what was asked for, and all
 * memory comes back.
 */
import { afterEach, describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { createRandom } from "#common/random.ts";
import { MEBIBYTE } from "#common/units.ts";
import { startTestEdge, until, type TestEdge } from "./fake-origin.ts";
import { Download, PacedOrigin, startStalled, type PacedRequest } from "./paced-origin.ts";

const ROUNDS_EACH = 25;
const VIEWERS_MAX = 8;
const STALLED_MAX = 4;
/** More than an edge of 16 MiB keeps of one object, by a quarter. */
const SIZE_MAX = 5 * MEBIBYTE;
const BYTES = Uint8Array.from({ length: SIZE_MAX }, (_, index) => (index * 31 + (index >> 10)) % 251);

interface Viewer {
  readonly download: Download;
  /** What it is to get if it gets all. */
  readonly from: number;
  readonly to: number;
  hasLeft: boolean;
}

interface Round {
  readonly random: () => number;
  readonly edge: TestEdge;
  readonly url: string;
  readonly size: number;
  readonly viewers: Viewer[];
  readonly stalled: Socket[];
  hasDied: boolean;
  /** All viewers are served: nothing new happens. */
  isOver: boolean;
}

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A whole number from 0 up to and without `end`. */
function below(random: () => number, end: number): number {
  return Math.floor(random() * end);
}

function headersOf({ random, size }: Round): Record<string, string> {
  const cacheControl = random() < 0.8 ? "max-age=60" : "no-store";
  return {
    "content-type": "video/mp4",
    "cache-control": cacheControl,
    ...(random() < 0.5 && { "content-length": String(size) }),
  };
}

/** What the origin does with one request: at any moment anything else may happen. */
async function serve(round: Round, request: PacedRequest): Promise<void> {
  const { random, size } = round;
  request.begin(200, headersOf(round));
  for (let sent = 0; sent < size;) {
    const length = Math.min(size - sent, 1 + below(random, 400_000));
    request.send(BYTES.subarray(sent, sent + length));
    sent += length;
    if (!round.isOver) act(round);
    if (random() < 0.03) {
      round.hasDied = true;
      request.die();
      return;
    }
    await Bun.sleep(0);
  }
  request.end();
}

/** Something that viewers do. */
function act(round: Round): void {
  const { random, viewers, stalled, url, size } = round;
  const choice = random();
  if (choice < 0.3 && viewers.length < VIEWERS_MAX) viewers.push(come(round));
  else if (choice < 0.36 && stalled.length < STALLED_MAX) stalled.push(startStalled(url));
  else if (choice < 0.4) stalled.pop()?.destroy();
  else if (choice < 0.5) {
    const leaver = viewers[below(random, viewers.length)];
    if (leaver !== undefined && size > 0) {
      leaver.hasLeft = true;
      leaver.download.leave();
    }
  }
}

function come({ random, url, size }: Round): Viewer {
  if (random() < 0.6 || size < 2) return { download: new Download(url), from: 0, to: size, hasLeft: false };
  const from = below(random, size - 1);
  const to = from + 1 + below(random, size - from);
  const range = `bytes=${from}-${to - 1}`;
  return { download: new Download(url, { range }), from, to, hasLeft: false };
}

function check({ viewers, size, hasDied }: Round): void {
  for (const { download, from, to, hasLeft } of viewers) {
    if (download.outcome !== "whole") {
      expect(hasLeft || hasDied || size > 4 * MEBIBYTE).toBe(true);
      continue;
    }
    // Where the length is not known a range is answered with the whole.
    const wanted = download.status === 206 ? BYTES.subarray(from, to) : BYTES.subarray(0, size);
    if (download.status === 502 && hasDied) continue;
    expect([200, 206]).toContain(download.status);
    expect(download.body.equals(wanted)).toBe(true);
  }
}

describe("fills in random orders of events", () => {
  test.each([1, 2, 3, 4])("seed %d", async (seed) => {
    const random = createRandom(seed);
    const origin = await PacedOrigin.listen();
    const edge = startTestEdge(origin.url, { cacheMib: 16 });
    closers.push(
      () => edge.close(),
      () => origin.close(),
    );
    for (let index = 0; index < ROUNDS_EACH; index++) {
      const path = `/live/canvas/720p/aabbccdd-${index}.m4s`;
      const size = below(random, 10) === 0 ? 0 : below(random, random() < 0.3 ? SIZE_MAX : 300_000);
      const round: Round = {
        random,
        edge,
        url: edge.url + path,
        size,
        viewers: [],
        stalled: [],
        hasDied: false,
        isOver: false,
      };
      origin.onRequest = (request) => void serve(round, request);
      round.viewers.push(come(round));
      await until(() => round.viewers.every(({ download }) => download.outcome !== "open"));
      round.isOver = true;
      for (const socket of round.stalled) socket.destroy();
      await until(() => edge.fills.running === 0 && edge.store.reservedBytes === 0);
      check(round);
      const stored = edge.store.getAny(path);
      if (stored?.status === 200) expect(await stored.body.bytes()).toEqual(BYTES.slice(0, size));
    }
    expect(edge.store.bytes).toBeLessThanOrEqual(16 * MEBIBYTE);
  });
});
