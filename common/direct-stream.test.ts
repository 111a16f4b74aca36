/** Endless responses over real sockets: order of bytes, back-pressure, each way to end. */
import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { DirectStream } from "#common/direct-stream.ts";

const closers: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

interface Served {
  readonly url: string;
  readonly port: number;
  readonly counters: { sentBytes: number };
  readonly streams: DirectStream[];
  /** How often each was called. */
  readonly calls: { drain: number; close: number };
}

function serve(onDrain: (stream: DirectStream) => void = () => {}): Served {
  const counters = { sentBytes: 0 };
  const calls = { drain: 0, close: 0 };
  const streams: DirectStream[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    development: false,
    fetch(request) {
      const stream: DirectStream = new DirectStream({
        counters,
        signal: request.signal,
        onDrain: () => {
          calls.drain++;
          onDrain(stream);
        },
        onClose: () => void calls.close++,
      });
      streams.push(stream);
      return new Response(stream.body);
    },
  });
  closers.push(() => server.stop(true));
  const port = server.port ?? 0;
  return { url: `http://127.0.0.1:${port}`, port, counters, streams, calls };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(2);
}

function connect(port: number): Promise<Bun.Socket> {
  return Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
}

describe("DirectStream", () => {
  test("abort() ends the connection of a reader that takes nothing; close() lets it have what was written", async () => {
    for (const how of ["close", "abort"] as const) {
      const served = serve();
      let received = 0;
      let isOver = false;
      const closed = Promise.withResolvers<void>();
      const socket = await Bun.connect({
        hostname: "127.0.0.1",
        port: served.port,
        socket: {
          data(_socket, bytes) {
            received += bytes.length;
            // The last chunk, of no length.
            isOver = bytes.subarray(-5).toString() === "0\r\n\r\n";
          },
          close: () => closed.resolve(),
        },
      });
      socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await until(() => served.streams[0]?.canWrite === true);
      socket.pause();
      const [stream] = served.streams;
      do stream?.write(new Uint8Array(100_000));
      while (served.streams[0]?.canWrite === true);
      const written = served.counters.sentBytes;
      stream?.[how]();
      if (how === "abort") {
        await closed.promise;
        expect(received).toBeLessThan(written);
      } else {
        socket.resume();
        await until(() => isOver);
        expect(received).toBeGreaterThan(written);
        socket.terminate();
      }
      expect(served.calls.close).toBe(1);
    }
  });

  test("sends texts and bytes in order, counts bytes, and ends by close()", async () => {
    const served = serve((stream) => {
      stream.write("ä1 ");
      stream.write(new Uint8Array(0));
      stream.write(new TextEncoder().encode("2 "));
      stream.write("3");
      stream.close();
      stream.write("never");
    });
    expect(await (await fetch(served.url)).text()).toBe("ä1 2 3");
    expect(served.counters.sentBytes).toBe(7);
    expect(served.calls).toEqual({ drain: 1, close: 1 });
  });

  test("that is broken off is not taken for whole, and its peer has what came before", async () => {
    const begun = Promise.withResolvers<DirectStream>();
    const served = serve((stream) => {
      stream.write("some");
      begun.resolve(stream);
    });
    const { body } = await fetch(served.url);
    const stream = await begun.promise;
    const read: string[] = [];
    const reading = (async () => {
      for await (const chunk of body ?? []) {
        read.push(new TextDecoder().decode(chunk));
        stream.abort(new Error("the rest is missing"));
      }
    })();
    expect(await reading.catch((error: unknown) => error)).toBeInstanceOf(Error);
    expect([read, served.calls.close]).toEqual([["some"], 1]);
  });

  test("that is broken off as it begins leaves no word on the standard error output", async () => {
    const script = `
      import { join } from "node:path";
import { DirectStream } from ${JSON.stringify(join(import.meta.dir, "direct-stream.ts"))};
      const counters = { sentBytes: 0 };
      const server = Bun.serve({
        port: 0,
        development: false,
        fetch() {
          const onDrain = () => stream.abort(new Error("at once"));
          const stream = new DirectStream({ counters, onDrain, onClose: () => {} });
          return new Response(stream.body);
        },
      });
      const outcome = await fetch(server.url).then((answer) => answer.text(), () => "broken off");
      console.log(outcome);
      await server.stop(true);
    `;
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "pipe" });
    const read = [child.stdout, child.stderr].map((stream) => new Response(stream).text());
    const [out = "", errors] = await Promise.all(read);
    expect([out.trim(), errors]).toEqual(["broken off", ""]);
  });

  test("cannot be written to while the socket is full, says when it can again", async () => {
    const served = serve();
    const socket = await connect(served.port);
    socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await until(() => served.calls.drain === 1);
    socket.pause();
    const [stream] = served.streams;
    if (stream === undefined) throw new Error("no stream");
    const chunk = new Uint8Array(1_000_000);
    let writes = 0;
    for (; stream.canWrite; writes++) stream.write(chunk);
    stream.write(chunk);
    expect(served.counters.sentBytes).toBe(writes * chunk.length);
    socket.resume();
    await until(() => stream.canWrite);
    expect(served.calls).toEqual({ drain: 2, close: 0 });
    socket.terminate();
    await until(() => stream.isClosed);
  });

  test.each(["in quiet", "while written to", "while full"])(
    "ends once when the peer goes %s",
    async (when) => {
      const served = serve();
      const socket = await connect(served.port);
      socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      await until(() => served.calls.drain === 1);
      const [stream] = served.streams;
      if (stream === undefined) throw new Error("no stream");
      const chunk = new Uint8Array(1_000_000);
      if (when === "while full") {
        socket.pause();
        while (stream.canWrite) stream.write(chunk);
      }
      socket.terminate();
      await until(() => {
        if (when !== "in quiet") stream.write(chunk);
        return stream.isClosed;
      });
      stream.write(chunk);
      stream.close();
      expect(served.calls.close).toBe(1);
    },
  );

  test("ends when its request is over before it began", async () => {
    const closed = Promise.withResolvers<void>();
    const stream = new DirectStream({
      counters: { sentBytes: 0 },
      signal: AbortSignal.abort(),
      onDrain: () => {},
      onClose: closed.resolve,
    });
    await closed.promise;
    expect([stream.isClosed, stream.canWrite]).toEqual([true, false]);
  });
});
