/** Pieces of bytes as one array: boxes, packets, what a network brought in several chunks. */

/** One array with the bytes of all `parts`. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** The same, of pieces that nobody changes any more: a single one that has its memory to itself is taken as it is. */
export function wholeOf(pieces: readonly Uint8Array[]): Uint8Array {
  const [first] = pieces;
  const isWhole = pieces.length === 1 && first !== undefined && first.byteLength === first.buffer.byteLength;
  return isWhole ? first : joinBytes(pieces);
}
