/** The endless `.ts` with viewers that read, wait and fall behind. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { TsInspector } from "#common/formats/fixtures/mpegts-reader.ts";
import { createTsMuxer } from "#common/formats/mpegts.ts";
import { TS_BLOCKED_MS_MAX, TS_QUEUE_BYTES_MAX } from "./config.ts";
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

function open(): {
  clock: FakeClock;
  totals: RelayTotals;
  relay: TsRelay;
  play: (from: number, to: number, padding?: number) => void;
} {
  const clock = new FakeClock();
  const totals: RelayTotals = { viewers: 0, sentBytes: 0, skips: 0, droppedViewers: 0 };
  const relay = new TsRelay({ clock, totals });
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
        const whole = padding === 0 ? data : new Uint8Array([...data, ...filler]);
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
    const padding = Math.ceil(TS_QUEUE_BYTES_MAX / 70);
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
