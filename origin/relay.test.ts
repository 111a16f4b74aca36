/** The endless `.ts` with viewers that read, wait and fall behind. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { TsInspector } from "#common/formats/fixtures/mpegts-reader.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { createTsMuxer } from "#common/formats/mpegts.ts";
import {
  BLOCKED_MS_MAX,
  END_MS_MAX,
  FanOutTotals,
  type ViewerPlace,
  type ViewerSink,
} from "#common/ts-fan-out.ts";
import { LAG_BYTES_MIN } from "#common/ts-log.ts";
import { TsRelay } from "./relay.ts";

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

  constructor(relay: TsRelay, isSlow = false) {
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
    this.canWrite = !this.isSlow;
  }

  close(): void {
    this.isClosed = true;
    this.canWrite = false;
    this.place?.leave();
  }

  abort(): void {
    this.close();
  }

  recover(): void {
    this.isSlow = false;
    this.canWrite = true;
    this.place?.drain();
  }
}

function open(options: { readonly logsBytesMax?: number } = {}): {
  clock: FakeClock;
  totals: FanOutTotals;
  relay: TsRelay;
  play: (from: number, to: number, padding?: number) => void;
} {
  const clock = new FakeClock();
  const totals = new FanOutTotals();
  const relay = new TsRelay({ clock, totals, counters: { sentBytes: 0 }, ...options });
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
    const client = new Client(relay);
    play(40, 90);
    expect(client.inspector.counts).toMatchObject({
      accessUnits: 60,
      randomAccessPoints: 2,
      continuityErrors: 0,
      skippedBytes: 0,
    });
    expect(totals).toMatchObject({ viewers: 1 });
    client.place?.leave();
    expect(totals.viewers).toBe(0);
  });

  test("a viewer who comes before the first key frame waits for it", () => {
    const { relay, play } = open();
    const client = new Client(relay);
    play(0, 3);
    expect(client.inspector.counts.accessUnits).toBe(3);
  });

  test("a slow viewer loses whole groups, is told so, and sees no broken packet", () => {
    const { relay, play, totals } = open();
    const slow = new Client(relay);
    const fast = new Client(relay);
    slow.isSlow = true;
    const padding = Math.ceil(LAG_BYTES_MIN / 70);
    play(0, 180, padding);
    slow.recover();
    expect(totals.skips).toBe(1);
    const lostBytes = fast.bytes - slow.bytes;
    expect(totals.lostBytes).toBe(lostBytes);
    play(180, 240, padding);
    expect(fast.bytes - slow.bytes).toBe(lostBytes);
    const { counts } = slow.inspector;
    expect(counts).toMatchObject({ continuityErrors: 0, skippedBytes: 0, discontinuities: 2 });
    expect(counts.accessUnits).toBeLessThan(240);
    expect(fast.inspector.counts).toMatchObject({ accessUnits: 240, continuityErrors: 0 });
  });

  test("a slow viewer of a stream whose groups are longer than the least queue goes on with the next key frame", () => {
    const { relay, play, totals } = open();
    // Two groups of pictures of 1.2 times the queue: some 40 Mbit/s.
    const padding = Math.ceil((1.2 * LAG_BYTES_MIN) / 30);
    play(0, 30, padding);
    const slow = new Client(relay, true);
    play(30, 150, padding);
    slow.recover();
    expect(totals.skips).toBeGreaterThan(0);
    play(150, 210, padding);
    const { counts } = slow.inspector;
    expect(counts).toMatchObject({ continuityErrors: 0, skippedBytes: 0 });
    // The last two groups came whole after it had recovered.
    expect(counts.accessUnits).toBeGreaterThanOrEqual(90);
  });

  test("what waits for many viewers lies in memory once", () => {
    const { relay, play, totals } = open();
    play(0, 30);
    const logged = totals.loggedBytes;
    const clients = Array.from({ length: 100 }, () => new Client(relay, true));
    expect(totals.loggedBytes).toBe(logged);
    relay.close();
    expect(clients.every((client) => client.isClosed)).toBe(true);
    expect(totals).toMatchObject({ viewers: 0, loggedBytes: 0, unsentBytes: 0, open: 0 });
  });

  test("all logs together are bounded, who is behind loses groups, and others nothing", () => {
    const logsBytesMax = 2 * LAG_BYTES_MIN;
    const { relay, play, totals } = open({ logsBytesMax });
    totals.open++;
    const padding = Math.ceil(LAG_BYTES_MIN / 100);
    play(0, 33, padding);
    const fast = new Client(relay);
    const slow: Client[] = [];
    for (let group = 0; group < 6; group++) {
      slow.push(new Client(relay, true));
      play(33 + 30 * group, 63 + 30 * group, padding);
      // The other of the two that are open has the other half.
      expect(totals.loggedBytes).toBeLessThanOrEqual(logsBytesMax / 2);
    }
    expect(fast.inspector.counts).toMatchObject({
      accessUnits: 183,
      continuityErrors: 0,
      discontinuities: 0,
    });
    for (const client of slow) client.recover();
    expect(totals.skips).toBeGreaterThan(0);
    expect(totals.lostBytes).toBeGreaterThan(0);
    play(213, 273);
    expect(slow.map(({ inspector }) => inspector.counts.continuityErrors)).toEqual(slow.map(() => 0));
  });

  test("a group without an end is not kept for newcomers, who wait for the next key frame", () => {
    const { relay, play } = open({ logsBytesMax: LAG_BYTES_MIN });
    const padding = Math.ceil(LAG_BYTES_MIN / 28);
    play(0, 29, padding);
    const client = new Client(relay);
    expect(client.bytes).toBe(0);
    play(29, 31);
    expect(client.inspector.counts.accessUnits).toBe(1);
  });

  test("a viewer that takes nothing is dropped", () => {
    const { relay, play, totals, clock } = open();
    const dead = new Client(relay, true);
    play(0, 6);
    clock.advance(BLOCKED_MS_MAX + 1);
    play(6, 9);
    expect(dead.isClosed).toBe(true);
    expect(totals).toMatchObject({ viewers: 0, droppedViewers: 1 });
  });

  test("a viewer found gone in the midst of a batch leaves the others alone", () => {
    const { relay, play, totals } = open();
    const gone = new Client(relay);
    const other = new Client(relay);
    play(0, 6);
    gone.isGone = true;
    play(6, 12);
    expect([gone.isClosed, other.inspector.counts.accessUnits, totals.viewers]).toEqual([true, 12, 1]);
  });

  test("end() lets who is behind have what waits, for a while, and adds nothing", () => {
    const { relay, play, totals, clock } = open();
    play(0, 30);
    const [slow, dead] = [new Client(relay, true), new Client(relay, true)];
    const fast = new Client(relay);
    play(30, 60);
    relay.end();
    expect([fast.isClosed, slow.isClosed, dead.isClosed]).toEqual([true, false, false]);
    slow.recover();
    expect([slow.isClosed, slow.bytes]).toEqual([true, fast.bytes]);
    expect(slow.inspector.counts).toMatchObject({ accessUnits: 60, continuityErrors: 0 });
    clock.advance(END_MS_MAX);
    expect(dead.isClosed).toBe(true);
    expect(totals).toMatchObject({ viewers: 0, loggedBytes: 0, open: 0 });
  });

  test("breakOff() waits for a key frame and marks it", () => {
    const { relay, play } = open();
    const client = new Client(relay);
    play(0, 10);
    relay.breakOff();
    play(70, 80);
    expect(client.inspector.counts.accessUnits).toBe(10);
    play(90, 100);
    expect(client.inspector.counts).toMatchObject({ accessUnits: 20, discontinuities: 2 });
  });
});
