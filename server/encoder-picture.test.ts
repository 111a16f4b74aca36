/** Native memory of the picture, by a made-up libavutil. */
import { expect, test } from "bun:test";
import type { Av } from "./encoder-av.ts";
import { Picture } from "./encoder-picture.ts";

test.each([
  ["cannot be had", -12, [new Uint8Array(4096)], [64]],
  ["has no data", 0, null, [64]],
  ["has no row length", 0, [Buffer.alloc(4096)], []],
])("Picture frees its frame where its memory %s", (_, code, data, linesize) => {
  let freed = 0;
  class FakeFrame {
    readonly data = data;
    readonly linesize = linesize;
    alloc(): void {}
    getBuffer(): number {
      return code;
    }
    free(): void {
      freed++;
    }
  }
  // All of libav that the constructor uses.
  const av = { library: { Frame: FakeFrame }, constants: {} } as unknown as Av;
  const canvas = { memory: new SharedArrayBuffer(16 * 16 * 4), byteOffset: 0, width: 16, height: 16 };
  expect(() => new Picture(av, canvas)).toThrow("The encoder failed");
  expect(freed).toBe(1);
});
