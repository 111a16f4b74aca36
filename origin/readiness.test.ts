/** What `/readyz` and the log say of a source that cannot be read: in words of ours, without what its URL hides. */
import { expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { createLog } from "#common/log.ts";
import { openSource } from "./open-source.ts";
import { open } from "./origin-fixture.ts";
import { whyNotReady, whySlate } from "./readiness.ts";

const OK = "HTTP/1.1 200 OK\r\n";

test.each([
  ["no HTTP", "220 mail.example.org ESMTP\r\n\r\n", "what it answers is no HTTP"],
  ["no length", `${OK}Content-Length: many\r\n\r\n`, "what it answers is no HTTP"],
  ["no chunks", `${OK}Transfer-Encoding: chunked\r\n\r\nmany\r\n\r\n`, "what it answers is no HTTP"],
  [
    "no gzip",
    `${OK}Content-Encoding: gzip\r\nContent-Length: 8\r\n\r\nmany-any`,
    "what it sends is neither a feed nor MPEG-TS",
  ],
  ["nothing", "", "connection closed"],
])("whyNotReady() tells of a source that sends %s", async (_, answer, reason) => {
  using server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => void socket.end(answer) },
  });
  const { stream } = open();
  const { promise: said, resolve } = Promise.withResolvers<string>();
  const source = openSource({
    url: `http://127.0.0.1:${server.port}/any.ts?token=secret`,
    secret: "",
    targetDurationSeconds: 2,
    partDurationMs: 200,
    numbers: {
      beginRun() {
        throw new Error("nothing is shown");
      },
      reserveSegment() {},
    },
    handlers: stream,
    clock: systemClock,
    log: createLog({ node: "origin", level: "warn", format: "text", write: resolve }),
  });
  const line = await said;
  const from = `the source http://127.0.0.1:${server.port}/any.ts: ${reason}`;
  expect(whyNotReady(stream, source)).toBe(`No video yet from ${from}`);
  expect(whySlate(source)).toBe(`slate: no frames from ${from}`);
  expect(line).toEndWith(`Source lost: ${reason} url=http://127.0.0.1:${server.port}/any.ts`);
  await source.close();
});
