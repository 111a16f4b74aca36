/**
 * The canvas as a PNG, for `/canvas.png`: copied out of the shared memory in one go, then encoded off the main thread.
 * However many ask at once, one encoding runs and at most one waits, which all the others share; an answer is never
 * older than its request.
 */
// PNG through a Windows bitmap with BITMAPV5HEADER, which is the canvas's own bytes behind a header of 138
import type { Framebuffer } from "./framebuffer.ts";

const FILE_HEADER_BYTES = 14;
const INFO_HEADER_BYTES = 124;
const HEADER_BYTES = FILE_HEADER_BYTES + INFO_HEADER_BYTES;
const BITS_PER_PIXEL = 32;
/** Compression "bit fields": the masks say where each channel is. */
const BI_BITFIELDS = 3;
/** Masks of r, g, b and a in a little-endian word of the canvas. */
const MASKS = [0x0000_00ff, 0x0000_ff00, 0x00ff_0000, 0xff00_0000];
/** zlib's fastest level: a picture of noise is no smaller at a higher one, and players draw noise. */
const COMPRESSION_LEVEL = 1;

export class CanvasImage {
  readonly #framebuffer: Framebuffer;
  #running: Promise<Uint8Array> | undefined;
  #waiting: Promise<Uint8Array> | undefined;

  constructor(framebuffer: Framebuffer) {
    this.#framebuffer = framebuffer;
  }

  /** A PNG of the canvas as it is at the call or later. */
  png(): Promise<Uint8Array> {
    if (this.#running === undefined) return this.#run();
    this.#waiting ??= this.#running.then(
      () => this.#runNext(),
      () => this.#runNext(),
    );
    return this.#waiting;
  }

  #runNext(): Promise<Uint8Array> {
    this.#waiting = undefined;
    return this.#run();
  }

  #run(): Promise<Uint8Array> {
    const image = new Bun.Image(encodeBitmap(this.#framebuffer), {
      maxPixels: this.#framebuffer.width * this.#framebuffer.height,
    });
    const running = image.png({ compressionLevel: COMPRESSION_LEVEL }).bytes();
    this.#running = running.finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }
}

/** The canvas as a bitmap file, rows from the top. `Bun.Image` refuses shared memory, so this is a copy of it. */
function encodeBitmap({ width, height, bytes }: Framebuffer): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(HEADER_BYTES + bytes.length);
  const view = new DataView(file.buffer);
  view.setUint16(0, 0x4d42, true); // "BM"
  view.setUint32(2, file.length, true);
  view.setUint32(10, HEADER_BYTES, true);
  view.setUint32(14, INFO_HEADER_BYTES, true);
  view.setInt32(18, width, true);
  view.setInt32(22, -height, true); // below 0: the first row is the top one
  view.setUint16(26, 1, true);
  view.setUint16(28, BITS_PER_PIXEL, true);
  view.setUint32(30, BI_BITFIELDS, true);
  view.setUint32(34, bytes.length, true);
  MASKS.forEach((mask, index) => view.setUint32(54 + index * 4, mask, true));
  file.set(bytes, HEADER_BYTES);
  return file;
}
