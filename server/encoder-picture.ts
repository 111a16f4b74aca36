/**
 * The canvas as it was at one moment: a native RGBA frame that all renditions are scaled from. One copy a frame; none
 * where nothing was painted since, which comparing tells at a fraction of the price.
 */
import type { Frame } from "node-av/lib";
import { type Av, expectSuccess, expectThere } from "./encoder-av.ts";
import type { CanvasMemory } from "./encoder-messages.ts";

const PIXEL_BYTES = 4;
/** Alignment of rows for the scaler's vector instructions. */
export const FRAME_ALIGN_BYTES = 64;

/** Owns one native frame, with even sides: an odd canvas gets its last column and row twice. */
export class Picture {
  readonly frame: Frame;
  readonly #canvas: CanvasMemory;
  readonly #pixels: Buffer;
  readonly #rows: Buffer;
  readonly #strideBytes: number;
  #isBlank = true;

  constructor(av: Av, canvas: CanvasMemory) {
    const { library, constants } = av;
    this.#canvas = canvas;
    this.#pixels = Buffer.from(canvas.memory, canvas.byteOffset, canvas.width * canvas.height * PIXEL_BYTES);
    this.frame = new library.Frame();
    try {
      this.frame.alloc();
      this.frame.format = constants.AV_PIX_FMT_RGBA;
      this.frame.width = canvas.width + (canvas.width % 2);
      this.frame.height = canvas.height + (canvas.height % 2);
      this.frame.colorSpace = constants.AVCOL_SPC_RGB;
      this.frame.colorRange = constants.AVCOL_RANGE_JPEG;
      expectSuccess(this.frame.getBuffer(FRAME_ALIGN_BYTES), "memory for the canvas's picture");
      this.#rows = expectThere(this.frame.data?.[0], "memory for the canvas's picture");
      this.#strideBytes = expectThere(this.frame.linesize[0], "row length");
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** True until the first {@link Picture.capture}. */
  get isBlank(): boolean {
    return this.#isBlank;
  }

  /** Copies the canvas as it is now. False when it is the same as at the last capture. */
  capture(): boolean {
    const { width, height } = this.#canvas;
    const rowBytes = width * PIXEL_BYTES;
    const isTight = rowBytes === this.#strideBytes && height % 2 === 0;
    // Whole, where rows lie the same on both sides; else row by row.
    const blockBytes = isTight ? rowBytes * height : rowBytes;
    let isChanged = this.#isBlank;
    for (let from = 0, to = 0; from < rowBytes * height; from += blockBytes, to += this.#strideBytes) {
      const isSame = this.#pixels.compare(this.#rows, to, to + blockBytes, from, from + blockBytes) === 0;
      if (isSame && !this.#isBlank) continue;
      this.#rows.set(this.#pixels.subarray(from, from + blockBytes), to);
      isChanged = true;
    }
    if (isChanged && !isTight) this.#fillEdges();
    this.#isBlank = false;
    return isChanged;
  }

  /** Repeats the last column and row into the padding, so that no foreign colour bleeds in. */
  #fillEdges(): void {
    const { width, height } = this.#canvas;
    const stride = this.#strideBytes;
    if (width % 2 === 1) {
      for (let row = 0; row < height; row++) {
        const end = row * stride + width * PIXEL_BYTES;
        this.#rows.copyWithin(end, end - PIXEL_BYTES, end);
      }
    }
    if (height % 2 === 1) this.#rows.copyWithin(height * stride, (height - 1) * stride, height * stride);
  }

  /** Frees the native memory. */
  close(): void {
    this.frame.free();
  }
}
