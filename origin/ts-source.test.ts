/** MPEG-TS as a source: what becomes of good streams and of bad ones, at what pace, and how they end. */
import { afterEach, describe, expect, test } from "bun:test";
import { type Clock, FakeClock, systemClock } from "#common/clock.ts";
import type { EncodedFrame, Run } from "#common/formats/frame.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { TS_PACKET_BYTES } from "#common/formats/mpegts.ts";
import type { Log } from "#common/log.ts";
import { SOURCE_SILENCE_MS_MAX } from "./config.ts";
import { openSource } from "./open-source.ts";
import type { Source } from "./source.ts";

const FPS = 25;
/** A stream of two seconds follows another after a gap of five. */
const LATER = ["-output_ts_offset", "7"];
const made = new Map<string, Uint8Array<ArrayBuffer>>();

/** `seconds` of a test picture as `ffmpeg` encodes it. */
function makeStream({
  seconds = 2,
  size = "64x64",
  group = FPS,
  options = [] as readonly string[],
} = {}): Uint8Array<ArrayBuffer> {
  const key = JSON.stringify([seconds, size, group, options]);
  const known = made.get(key);
  if (known !== undefined) return known;
  const input = ["-f", "lavfi", "-i", `testsrc2=size=${size}:rate=${FPS}`, "-t", String(seconds)];
  const coding = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-sc_threshold", "0"];
  const args = ["-v", "error", ...input, ...coding, "-g", String(group), ...options, "-f", "mpegts", "-"];
  const { stdout, exitCode } = Bun.spawnSync(["ffmpeg", ...args]);
  expect(exitCode).toBe(0);
  const bytes = new Uint8Array(stdout);
  made.set(key, bytes);
  return bytes;
}

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

interface Reading {
  readonly source: Source;
  readonly runs: Run[];
  /** Of all runs, in order. */
  readonly frames: EncodedFrame[];
  readonly lines: string[];
  /** Segments that were reserved, and connections that were opened. */
  readonly counts: { reserved: number; requests: number; ends: number };
}

type Answer = () => Response;

/** An origin's source on `answers`, one for each connection, the last one again and again. */
function read(
  answers: readonly Answer[],
  { clock = systemClock as Clock, targetDurationSeconds = 2 } = {},
): Reading {
  const runs: Run[] = [];
  const frames: EncodedFrame[] = [];
  const lines: string[] = [];
  const counts = { reserved: 0, requests: 0, ends: 0 };
  const say = (message: string, fields?: object): void =>
    void lines.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const log: Log = { debug: say, info: say, warn: say, error: say };
  const source = openSource({
    url: "http://somewhere/any.ts?token=hush",
    secret: "",
    targetDurationSeconds,
    partDurationMs: 200,
    numbers: {
      beginRun: (fps) => ({
        id: "0000000a",
        ordinal: runs.length,
        startFrame: (counts.reserved + 1) * 2 * fps,
        startTimeMsMin: 0,
      }),
      reserveSegment: (segment) => void (counts.reserved = Math.max(counts.reserved, segment)),
    },
    clock,
    log,
    handlers: {
      onRun: (run) => void runs.push(run),
      onFrame: (frame) => void frames.push(frame),
      onFigures: () => {},
      onEnd: () => void counts.ends++,
    },
    async fetch(_, init) {
      counts.requests++;
      const answer = answers[Math.min(counts.requests, answers.length) - 1];
      if (answer === undefined) throw new Error("no answer");
      const { promise: aborted, reject } = Promise.withResolvers<never>();
      init.signal?.addEventListener("abort", () => reject(new Error("aborted")), { once: true });
      return Promise.race([Promise.resolve(answer()), aborted]);
    },
  });
  closers.push(() => source.close());
  return { source, runs, frames, lines, counts };
}

/** Sends the pieces, then nothing. */
const stalling =
  (...pieces: readonly Uint8Array<ArrayBuffer>[]): Answer =>
  () =>
    new Response(
      new ReadableStream({
        start(controller) {
          for (const piece of pieces) controller.enqueue(piece);
        },
      }),
    );

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(1);
}

/** Where segments begin, as numbers of frames. */
function segmentLengths(frames: readonly EncodedFrame[]): number[] {
  const lengths = new Map<number, number>();
  for (const { place } of frames) {
    const number = place?.segmentNumber ?? -1;
    lengths.set(number, (lengths.get(number) ?? 0) + 1);
  }
  return [...lengths.values()];
}

describe("an MPEG-TS source", () => {
  test("42, 43: makes frames with B-frames' times, segments of whole groups, and a decoder configuration", async () => {
    const { frames, runs, source } = read([
      stalling(makeStream({ options: ["-bf", "2", "-b_strategy", "0"] })),
    ]);
    await until(() => frames.length >= 48);
    const [run] = runs;
    expect(run).toMatchObject({
      fps: 25,
      timescale: 90_000,
      offGrid: { frameRate: 25, targetDurationSeconds: 2 },
    });
    expect(run?.renditions).toMatchObject([{ name: "source", width: 64, height: 64, trackId: 1 }]);
    expect(frames.map(({ decodeUnits }) => decodeUnits)).toEqual(frames.map((_, index) => index * 3600));
    expect(new Set(frames.map(({ durationUnits }) => durationUnits))).toEqual(new Set([3600]));
    expect(frames.some(({ compositionUnits = 0 }) => compositionUnits >= 7200)).toBeTrue();
    expect(frames.flatMap(({ isKey }, index) => (isKey ? [index] : []))).toEqual([0, 25]);
    // Only slices: parameter sets, delimiters and SEI stand elsewhere or nowhere.
    expect(new Set(frames.map(({ data }) => (data[4] ?? 0) & 0x1f))).toEqual(new Set([1, 5]));
    expect(source.status).toMatchObject({ state: "live", failure: undefined });
  });

  test.each([
    [25, [50, 50]],
    [15, [45, 45]],
    [50, [50, 50]],
    [56, [56, 44]],
  ])("cuts segments of groups of %d frames", async (group, lengths) => {
    const { frames } = read([stalling(makeStream({ seconds: 4, group }))], { clock: new FastClock() });
    await until(() => frames.length >= 98);
    const [first = 0, second = 0] = lengths;
    expect(segmentLengths(frames)[0]).toBe(first);
    expect(segmentLengths(frames)[1]).toBeWithin(second - 2, second + 1);
  });

  test("refuses groups that are longer than a segment may be, and says so", async () => {
    const stream = makeStream({ seconds: 10, group: 100 });
    const { frames, source, runs } = read([stalling(stream)], { clock: new FastClock() });
    await until(() => source.status.droppedPictures > 150);
    expect(source.status.state).toBe("waiting");
    expect(source.status.failure).toContain(
      "no key frame for more than 2 s, the longest segment (--target-duration)",
    );
    expect(runs).toHaveLength(1);
    expect(frames.length).toBeLessThanOrEqual(61);
    expect(frames.at(-1)?.place?.isSegmentEnd).toBeTrue();
    const allowed = read([stalling(stream)], { clock: new FastClock(), targetDurationSeconds: 4 });
    await until(() => allowed.frames.length >= 248);
    expect(segmentLengths(allowed.frames)[0]).toBe(100);
  });

  test("no key frame for a minute: stays connected, says why, and goes on at the first", async () => {
    const clock = new FakeClock();
    const late = makeStream({ seconds: 1, group: 250 });
    const pushes: ((bytes: Uint8Array) => void)[] = [];
    const answer = (): Response =>
      new Response(
        new ReadableStream<Uint8Array>({
          start: (controller) => void pushes.push((bytes) => controller.enqueue(bytes)),
        }),
      );
    const { source, counts, lines } = read([answer], { clock });
    await until(() => pushes.length === 1);
    const delta = withoutKeyFrame(late);
    for (let second = 0; second < 60; second++) {
      const before = source.status.receivedBytes;
      pushes[0]?.(delta);
      await until(() => source.status.receivedBytes > before);
      clock.advance(1000);
    }
    expect(counts.requests).toBe(1);
    expect(source.status).toMatchObject({ state: "waiting", reconnects: 0 });
    expect(source.status.failure).toContain("waiting for a key frame");
    expect(lines.length).toBeLessThan(8);
    pushes[0]?.(makeStream());
    await until(() => source.status.state === "live");
  });

  test("13, 43: another size begins another run with another configuration", async () => {
    const { runs, frames } = read([stalling(makeStream(), makeStream({ size: "96x48" }))]);
    await until(() => runs.length === 2 && frames.length >= 97);
    expect(runs.map(({ ordinal }) => ordinal)).toEqual([0, 1]);
    const [first, second] = runs.map((run) => run.renditions[0]);
    expect([first?.width, second?.width, second?.height]).toEqual([64, 96, 48]);
    expect(first?.avcC).not.toEqual(second?.avcC);
    // The last picture of a stream that breaks off is not known to be whole, and one is kept back.
    expect(segmentLengths(frames).slice(0, 2)).toEqual([49, 48]);
  });

  test("garbage and half a packet cost the group that they hit, and are counted", async () => {
    const stream = makeStream({ seconds: 3 });
    const middle = Math.floor(stream.length / TS_PACKET_BYTES / 2) * TS_PACKET_BYTES;
    const garbage = new Uint8Array(5000).fill(0xaa);
    const pieces = [stream.slice(0, middle), garbage, stream.slice(middle + 77)];
    const { runs, source, frames } = read([stalling(...pieces)]);
    await until(() => runs.length === 2 && frames.length > 50);
    expect(source.status.droppedPictures).toBeGreaterThan(0);
    expect(source.status).toMatchObject({ state: "live", unreadable: 0, reconnects: 0 });
    for (const run of runs) expect(run.offGrid?.frameRate).toBe(25);
    expect(frames[0]?.isKey).toBeTrue();
  });

  test("what is neither a feed nor MPEG-TS, and sound alone, are said to be so", async () => {
    const page = read([() => new Response("<html>not found</html>".repeat(100))]);
    await until(() => page.source.status.failure !== undefined);
    expect(page.source.status).toMatchObject({
      state: "lost",
      failure: "what it sends is neither a feed nor MPEG-TS",
    });
    await until(() => page.counts.requests > 3);
    expect(page.lines.length).toBe(1);
    const args = ["-v", "error", "-f", "lavfi", "-i", "sine", "-t", "2", "-c:a", "aac", "-f", "mpegts", "-"];
    const sound = new Uint8Array(Bun.spawnSync(["ffmpeg", ...args]).stdout);
    const clock = new FakeClock();
    const { source, lines } = read([stalling(sound)], { clock });
    await until(() => source.status.failure?.includes("0x0f") === true);
    expect(source.status.failure).toBe("the programme has no H.264: stream types 0x0f");
    expect(source.status.audioPackets).toBeGreaterThan(20);
    clock.advance(SOURCE_SILENCE_MS_MAX);
    await until(() => source.status.state === "lost");
    const reason = "no frame for 3 s: the programme has no H.264: stream types 0x0f";
    expect(source.status.failure).toBe(reason);
    expect(lines).toEqual([`Source lost: ${reason} {"url":"http://somewhere/any.ts"}`]);
  });

  test.each([
    ["after the headers", stalling()],
    ["after some frames", stalling(makeStream({ seconds: 1 }))],
  ])("silence %s ends the connection", async (_, answer) => {
    const clock = new FakeClock();
    const { source, counts } = read([answer], { clock });
    await until(() => counts.requests === 1);
    await Bun.sleep(0);
    for (let tries = 0; source.status.failure !== "no frame for 3 s"; tries++) {
      expect(tries).toBeLessThan(1000);
      clock.advance(SOURCE_SILENCE_MS_MAX);
      await Bun.sleep(1);
    }
    clock.advance(1000);
    await until(() => counts.requests > 1);
  });

  test("10 x real time is slowed down to the pace of its times", async () => {
    const clock = new FakeClock();
    const { frames, runs } = read([() => new Response(makeStream({ seconds: 10 }))], { clock });
    await until(() => runs.length === 1);
    for (let second = 0; second <= 4; second++) {
      // What a server may send at once to begin with, less the pictures that are kept back.
      await until(() => frames.length > 70 + second * FPS);
      expect(frames.length).toBeLessThan(80 + second * FPS);
      for (let step = 0; step < 25; step++) {
        clock.advance(40);
        await Bun.sleep(0);
      }
    }
  });

  test.each([
    ["times that leave out 5 s", () => joinBytes([makeStream(), makeStream({ options: LATER })]), 95],
    ["groups that are too long", () => makeStream({ seconds: 20, group: 250 }), 55],
  ])("%s are no silence where all comes at once", async (_, make, framesMin) => {
    const clock = new FakeClock();
    const bytes = make();
    const { frames, counts, source } = read([() => new Response(bytes)], { clock });
    const isWhole = (): boolean => source.status.failure?.includes("ended") === true;
    for (let step = 0; step < 1000 && counts.requests < 2 && !isWhole(); step++) {
      clock.advance(40);
      await Bun.sleep(1);
    }
    expect(source.status.failure).toBe("the source ended");
    expect(frames.length).toBeGreaterThan(framesMin);
  });

  test("one that is opened again and again is no faster for it", async () => {
    const clock = new FakeClock();
    const { frames, counts } = read([() => new Response(makeStream())], { clock });
    await until(() => frames.length > 0);
    for (let step = 0; step < 250; step++) {
      clock.advance(40);
      await Bun.sleep(1);
    }
    await until(() => counts.requests > 3 && frames.length >= 10 * FPS);
    expect(frames.length).toBeLessThan(14 * FPS);
  });

  test("18: one with a length ends for good, others are opened again", async () => {
    const stream = makeStream();
    const finite = read([
      () => new Response(stream, { headers: { "content-length": String(stream.length) } }),
    ]);
    await until(() => finite.counts.ends === 1);
    expect(finite.source.status).toMatchObject({ state: "ended", reconnects: 0 });
    expect(finite.frames).toHaveLength(50);
    expect(finite.frames.at(-1)?.place?.isSegmentEnd).toBeTrue();
    const endless = read([() => new Response(stream)]);
    await until(() => endless.counts.requests === 2 && endless.runs.length === 2);
    expect(endless.counts.ends).toBe(0);
  });

  test("one that opens and breaks again and again does not fill the log, which has no token in it", async () => {
    const clock = new FastClock();
    const { counts, lines } = read([() => new Response(makeStream({ seconds: 1 }))], { clock });
    await until(() => counts.requests > 20);
    expect(lines.length).toBeLessThan(10);
    expect(lines.join("\n")).toContain('"url":"http://somewhere/any.ts"');
    expect(lines.join("\n")).not.toContain("hush");
  });
});

/** A clock on which every wait is over at once, having taken its time. */
class FastClock extends FakeClock {
  override after(delayMs: number, callback: () => void): () => void {
    // The silence watch, whose time never comes.
    if (delayMs >= 2000) return () => {};
    let isCancelled = false;
    setImmediate(() => {
      if (isCancelled) return;
      this.advance(delayMs);
      callback();
    });
    return () => void (isCancelled = true);
  }
}

/** The packets behind the second start of a picture: tables come with it no more than its key frame. */
function withoutKeyFrame(stream: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const tables: Uint8Array[] = [];
  const rest: Uint8Array[] = [];
  let pictures = 0;
  for (let at = 0; at < stream.length; at += TS_PACKET_BYTES) {
    const packet = stream.subarray(at, at + TS_PACKET_BYTES);
    const pid = (((packet[1] ?? 0) & 0x1f) << 8) | (packet[2] ?? 0);
    if (pid === 0x100 && ((packet[1] ?? 0) & 0x40) !== 0) pictures++;
    if (pid !== 0x100 && tables.length < 3) tables.push(packet);
    if (pid === 0x100 && pictures > 1) rest.push(packet);
  }
  return joinBytes([...tables, ...rest]);
}
