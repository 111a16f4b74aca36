/** Viewers of the endless `.ts` of an origin itself, over sockets: those that keep up, and those that do not read. */
import { expect, test } from "bun:test";
import { TsInspector } from "#common/formats/fixtures/mpegts-reader.ts";
import { waitFor } from "./harness.ts";
import { OriginOnFeed } from "./origin-on-feed.ts";

/** A frame of 24 Mbit/s at 30 frames a second: queues and sockets fill in few of them. */
const FRAME_BYTES = 100_000;
/** More than the stream's log and the sockets of a connection hold. */
const MISSED_FRAMES = 450;
const KEEP_UP = 6;
const BEHIND = 4;

/** Reads over HTTP/1.0, whose body is the bytes of the stream and nothing else. */
class Viewer {
  readonly inspector = new TsInspector();
  readonly #socket: Bun.Socket;
  #head = "";

  private constructor(socket: Bun.Socket) {
    this.#socket = socket;
  }

  static async open(port: number): Promise<Viewer> {
    const { promise, resolve } = Promise.withResolvers<Viewer>();
    await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (socket) => {
          resolve(new Viewer(socket));
          socket.write("GET /live/canvas/64p/stream.ts HTTP/1.0\r\nHost: a\r\n\r\n");
        },
        data: (_, bytes) => void promise.then((viewer) => viewer.#read(bytes)),
      },
    });
    return promise;
  }

  get pictures(): number {
    return this.inspector.counts.accessUnits;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.terminate();
  }

  #read(bytes: Uint8Array): void {
    let body = bytes;
    if (!this.#head.includes("\r\n\r\n")) {
      const before = this.#head.length;
      this.#head += Buffer.from(bytes).toString("latin1");
      const end = this.#head.indexOf("\r\n\r\n");
      body = end < 0 ? new Uint8Array() : bytes.subarray(end + 4 - before);
    }
    this.inspector.push(body);
  }
}

test("viewers who do not read lose whole groups and are told, the others get every frame, queues are bounded", async () => {
  await using origin = await OriginOnFeed.open();
  const viewers = await Promise.all(Array.from({ length: KEEP_UP + BEHIND }, () => Viewer.open(origin.port)));
  const keepUp = viewers.slice(BEHIND);
  const behind = viewers.slice(0, BEHIND);
  /** Plays `count` frames as fast as those who read take them, and no faster. */
  const play = async (count: number): Promise<void> => {
    const [first] = keepUp;
    const due = (first?.pictures ?? 0) + count;
    origin.play(count, FRAME_BYTES);
    await waitFor("all who read to have it", () => keepUp.every(({ pictures }) => pictures >= due));
  };
  await waitFor("all to have begun", () => viewers.every(({ pictures }) => pictures > 0));
  for (const viewer of behind) viewer.pause();
  const paused = behind.map(({ pictures }) => pictures);
  let queuedBytesMost = 0;
  for (let frames = 0; frames < MISSED_FRAMES; frames += 15) {
    await play(15);
    queuedBytesMost = Math.max(queuedBytesMost, await origin.metric("spillway_origin_ts_queued_bytes"));
  }
  expect(queuedBytesMost).toBeGreaterThan(FRAME_BYTES);
  // What waits for all of them is the same: it does not grow with their number.
  expect(queuedBytesMost).toBeLessThan(5 * 30 * FRAME_BYTES);
  for (const viewer of behind) viewer.resume();
  await waitFor("those behind to read again", () =>
    behind.every(({ pictures }, index) => pictures > (paused[index] ?? 0)),
  );
  const before = behind.map(({ pictures }) => pictures);
  await waitFor("those behind to go on", async () => {
    await play(15);
    return behind.every(({ pictures, inspector }, index) => {
      return pictures >= (before[index] ?? 0) + 30 && inspector.counts.discontinuities > 0;
    });
  });

  const whole = { continuityErrors: 0, syncLosses: 0, skippedBytes: 0 };
  const told = behind.map(({ inspector }) => inspector.counts);
  for (const { inspector } of keepUp)
    expect(inspector.counts).toMatchObject({ ...whole, discontinuities: 0 });
  for (const counts of told) expect(counts).toMatchObject(whole);
  expect(told.every(({ discontinuities }) => discontinuities > 0)).toBe(true);
  expect(await origin.metric("spillway_origin_ts_skips_total")).toBeGreaterThanOrEqual(BEHIND);
  expect(await origin.metric("spillway_origin_ts_viewers")).toBe(KEEP_UP + BEHIND);
  expect(await origin.metric("spillway_origin_ts_dropped_viewers_total")).toBe(0);
  for (const viewer of viewers) viewer.close();
  await waitFor("all to be gone", async () => (await origin.metric("spillway_origin_ts_viewers")) === 0);
});
