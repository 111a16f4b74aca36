/** What the system says that it still has to send. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { until } from "./fake-origin.ts";
import { startStalled } from "./paced-origin.ts";
import { readQueue, SendQueues } from "./send-queues.ts";

const ON_LINUX = process.platform === "linux";

describe("readQueue()", () => {
  const TABLES = [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    "   0: 0100007F:1F90 020200C0:C350 01 00000001:00000000 00:00000000 00000000     0        0 1 1 0",
    "   1: 0100007F:1F91 020200C0:C350 06 00000002:00000000 00:00000000 00000000     0        0 1 1 0",
    "   2: 0100007F:1F91 020200C0:C350 01 003DC200:00000005 00:00000000 00000000     0        0 1 1 0",
    "   3: B80D0120000000000000000001000000:1F91 B80D0120000000000000000002000000:C353 01 00000004:00000000 00",
    "   4: 0000000000000000FFFF00000100007F:1F91 0000000000000000FFFF0000030200C0:C354 01 00000000:00000000 00",
    "",
  ].join("\n");

  test.each([
    ["192.0.2.2", 0xc350, 0x3dc200],
    ["::ffff:192.0.2.2", 0xc350, 0x3dc200],
    ["2001:db8::2", 0xc353, 4],
    ["192.0.2.3", 0xc354, 0],
    ["192.0.2.3", 0xc350, undefined],
    ["192.0.2.2", 0xc351, undefined],
    ["no address", 0xc350, undefined],
  ])("of %p, port %p, is %p", (address, port, bytes) => {
    expect(readQueue(TABLES, 0x1f91, { address, port })).toBe(bytes as number);
  });
});

test.skipIf(!ON_LINUX)("SendQueues tells what a peer has not taken, anew after a second", async () => {
  const clock = new FakeClock();
  const queues = new SendQueues(clock);
  const seen = Promise.withResolvers<Bun.SocketAddress | null>();
  const body = new Blob([new Uint8Array(32 * 1024 * 1024)]);
  await using server = Bun.serve({
    port: 0,
    hostname: "::",
    idleTimeout: 0,
    fetch(request, own) {
      seen.resolve(own.requestIP(request));
      return new Response(body);
    },
  });
  const socket = startStalled(server.url.href.replace(/\[.*\]|localhost/, "127.0.0.1"));
  const peer = await seen.promise;
  if (peer === null) throw new Error("A request has a peer");
  const read = async (): Promise<number> => {
    clock.advance(1_000);
    return (await queues.unsentBytes(server.port ?? 0, peer)) ?? Number.NaN;
  };
  while (!((await read()) > 0)) await Bun.sleep(1);
  let received = 0;
  socket.on("data", (bytes: Buffer) => (received += bytes.length));
  socket.resume();
  await until(() => received >= body.size);
  while ((await read()) > 0) await Bun.sleep(1);
  socket.destroy();
});
