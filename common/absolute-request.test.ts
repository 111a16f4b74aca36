/** Requests without `Host`, as old players and load balancers' checks send them, over a real socket. */
import { expect, test } from "bun:test";
import { withAbsoluteUrl } from "#common/absolute-request.ts";

async function raw(port: number, text: string): Promise<string> {
  const done = Promise.withResolvers<string>();
  let received = "";
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data: (_socket, bytes) => void (received += bytes.toString()),
      close: () => done.resolve(received),
    },
  });
  socket.write(text);
  return done.promise;
}

test("withAbsoluteUrl() makes the URL readable and keeps path, query, method and headers", async () => {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(original) {
      const request = withAbsoluteUrl(original);
      const { pathname, search } = new URL(request.url);
      return new Response(
        `${request.method} ${pathname}${search} ${request.headers.get("x-a")} ${request === original}`,
      );
    },
  });
  const port = server.port ?? 0;
  const cases = [
    ["GET /healthz?a=1 HTTP/1.0\r\nX-A: b\r\n\r\n", "GET /healthz?a=1 b false"],
    ["GET //x/y HTTP/1.0\r\nX-A: b\r\n\r\n", "GET //x/y b false"],
    ["POST /c HTTP/1.0\r\nX-A: b\r\nContent-Length: 1\r\n\r\nx", "POST /c b false"],
    ["GET /d HTTP/1.1\r\nHost: e\r\nX-A: b\r\nConnection: close\r\n\r\n", "GET /d b true"],
  ] as const;
  for (const [sent, expected] of cases) expect((await raw(port, sent)).split("\r\n\r\n")[1]).toBe(expected);
  await server.stop(true);
});
