/**
 * Bodies of answers that are given later than in the turn of their request. Bun 1.4.5 sends the head of such an answer
 * over HTTP/1.1 piece by piece, a packet for each name, colon, value and line end, unless the body is small enough to be
 * copied behind the head, or a stream: a stream's head goes out with its first bytes. It is sent in chunks (RFC 9112
 * 7.1), without its length.
 */
// RFC 9112 7.1 (chunked transfer coding)

/** Bodies up to this size are copied behind their head. Bytes; Bun's own bound is 15,359. */
export const COPIED_BYTES_MAX = 15_000;

/** `bytes` as what a late answer of HTTP/1.1 should have for its body. */
export function lateBody(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | ReadableStream {
  if (bytes.length <= COPIED_BYTES_MAX) return bytes;
  const source: Bun.DirectUnderlyingSource<Uint8Array> = {
    type: "direct",
    pull(controller) {
      // What the socket does not take at once is kept and sent before the end.
      void controller.write(bytes);
      controller.close();
    },
  };
  // The DOM's types of ReadableStream, which win over Bun's, do not know direct sources.
  return new ReadableStream(source as unknown as UnderlyingDefaultSource<Uint8Array>);
}
