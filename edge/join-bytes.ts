/** Pieces of a body as one array: what the network brought in several chunks. */

/** One array out of several; a single one is taken as it is. */
export function joinBytes(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const [first] = chunks;
  if (chunks.length === 1 && first !== undefined && first.byteLength === first.buffer.byteLength)
    return first;
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}
