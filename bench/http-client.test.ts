/** The HTTP client of the load scripts: bodies of every framing, kept connections, redirects, failures. */
import { afterEach, describe, expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { HttpClient, HttpContext } from "./http-client.ts";
import { createSelfSigned } from "#common/formats/fixtures/self-signed.ts";

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

function client(isInsecure = false): HttpClient {
  const context = new HttpContext({ clock: systemClock, isInsecure });
  const created = new HttpClient(context);
  closers.push(
    () => created.close(),
    () => context.close(),
  );
  return created;
}

/** A server that answers each request with the bytes that `answer` gives, in the pieces given. */
function rawServer(answer: (request: string) => readonly string[]): {
  url: string;
  connections: () => number;
} {
  let connections = 0;
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: () => void (connections += 1),
      async data(socket, chunk) {
        const pieces = answer(chunk.toString("latin1"));
        for (const piece of pieces) {
          if (piece === "END") socket.end();
          else socket.write(piece);
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
    },
  });
  closers.push(() => listener.stop(true));
  return { url: `http://127.0.0.1:${listener.port}/`, connections: () => connections };
}

const KEPT = { msMax: 2_000, isBodyKept: true } as const;

describe("HttpClient", () => {
  for (const [name, pieces] of [
    ["of known length", ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"]],
    ["cut anywhere", ["HTTP/1.1 200 O", "K\r\nContent-Length: 5\r\n\r", "\nhe", "llo"]],
    [
      "in chunks",
      ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3", "\r\nllo\r\n0\r\n\r\n"],
    ],
    ["until the connection closes", ["HTTP/1.1 200 OK\r\n\r\nhel", "lo", "END"]],
    [
      "behind an interim response",
      ["HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
    ],
  ] as const) {
    test(`get() reads a body ${name}`, async () => {
      const { status, body, bytes } = await client().get(rawServer(() => pieces).url, KEPT);
      expect([status, Buffer.from(body).toString(), bytes]).toEqual([200, "hello", 5]);
    });
  }

  test("get() keeps a connection and uses it again", async () => {
    const server = rawServer(() => ["HTTP/1.1 404 Not Found\r\nX-A: b\r\nContent-Length: 0\r\n\r\n"]);
    const viewer = client();
    for (let count = 0; count < 3; count += 1) {
      const response = await viewer.get(server.url, KEPT);
      expect([response.status, response.field("x-a"), response.field("x-b")]).toEqual([404, "b", undefined]);
    }
    expect(server.connections()).toBe(1);
  });

  test("get() follows redirects and tells where it ended", async () => {
    const server = rawServer((request) =>
      request.startsWith("GET /there ")
        ? ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]
        : ["HTTP/1.1 307 X\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"],
    );
    expect((await client().get(server.url, KEPT)).url).toBe(`${server.url}there`);
  });

  for (const [name, pieces, kind] of [
    [
      "a connection that closes within the body",
      ["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", "END"],
      "closed",
    ],
    ["what is not HTTP", ["SIZE 1 1\r\n\r\n"], "bad response"],
    ["silence", [], "timeout"],
  ] as const) {
    test(`get() fails on ${name}`, async () => {
      const failing = client().get(rawServer(() => pieces).url, { msMax: 100 });
      await expect(failing).rejects.toMatchObject({ name: "HttpFailure", kind });
    });
  }

  test("get() refuses an address that is none", async () => {
    await expect(client().get("nonsense", KEPT)).rejects.toMatchObject({ kind: "bad URL" });
  });
});

describe("HttpClient over TLS, to a certificate that nobody trusts", () => {
  /** A server and the paths of the requests that reached it. */
  function tlsServer() {
    const received: string[] = [];
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: createSelfSigned("spillway test"),
      fetch(request) {
        received.push(new URL(request.url).pathname);
        return new Response("over tls");
      },
    });
    closers.push(() => server.stop(true));
    return { url: `https://127.0.0.1:${server.port}`, received };
  }

  test("get() refuses it and sends nothing", async () => {
    const { url, received } = tlsServer();
    const failing = client().get(`${url}/a`, KEPT);
    await expect(failing).rejects.toMatchObject({ name: "HttpFailure", kind: "certificate refused" });
    expect(received).toEqual([]);
  });

  test("get() takes it where any is to be taken", async () => {
    const { url, received } = tlsServer();
    const viewer = client(true);
    for (const path of ["/a", "/b"]) {
      const { status, body } = await viewer.get(`${url}${path}`, KEPT);
      expect([status, Buffer.from(body).toString()]).toEqual([200, "over tls"]);
    }
    expect(received).toEqual(["/a", "/b"]);
  });
});
