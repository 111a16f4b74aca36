/** The endless `.ts` with viewers that read, wait and fall behind. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { TsInspector } from "#common/formats/fixtures/mpegts-reader.ts";
import { joinBytes } from "#common/formats/mp4-boxes.ts";
import { createTsMuxer } from "#common/formats/mpegts.ts";
import { TS_BLOCKED_MS_MAX, TS_GROUP_BYTES_MAX, TS_QUEUE_BYTES_MIN } from "./config.ts";
import { type RelayTotals, TsRelay, type ViewerPlace, type ViewerSink } from "./relay.ts";

const run = testsrcRun();
const [rendition] = run.renditions;
if (rendition === undefined) throw new Error("the test picture has a rendition");
const picture = rendition;

/** A client whose socket may be full. */
class Client implements ViewerSink {
  readonly inspector = new TsInspector();
  isClosed = false;
  bytes = 0;
  isSlow = false;
  /** Set by the test: the peer has gone, and the next write finds out. */
  isGone = false;
  canWrite = true;
  place: ViewerPlace | undefined;
  readonly #totals: RelayTotals;

  constructor(relay: TsRelay, totals: RelayTotals, isSlow = false) {
    this.#totals = totals;
    this.isSlow = isSlow;
    this.place = relay.join(this);
  }

  write(bytes: Uint8Array | string): void {
    if (typeof bytes === "string") throw new TypeError("packets are bytes");
    if (this.isGone) {
      this.close();
      return;
    }
    this.inspector.push(bytes);
    this.bytes += bytes.length;
    this.#totals.sentBytes += bytes.length;
    this.canWrite = !this.isSlow;
  }

  close(): void {
    this.isClosed = true;
    this.canWrite = false;
    this.place?.leave();
  }

  recover(): void {
    this.isSlow = false;
    this.canWrite = true;
    this.place?.drain();
  }
}

function open(options: { readonly queuesBytesMax?: number } = {}): {
  clock: FakeClock;
  totals: RelayTotals;
  relay: TsRelay;
  play: (from: number, to: number, padding?: number) => void;
} {
  const clock = new FakeClock();
  const totals: RelayTotals = { viewers: 0, sentBytes: 0, queuedBytes: 0, skips: 0, droppedViewers: 0 };
  const relay = new TsRelay({ clock, totals, ...options });
  const muxer = createTsMuxer({ rendition: picture, fps: 30 });
  return {
    clock,
    totals,
    relay,
    play(from, to, padding = 0) {
      for (let index = from; index < to; index++) {
        const { isKey, data } = testsrcFrame(run, index);
        // A NAL unit of filler (type 12) makes the frame as long as one of a busy canvas.
        const filler = new Uint8Array(padding).fill(0x0c);
        if (padding > 4) new DataView(filler.buffer).setUint32(0, padding - 4);
        const whole = joinBytes([data, filler]);
        relay.push({ bytes: muxer.muxFrame({ index, isKey, data: whole }), isKey }, 30);
      }
      relay.flush();
    },
  };
}

describe("TsRelay", () => {
  test("a viewer begins with the tables of the last key frame and misses nothing afterwards", () => {
    const { relay, play, totals } = open();
    play(0, 40);
    const client = new Client(relay, totals);
    play(40, 90);
    expect(client.inspector.counts).toMatchObject({
      accessUnits: 60,
      randomAccessPoints: 2,
      continuityErrors: 0,
      skippedBytes: 0,
    });
    expect(totals).toMatchObject({ viewers: 1, sentBytes: client.bytes });
    client.place?.leave();
    expect(totals.viewers).toBe(0);
  });

  test("a viewer who comes before the first key frame waits for it", () => {
    const { relay, play, totals } = open();
    const client = new Client(relay, totals);
    play(0, 3);
    expect(client.inspector.counts.accessUnits).toBe(3);
  });

  test("a slow viewer loses whole groups, is told so, and sees no broken packet", () => {
    const { relay, play, totals } = open();
    const slow = new Client(relay, totals);
    const fast = new Client(relay, totals);
    slow.isSlow = true;
    const padding = Math.ceil(TS_QUEUE_BYTES_MIN / 70);
    play(0, 180, padding);
    expect(totals.skips).toBe(2);
    slow.recover();
    play(180, 240, padding);
    const { counts } = slow.inspector;
    expect(counts).toMatchObject({ continuityErrors: 0, skippedBytes: 0 });
    expect(counts.accessUnits % 30).toBe(0);
    expect(counts.accessUnits).toBeLessThan(240);
    expect(counts.discontinuities).toBeGreaterThanOrEqual(2);
    expect(fast.inspector.counts).toMatchObject({ accessUnits: 240, continuityErrors: 0 });
  });

  test("a slow viewer of a stream whose groups are longer than the least queue goes on with the next key frame", () => {
    const { relay, play, totals } = open();
    // Two groups of pictures of 1.2 times the queue: some 40 Mbit/s.
    const padding = Math.ceil((1.2 * TS_QUEUE_BYTES_MIN) / 30);
    play(0, 30, padding);
    const slow = new Client(relay, totals, true);
    play(30, 150, padding);
    expect(totals.skips).toBeGreaterThan(0);
    slow.recover();
    play(150, 210, padding);
    const { counts } = slow.inspector;
    expect(counts).toMatchObject({ continuityErrors: 0, skippedBytes: 0 });
    expect(counts.accessUnits % 30).toBe(0);
    // The last two groups came whole after it had recovered.
    expect(counts.accessUnits).toBeGreaterThanOrEqual(90);
  });

  test("what waits for many viewers lies in memory once", () => {
    const { relay, play, totals } = open();
    play(0, 30);
    const clients = Array.from({ length: 100 }, () => new Client(relay, totals, true));
    play(30, 60);
    const waiting = totals.queuedBytes;
    expect(waiting).toBeGreaterThan(0);
    const more = new Client(relay, totals, true);
    expect(totals.queuedBytes).toBe(waiting);
    for (const client of [...clients, more]) client.place?.leave();
    expect(totals).toMatchObject({ viewers: 0, queuedBytes: 0 });
  });

  test("past the bound of all queues together, who is behind loses what waits, and others nothing", () => {
    const queuesBytesMax = TS_QUEUE_BYTES_MIN;
    const { relay, play, totals } = open({ queuesBytesMax });
    const padding = Math.ceil(TS_QUEUE_BYTES_MIN / 100);
    play(0, 33, padding);
    const fast = new Client(relay, totals);
    const slow: Client[] = [];
    for (let group = 0; group < 6; group++) {
      // Each stays behind with a group of its own.
      slow.push(new Client(relay, totals, true));
      play(33 + 30 * group, 63 + 30 * group, padding);
      expect(totals.queuedBytes).toBeLessThanOrEqual(queuesBytesMax);
    }
    expect(totals.skips).toBeGreaterThan(0);
    expect(fast.inspector.counts).toMatchObject({
      accessUnits: 183,
      continuityErrors: 0,
      discontinuities: 0,
    });
    for (const client of slow) client.recover();
    expect(totals.queuedBytes).toBe(0);
    play(213, 273);
    expect(slow.map(({ inspector }) => inspector.counts.continuityErrors)).toEqual(slow.map(() => 0));
  });

  test("a group without an end is not kept for newcomers, who wait for the next key frame", () => {
    const { relay, play, totals } = open();
    const padding = Math.ceil(TS_GROUP_BYTES_MAX / 28);
    play(0, 29, padding);
    const client = new Client(relay, totals);
    expect(client.bytes).toBe(0);
    play(29, 31);
    expect(client.inspector.counts.accessUnits).toBe(1);
  });

  test("a viewer that takes nothing is dropped", () => {
    const { relay, play, totals, clock } = open();
    const dead = new Client(relay, totals, true);
    play(0, 6);
    clock.advance(TS_BLOCKED_MS_MAX + 1);
    play(6, 9);
    expect(dead.isClosed).toBe(true);
    expect(totals).toMatchObject({ viewers: 0, droppedViewers: 1 });
  });

  test("a viewer found gone in the midst of a batch leaves the others alone", () => {
    const { relay, play, totals } = open();
    const gone = new Client(relay, totals);
    const other = new Client(relay, totals);
    play(0, 6);
    gone.isGone = true;
    play(6, 12);
    expect([gone.isClosed, other.inspector.counts.accessUnits, totals.viewers]).toEqual([true, 12, 1]);
  });

  test("breakOff() waits for a key frame and marks it", () => {
    const { relay, play, totals } = open();
    const client = new Client(relay, totals);
    play(0, 10);
    relay.breakOff();
    play(70, 80);
    expect(client.inspector.counts.accessUnits).toBe(10);
    play(90, 100);
    expect(client.inspector.counts).toMatchObject({ accessUnits: 20, discontinuities: 2 });
  });
});
