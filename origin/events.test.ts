/** Server-sent events to readers that read, take nothing, and leave. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { EVENTS_BLOCKED_MS_MAX } from "./config.ts";
import { EventFeed, streamFigures } from "./events.ts";
import { open } from "./origin-fixture.ts";

test("EventFeed drops a reader that takes nothing, and goes on when others have left", async () => {
  const clock = new FakeClock();
  const { stream, edges } = open();
  const figures = streamFigures(stream, edges, clock);
  let padding = "";
  const feed = new EventFeed({
    clock,
    // Larger than what a socket takes unread.
    figures: () => Object.assign({}, figures, { padding }),
  });
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => new Response(feed.open(request.signal)),
  });
  const connect = async (): Promise<Bun.Socket> => {
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port: server.port ?? 0,
      socket: { data() {} },
    });
    socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    return socket;
  };
  const stuck = await connect();
  stuck.pause();
  const leaving = await connect();
  while (feed.readers < 2) await Bun.sleep(1);
  padding = "x".repeat(8 * 1024 * 1024);
  clock.advance(1_000);
  leaving.terminate();
  while (feed.readers > 1) await Bun.sleep(1);
  clock.advance(EVENTS_BLOCKED_MS_MAX + 2_000);
  expect([feed.readers, feed.droppedReaders]).toEqual([0, 1]);
  stuck.terminate();
  feed.close();
  await server.stop(true);
});
