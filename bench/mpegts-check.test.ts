/** The cheap MPEG-TS check: finds what is broken, at any cut of the stream. */
import { describe, expect, test } from "bun:test";
import { tsPacket } from "./fake-hls-origin.ts";
import { MpegtsCheck } from "./mpegts-check.ts";

function stream(indexes: readonly number[]): Uint8Array {
  return Buffer.concat(indexes.map(tsPacket));
}

function checked(bytes: Uint8Array, chunkBytes = bytes.length): MpegtsCheck {
  const check = new MpegtsCheck();
  for (let from = 0; from < bytes.length; from += chunkBytes)
    check.push(bytes.subarray(from, from + chunkBytes));
  return check;
}

const whole = Array.from({ length: 40 }, (_, index) => index);

describe("MpegtsCheck", () => {
  for (const chunkBytes of [1, 187, 188, 189, 1_000, 7_520]) {
    test(`finds nothing wrong with a good stream in chunks of ${chunkBytes} bytes`, () => {
      expect(checked(stream(whole), chunkBytes)).toMatchObject({
        packets: 40,
        continuityErrors: 0,
        syncErrors: 0,
        beginsWithTables: true,
        beginsAtRandomAccess: true,
      });
    });
  }

  test("counts a lost packet and goes on from there", () => {
    expect(checked(stream(whole.filter((index) => index !== 20))).continuityErrors).toBe(1);
  });

  test("accepts a packet that is sent twice", () => {
    expect(checked(stream([...whole.slice(0, 10), 9, ...whole.slice(10)])).continuityErrors).toBe(0);
  });

  test("finds the boundary again after lost bytes", () => {
    const bytes = Buffer.concat([stream(whole.slice(0, 10)), Buffer.alloc(100), stream(whole.slice(10))]);
    expect(checked(bytes)).toMatchObject({
      packets: 40,
      syncErrors: 1,
      skippedBytes: 100,
      continuityErrors: 0,
    });
  });

  test("tells a stream that begins in the middle", () => {
    expect(checked(stream(whole.slice(5)))).toMatchObject({
      beginsWithTables: false,
      beginsAtRandomAccess: undefined,
    });
    expect(checked(stream([0, 2, 1])).beginsWithTables).toBeFalse();
  });
});
