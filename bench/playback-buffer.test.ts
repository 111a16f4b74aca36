/** The modelled buffer: stalls at the very moment when it runs dry. */
import { describe, expect, test } from "bun:test";
import { PlaybackBuffer } from "./playback-buffer.ts";

describe("PlaybackBuffer", () => {
  test("begins once enough is buffered, and says so once", () => {
    const buffer = new PlaybackBuffer(400);
    expect([buffer.append(0, 200), buffer.append(10, 200), buffer.append(20, 200)]).toEqual([
      false,
      true,
      false,
    ]);
    expect(buffer.aheadMs(110)).toBe(500);
  });

  test("counts no stall when media comes at the last moment", () => {
    const buffer = new PlaybackBuffer(100);
    buffer.append(0, 200);
    buffer.append(200, 200);
    buffer.advance(400);
    expect([buffer.stalls, buffer.isStalled]).toEqual([0, false]);
  });

  test("stalls at the moment it runs dry, however late that is noticed", () => {
    const buffer = new PlaybackBuffer(100);
    buffer.append(0, 200);
    buffer.append(350, 50);
    expect([buffer.stalls, buffer.stalledMs, buffer.isStalled]).toEqual([1, 0, true]);
    buffer.append(360, 50);
    expect([buffer.stalls, buffer.stalledMs, buffer.isStalled]).toEqual([1, 160, false]);
    expect(buffer.aheadMs(360)).toBe(100);
  });

  test("counts a stall that lasts until the end of the run", () => {
    const buffer = new PlaybackBuffer(100);
    buffer.append(0, 200);
    buffer.advance(1_000, true);
    expect([buffer.stalls, buffer.stalledMs]).toEqual([1, 800]);
  });

  test("does not count waiting for the first media as a stall", () => {
    const buffer = new PlaybackBuffer(100);
    buffer.seek(150);
    buffer.append(5_000, 200);
    buffer.advance(9_000, true);
    expect([buffer.hasBegun, buffer.stalls, buffer.stalledMs]).toEqual([false, 0, 0]);
  });

  test("takes back what was assumed too long", () => {
    const buffer = new PlaybackBuffer(100);
    buffer.append(0, 200);
    buffer.correct(0, -50);
    buffer.advance(160, true);
    expect([buffer.stalls, buffer.stalledMs]).toEqual([1, 10]);
  });
});
