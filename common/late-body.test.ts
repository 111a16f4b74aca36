/** Late answers over sockets: how they are framed, and that whoever reads slowly gets all of them. */
import { afterEach, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect } from "node:net";
import { lateBody } from "./late-body.ts";

const SMALL = 15_000;
/** More than the kernel takes for a reader that reads nothing. */
const LARGE = 16 * 1024 * 1024;

let server: Bun.Server<undefined> | undefined;
let answered = Promise.withResolvers<void>();

afterEach(async () => {
  answered = Promise.withResolvers();
  await server?.stop(true);
});

/** Serves so many bytes, each answer in a later turn than its request. */
function serve(length: number): { readonly url: URL; readonly bytes: Uint8Array<ArrayBuffer> } {
  const bytes = Uint8Array.from({ length }, (_, index) => index % 251);
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch() {
      await new Promise((resolve) => setImmediate(resolve));
      answered.resolve();
      return new Response(lateBody(bytes));
    },
  });
  return { url: server.url, bytes };
}

describe("lateBody()", () => {
  test.each([
    [SMALL, String(SMALL), null],
    [SMALL + 1, null, "chunked"],
  ])("of %d bytes", async (length, contentLength, transferEncoding) => {
    const { url, bytes } = serve(length);
    const answer = await fetch(url);
    expect([answer.headers.get("content-length"), answer.headers.get("transfer-encoding")]).toEqual([
      contentLength,
      transferEncoding,
    ]);
    expect(await answer.bytes()).toEqual(bytes);
  });

  test("reaches a slow reader whole", async () => {
    const { url } = serve(LARGE);
    const socket = connect(Number(url.port), url.hostname);
    socket.pause();
    socket.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    await answered.promise;
    // One more turn, in which the server fills the socket.
    await new Promise((resolve) => setImmediate(resolve));
    let received = 0;
    let tail = "";
    socket.on("data", (chunk: Buffer) => {
      received += chunk.length;
      tail = (tail + chunk.toString("latin1")).slice(-5);
    });
    socket.resume();
    await once(socket, "close");
    expect(received).toBeGreaterThan(LARGE);
    expect(tail).toBe("0\r\n\r\n");
  });
});
