/**
 * The outermost layer of fragmented MP4, under feed and CMAF: cuts a byte stream into whole top-level boxes, and
 * turns boxes of mp4box into bytes. mp4box itself keeps every box of a stream for ever, so a stream is cut here and
 * each fragment goes to it alone.
 */
// ISO/IEC 14496-12 4.2 (object structure)
import { type Box, DataStream, Log } from "mp4box";
import { SpillwayError } from "#common/errors.ts";
import { MEBIBYTE } from "#common/units.ts";

/**
 * A longer top-level box is taken for garbage. A key frame at the highest bit rate that the server takes is up to
 * 25 MB; its tests compare the two.
 */
export const BOX_BYTES_MAX = 32 * MEBIBYTE;

/** Size and type; the feed has no box long enough for the 64-bit size that may follow. */
const HEADER_BYTES = 8;
const TYPE_PATTERN = /^[\x20-\x7e]{4}$/;

/** Bytes that are not what the format asks for. `message` says what was wrong. */
export class FeedFormatError extends SpillwayError {
  override readonly name = "FeedFormatError";

  constructor(message: string, options?: { readonly cause?: unknown }) {
    super("bad-feed", message, options);
  }
}

// What mp4box cannot read it also writes to the console; here it ends in a FeedFormatError, which says it once.
Log.error = () => {};

/** What `read` returns; whatever it throws on bytes that it cannot make sense of becomes a {@link FeedFormatError}. */
export function refuseUnreadable<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof FeedFormatError) throw cause;
    throw new FeedFormatError(`${what} cannot be read`, { cause });
  }
}

/** One whole box, header included. `bytes` belongs to whoever receives it. */
export interface WholeBox {
  /** Four printable characters. */
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Content of a box: what follows size and type. */
export function boxContent(box: WholeBox): Uint8Array<ArrayBuffer> {
  return box.bytes.subarray(HEADER_BYTES);
}

/** Cuts a stream of any chunks into whole top-level boxes, holding at most one that is not complete. */
export class BoxSplitter {
  readonly #visit: (box: WholeBox) => void;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #type = "";
  /** The box being filled; the header while its size is not known yet. */
  #target: Uint8Array<ArrayBuffer> = this.#header;
  #filledBytes = 0;

  constructor(visit: (box: WholeBox) => void) {
    this.#visit = visit;
  }

  /** Takes the next bytes and visits every box they complete. Throws {@link FeedFormatError} on a size or type that cannot be. */
  push(chunk: Uint8Array): void {
    let offset = 0;
    while (offset < chunk.length) {
      const takenBytes = Math.min(this.#target.length - this.#filledBytes, chunk.length - offset);
      this.#target.set(chunk.subarray(offset, offset + takenBytes), this.#filledBytes);
      offset += takenBytes;
      this.#filledBytes += takenBytes;
      if (this.#filledBytes < this.#target.length) return;
      if (this.#target === this.#header) this.#openBox();
      if (this.#filledBytes === this.#target.length) this.#closeBox();
    }
  }

  #openBox(): void {
    const { sizeBytes, type } = readBoxHeader(this.#header);
    if (sizeBytes > BOX_BYTES_MAX) throw new FeedFormatError(`Box ${type} of ${sizeBytes} bytes is too long`);
    this.#type = type;
    this.#target = new Uint8Array(sizeBytes);
    this.#target.set(this.#header);
  }

  #closeBox(): void {
    const box: WholeBox = { type: this.#type, bytes: this.#target };
    this.#target = this.#header;
    this.#filledBytes = 0;
    this.#visit(box);
  }
}

/** Size (header included) and type of the box at the start of `bytes`, which holds at least its header. */
function readBoxHeader(bytes: Uint8Array): { readonly sizeBytes: number; readonly type: string } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sizeBytes = view.getUint32(0);
  const type = String.fromCharCode(...bytes.subarray(4, HEADER_BYTES));
  if (!TYPE_PATTERN.test(type))
    throw new FeedFormatError("Not a box: its type is not four printable characters");
  if (sizeBytes < HEADER_BYTES) throw new FeedFormatError(`Box ${type} has the impossible size ${sizeBytes}`);
  return { sizeBytes, type };
}

/** Content of the first box at `path` below `bytes`, a run of whole boxes; `undefined` where there is none. */
export function findBoxContent(bytes: Uint8Array, path: readonly string[]): Uint8Array | undefined {
  return findBoxContents(bytes, path)[0];
}

/** Contents of all boxes at `path` below `bytes`, in order. */
export function findBoxContents(bytes: Uint8Array, path: readonly string[]): Uint8Array[] {
  return path.reduce<Uint8Array[]>(
    (within, wanted) =>
      within.flatMap((content) =>
        readChildren(content).flatMap((child) => (child.type === wanted ? [child.content] : [])),
      ),
    [bytes],
  );
}

/** Type and content of each of the boxes that `bytes` is a run of. */
export function readChildren(bytes: Uint8Array): { readonly type: string; readonly content: Uint8Array }[] {
  const children: { readonly type: string; readonly content: Uint8Array }[] = [];
  for (let offset = 0; offset + HEADER_BYTES <= bytes.length;) {
    const { sizeBytes, type } = readBoxHeader(bytes.subarray(offset));
    if (offset + sizeBytes > bytes.length) throw new FeedFormatError(`Box ${type} is longer than its parent`);
    children.push({ type, content: bytes.subarray(offset + HEADER_BYTES, offset + sizeBytes) });
    offset += sizeBytes;
  }
  return children;
}

/** The bytes of boxes made with mp4box, one after the other. */
export function writeBoxes(...boxes: readonly Box[]): Uint8Array<ArrayBuffer> {
  const stream = new DataStream();
  for (const box of boxes) box.write(stream);
  return new Uint8Array(stream.buffer);
}

/** A box of `type` around `content`. */
export function wrapBox(type: string, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES + content.length);
  new DataView(bytes.buffer).setUint32(0, bytes.length);
  for (let index = 0; index < 4; index++) bytes[4 + index] = type.charCodeAt(index);
  bytes.set(content, HEADER_BYTES);
  return bytes;
}
