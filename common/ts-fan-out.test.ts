/** Turns of a crowd, sockets that stay full, openings and marks; what a viewer's decoder sees is tested with the relays. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import {
  BLOCKED_MS_MAX,
  FanOutTotals,
  TsFanOut,
  UNSENT_BYTES_MAX,
  type ViewerPlace,
  type ViewerSink,
} from "#common/ts-fan-out.ts";
import { LAG_BYTES_MIN, type TsBatch } from "#common/ts-log.ts";

/** Notes the first byte of each write. */
class Client implements ViewerSink {
  readonly got: number[] = [];
  canWrite = true;
  isClosed = false;
  isAborted = false;
  isSlow = false;
  place: ViewerPlace | undefined;

  write(bytes: Uint8Array | string): void {
    this.got.push(Number(bytes[0]));
    if (this.isSlow) this.canWrite = false;
  }

  close(): void {
    this.isClosed = true;
    this.canWrite = false;
    this.place?.leave();
  }

  abort(): void {
    this.isAborted = true;
    this.close();
  }

  recover(): void {
    this.isSlow = false;
    this.canWrite = true;
    this.place?.drain();
  }
}

function open() {
  const clock = new FakeClock();
  const totals = new FanOutTotals();
  const deferred: (() => void)[] = [];
  const fanOut = new TsFanOut({
    clock,
    totals,
    counters: { sentBytes: 0 },
    markDiscontinuity: ({ opening, bytes }) => Uint8Array.of(255, ...(opening ?? []), bytes[0] ?? 0),
    defer: (callback) => void deferred.push(callback),
  });
  const join = (isSlow = false): Client => {
    const client = new Client();
    client.isSlow = isSlow;
    client.place = fanOut.join(client);
    return client;
  };
  return { clock, totals, deferred, fanOut, join };
}

const batch = (mark: number, isKey = false, bytes = 1): TsBatch => ({
  bytes: new Uint8Array(bytes).fill(mark),
  isKey,
});

test("a crowd is served in slices, and what came meanwhile goes to all of it, in order", () => {
  const { deferred, fanOut, join } = open();
  fanOut.push(batch(1, true));
  const clients = Array.from({ length: 600 }, () => join());
  fanOut.push(batch(2));
  expect(clients.filter(({ got }) => got.includes(2)).length).toBe(256);
  fanOut.push(batch(3));
  expect(clients[0]?.got).toEqual([1, 2]);
  for (let next = deferred.shift(); next !== undefined; next = deferred.shift()) next();
  expect(clients.every(({ got }) => got.join() === "1,2,3")).toBe(true);
});

test("a round that is under way ends with the stream", () => {
  const { deferred, fanOut, join, totals } = open();
  fanOut.push(batch(1, true));
  const clients = Array.from({ length: 300 }, () => join());
  fanOut.push(batch(2));
  fanOut.close();
  for (const next of deferred) next();
  expect(clients.every(({ isClosed }) => isClosed)).toBe(true);
  expect(totals).toMatchObject({ viewers: 0, open: 0, loggedBytes: 0 });
});

test("past the bound of what the runtime keeps for full sockets, who takes nothing is dropped, and nobody else", () => {
  const { clock, fanOut, join, totals } = open();
  const bytes = UNSENT_BYTES_MAX / 4;
  fanOut.push(batch(1, true, bytes));
  const stuck = Array.from({ length: 4 }, () => join(true));
  expect([totals.unsentBytes, totals.droppedViewers]).toEqual([UNSENT_BYTES_MAX, 0]);
  // As long as nobody has waited for long, a full socket is what every start looks like.
  const recent = join(true);
  expect(totals.droppedViewers).toBe(0);
  recent.recover();
  clock.advance(1_001);
  join(true);
  expect(stuck.map(({ isAborted }) => isAborted)).toEqual([true, false, false, false]);
  expect([totals.unsentBytes, totals.droppedViewers]).toEqual([UNSENT_BYTES_MAX, 1]);
});

test("who begins gets the opening first, who goes on does not, and after a break all get the marks", () => {
  const { fanOut, join } = open();
  const opened = (mark: number): TsBatch => ({ ...batch(mark, true), opening: Uint8Array.of(100) });
  const early = join();
  fanOut.push(opened(1));
  const late = join();
  fanOut.push(opened(2));
  expect([early.got, late.got]).toEqual([
    [255, 2],
    [100, 2],
  ]);
  fanOut.breakOff();
  fanOut.push(batch(3));
  expect(fanOut.canBegin).toBe(false);
  fanOut.push(opened(4));
  expect([early.got, late.got, join().got]).toEqual([[255, 2, 255], [100, 2, 255], [255]]);
});

test("a viewer of few bits is no longer behind than one of many", () => {
  const { clock, fanOut, join, totals } = open();
  fanOut.push(batch(1, true));
  const slow = join(true);
  for (let second = 2; second < 14; second++) {
    clock.advance(1_000);
    fanOut.push(batch(second, true));
  }
  slow.recover();
  expect([slow.got, totals.skips, totals.lostGroups, totals.lostBytes]).toEqual([[1, 255], 1, 11, 11]);
  for (let second = 0; second < 60; second++) {
    clock.advance(1_000);
    fanOut.push(batch(14, true));
  }
  expect(totals.loggedBytes).toBe(21);
});

test("fill() reaches those for whom nothing is on its way, and drops who takes nothing", () => {
  const { clock, fanOut, join, totals } = open();
  fanOut.push(batch(1, true));
  const [quick, slow, dead] = [join(), join(true), join(true)];
  fanOut.push(batch(2));
  fanOut.fill(Uint8Array.of(9));
  slow.recover();
  expect([quick.got, slow.got]).toEqual([
    [1, 2, 9],
    [1, 2],
  ]);
  clock.advance(BLOCKED_MS_MAX + 1);
  fanOut.fill(Uint8Array.of(9));
  expect([dead.isAborted, totals.droppedViewers, slow.got]).toEqual([true, 1, [1, 2, 9]]);
});

test("groups of pictures that a viewer lost are counted by their key frames, whatever the log remembers of them", () => {
  const { fanOut, join, totals } = open();
  const bytes = LAG_BYTES_MIN / 16;
  const group = (mark: number): void => {
    fanOut.push(batch(mark, true, bytes));
    fanOut.push(batch(mark + 100, false, bytes));
  };
  group(1);
  const slow = join(true);
  // Of its group the rest is forgotten too, with most of the 40 after it; the last of them is there to go on with.
  for (let mark = 2; mark <= 42; mark++) group(mark);
  slow.recover();
  expect([slow.got, totals.skips, totals.lostGroups, totals.lostBytes]).toEqual([
    [1, 255, 142],
    1,
    40,
    81 * bytes,
  ]);
  // What begins while there is no key frame to go on with is lost as well.
  slow.isSlow = true;
  for (let mark = 43; mark <= 83; mark++) group(mark);
  fanOut.breakOff();
  slow.recover();
  group(84);
  expect([slow.got.slice(3), totals.skips, totals.lostGroups]).toEqual([[43, 255, 184], 2, 80]);
});
