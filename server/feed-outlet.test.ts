/** Readers of the feed: history first, live after, slow ones cut off. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FeedReader } from "#common/formats/feed.ts";
import {
  type CanvasFigures,
  type EncodedFrame,
  evenTimes,
  evenTimescale,
  type Run,
} from "#common/formats/frame.ts";
import { silentLog } from "#common/log.ts";
import { FeedOutlet, type FeedOutletOptions } from "./feed-outlet.ts";

const FPS = 30;
const SEGMENT_FRAMES = 2 * FPS;
const RUN: Run = {
  id: "0123abcd",
  ordinal: 7,
  startFrame: 1000 * SEGMENT_FRAMES,
  startTimeMs: 1_795_230_000_000,
  fps: FPS,
  timescale: evenTimescale(FPS),
  renditions: [
    {
      trackId: 1,
      name: "720p",
      width: 1280,
      height: 720,
      bitsPerSecondMax: 6_000_000,
      avcC: Uint8Array.fromHex(
        "0164001fffe1001c6764001facb402802dd350101014000003000400000300f23c60ca8001000468ef3cb0fdf8f800",
      ),
    },
  ],
};
const FIGURES: CanvasFigures = {
  timeMs: 1,
  pixels: 2,
  bytes: 3,
  connections: 4,
  pixelsPerSecond: 5,
  bitsPerSecond: 6,
  pixelflutPort: 7,
};

function frame(index: number, bytes = 100): EncodedFrame {
  return {
    trackId: 1,
    number: RUN.startFrame + index,
    captureTimeMs: RUN.startTimeMs + index,
    isKey: index % FPS === 0,
    ...evenTimes(index),
    data: new Uint8Array(bytes).fill(index),
  };
}

/** Reads a feed over HTTP; `ended` resolves when the server ends it. */
async function connect(url: URL) {
  const abort = new AbortController();
  const response = await fetch(url, { signal: abort.signal });
  const numbers: number[] = [];
  const figures: CanvasFigures[] = [];
  const runs: string[] = [];
  let waiting = Promise.withResolvers<void>();
  const reader = new FeedReader({
    onRun: (run) => runs.push(run.id),
    onFrame: (one) => numbers.push(one.number - RUN.startFrame),
    onFigures: (one) => figures.push(one),
  });
  const consume = async (): Promise<void> => {
    for await (const chunk of response.body ?? []) {
      reader.push(chunk);
      waiting.resolve();
      waiting = Promise.withResolvers();
    }
  };
  const ended = consume().catch((error: unknown) => {
    if (!abort.signal.aborted) throw error;
  });
  return {
    response,
    numbers,
    figures,
    runs,
    ended,
    abort: () => abort.abort(),
    async until(condition: () => boolean): Promise<void> {
      while (!condition()) await waiting.promise;
    },
  };
}

let outlet: FeedOutlet;
let server: Bun.Server<undefined>;

function open(options: Partial<FeedOutletOptions> = {}): void {
  outlet = new FeedOutlet({ log: silentLog, ...options });
  server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => outlet.serve() });
}

beforeEach(() => open());
afterEach(async () => {
  outlet.close();
  await server.stop(true);
});

async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(1);
}

describe("FeedOutlet.serve()", () => {
  test("refuses before the first run", async () => {
    const response = await fetch(server.url);
    expect(response.status).toBe(503);
    expect(await response.text()).toBe("The encoder has not begun yet\n");
  });

  test("gives every reader header, figures, history and then each frame as it comes", async () => {
    outlet.beginRun(RUN);
    outlet.publishFigures(FIGURES);
    for (let index = 0; index < 10; index++) outlet.addFrame(frame(index));
    const readers = await Promise.all([connect(server.url), connect(server.url)]);
    for (const reader of readers) {
      await reader.until(() => reader.numbers.length === 10);
      expect(reader.response.headers.get("content-type")).toBe("video/mp4");
      expect(reader.response.headers.get("cache-control")).toBe("no-store");
      expect(reader.runs).toEqual([RUN.id]);
      expect(reader.figures).toEqual([FIGURES]);
    }
    outlet.addFrame(frame(10));
    outlet.publishFigures(FIGURES);
    for (const reader of readers) {
      await reader.until(() => reader.figures.length === 2);
      expect(reader.numbers).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }
    expect(outlet.readers.count).toBe(2);
    for (const reader of readers) reader.abort();
    await waitFor(() => outlet.readers.count === 0);
    await Promise.all(readers.map((reader) => reader.ended));
  });

  test("keeps at least 54 s, from the start of a segment on", async () => {
    outlet.beginRun(RUN);
    for (let index = 0; index < 64 * FPS + 5; index++) outlet.addFrame(frame(index));
    const reader = await connect(server.url);
    await reader.until(() => reader.numbers.at(-1) === 64 * FPS + 4);
    expect(reader.numbers[0]).toBe(10 * FPS);
    expect(outlet.evictedBytes).toBe(0);
    reader.abort();
    await reader.ended;
  });

  test("keeps less where the bytes are too many, and never less than the segment at hand", async () => {
    await server.stop(true);
    open({ historyBytesMax: 3 * SEGMENT_FRAMES * 1200 });
    outlet.beginRun(RUN);
    for (let index = 0; index < 10 * SEGMENT_FRAMES; index++) outlet.addFrame(frame(index, 1000));
    expect(outlet.historyBytes).toBeLessThanOrEqual(3 * SEGMENT_FRAMES * 1200);
    expect(outlet.evictedBytes).toBeGreaterThan(6 * SEGMENT_FRAMES * 1000);
    const reader = await connect(server.url);
    await reader.until(() => reader.numbers.at(-1) === 10 * SEGMENT_FRAMES - 1);
    expect(reader.numbers[0]).toBe(7 * SEGMENT_FRAMES);
    reader.abort();
    await reader.ended;
  });

  test("ends every reader when a run begins, and forgets the one before", async () => {
    outlet.beginRun(RUN);
    outlet.addFrame(frame(0));
    const before = await connect(server.url);
    await before.until(() => before.numbers.length === 1);
    const next = { ...RUN, id: "89abcdef", startFrame: RUN.startFrame + SEGMENT_FRAMES };
    outlet.beginRun(next);
    await before.ended;
    outlet.addFrame(frame(SEGMENT_FRAMES));
    const after = await connect(server.url);
    await after.until(() => after.numbers.length === 1);
    expect(after.runs).toEqual([next.id]);
    expect(after.numbers).toEqual([SEGMENT_FRAMES]);
    outlet.close();
    await after.ended;
  });

  test("cuts off a reader that stays behind, and no other", async () => {
    await server.stop(true);
    open({ queueBytesMax: 4_000_000 });
    outlet.beginRun(RUN);
    outlet.addFrame(frame(0));
    const good = await connect(server.url);
    const stalled = await Bun.connect({
      hostname: "127.0.0.1",
      port: Number(server.url.port),
      socket: {
        data(socket) {
          socket.pause();
        },
      },
    });
    stalled.write("GET / HTTP/1.1\r\nHost: canvas\r\n\r\n");
    await waitFor(() => outlet.readers.count === 2);
    let index = 1;
    while (outlet.readers.droppedReaders === 0 && index < 1000) {
      const sent = index;
      outlet.addFrame(frame(index++, 100_000));
      await good.until(() => good.numbers.length === sent + 1);
    }
    expect(outlet.readers.droppedReaders).toBe(1);
    expect(outlet.readers.count).toBe(1);
    expect(good.numbers.length).toBe(index);
    stalled.terminate();
    good.abort();
    await good.ended;
  });
});
