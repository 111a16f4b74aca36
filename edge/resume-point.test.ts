/** Finding the place where a stream broke off in what another connection brings. */
import { expect, test } from "bun:test";
import { createRandom } from "#common/random.ts";
import { FakeTransportStream } from "./fake-transport-stream.ts";
import { type Block, GopCutter } from "./gop-cutter.ts";
import { ResumePoint } from "./resume-point.ts";
import { PACKET_BYTES } from "./ts-packets.ts";

/** As blocks of a connection that brings `bytes` in chunks of random sizes. */
function cut(bytes: Uint8Array, random: () => number): readonly Block[] {
  const blocks: Block[] = [];
  const cutter = new GopCutter((block) => blocks.push(block));
  for (let at = 0; at < bytes.length;) {
    const size = 1 + Math.floor(random() * 4_000);
    cutter.push(bytes.subarray(at, at + size));
    if (random() < 0.3) cutter.flush();
    at += size;
  }
  cutter.flush();
  return blocks;
}

test("ResumePoint joins a stream on, wherever it broke off and wherever the next connection begins", () => {
  const random = createRandom(7);
  for (let round = 0; round < 300; round++) {
    const stream = new FakeTransportStream();
    const gops = Array.from({ length: 4 }, () => stream.gop(6, 5));
    const whole = Buffer.concat(gops);
    const [one = whole, two = whole] = gops;
    const isLate = random() < 0.5;
    // In the second group or the third, tables included; the next connection begins with one of those or the one before.
    const brokeAt = one.length + (isLate ? two.length : 0) + Math.floor(random() * two.length);
    const point = new ResumePoint();
    const before = cut(whole.subarray(0, brokeAt), random);
    for (const block of before) point.note(block);
    point.rewind();
    const after = cut(whole.subarray(isLate && random() < 0.5 ? one.length : 0), random);
    const joined = after.findIndex(({ bytes }) => point.search(bytes) !== undefined);
    expect(joined).toBeGreaterThanOrEqual(0);
    point.rewind();
    const news = after.slice(0, joined + 1).map(({ bytes }) => point.search(bytes));
    const rest = after.slice(joined + 1).map(({ bytes }) => bytes);
    const received = [...before.map(({ bytes }) => bytes), news.at(-1) ?? whole, ...rest];
    expect(Buffer.concat(received).equals(whole)).toBe(true);
  }
});

test("ResumePoint finds nothing in another stream, or before there was one", () => {
  const random = createRandom(8);
  const point = new ResumePoint();
  const bytes = new FakeTransportStream().gop();
  expect(point.search(bytes)).toBeUndefined();
  for (const block of cut(bytes.subarray(0, 30 * PACKET_BYTES), random)) point.note(block);
  // The same pictures at the same times, longer by a packet each.
  for (const block of cut(new FakeTransportStream().gop(10, 6), random)) {
    expect(point.search(block.bytes)).toBeUndefined();
  }
});
