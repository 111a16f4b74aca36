/**
 * Where a stream broke off, so that another connection to the same stream, at this origin or at one that serves the same
 * bytes, can be joined on to it packet by packet. Found again by the packet with which the last picture began, which its
 * time stamp makes unique, and by the packet after which nothing came.
 */
import type { Block } from "./gop-cutter.ts";
import { PACKET_BYTES } from "./ts-packets.ts";

/** Follows what is sent; after a break finds the place in what comes anew. */
export class ResumePoint {
  /** The first packet of the last picture that began, and the last packet. */
  #pictureStart: Buffer | undefined;
  #last: Buffer | undefined;
  /** Bytes from the beginning of the one to the end of the other. */
  #pictureBytes = 0;
  /** While it is searched for: bytes that are still to come of the picture that was found; -1 before. */
  #restBytes = -1;

  /** Takes note of a block that was sent, as it came. */
  note({ bytes, pictureAt }: Pick<Block, "bytes" | "pictureAt">): void {
    if (bytes.length === 0) return;
    if (pictureAt !== undefined) {
      this.#pictureStart = Buffer.from(bytes.subarray(pictureAt, pictureAt + PACKET_BYTES));
      this.#pictureBytes = 0;
    }
    this.#pictureBytes += bytes.length - (pictureAt ?? 0);
    this.#last = Buffer.from(bytes.subarray(-PACKET_BYTES));
  }

  /** Another connection has begun: {@link search} starts at its first block. */
  rewind(): void {
    this.#restBytes = -1;
  }

  /** What of the next block is new; `undefined` as long as nothing is, or this is not the same stream. */
  search(bytes: Uint8Array): Uint8Array | undefined {
    if (this.#pictureStart === undefined || this.#last === undefined) return undefined;
    let at = 0;
    if (this.#restBytes === -1) {
      at = indexOfPacket(bytes, this.#pictureStart);
      if (at === -1) return undefined;
      this.#restBytes = this.#pictureBytes;
    }
    const end = at + this.#restBytes;
    if (end > bytes.length) {
      this.#restBytes -= bytes.length - at;
      return undefined;
    }
    this.#restBytes = -1;
    return this.#last.equals(bytes.subarray(end - PACKET_BYTES, end)) ? bytes.subarray(end) : undefined;
  }
}

function indexOfPacket(bytes: Uint8Array, packet: Buffer): number {
  for (let at = 0; at + PACKET_BYTES <= bytes.length; at += PACKET_BYTES) {
    if (packet.equals(bytes.subarray(at, at + PACKET_BYTES))) return at;
  }
  return -1;
}
