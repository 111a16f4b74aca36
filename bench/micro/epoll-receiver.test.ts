/** The small size of the receive path's benchmark, so that it cannot rot. */
import { expect, test } from "bun:test";
import { benchEpollReceiver } from "./epoll-receiver.bench.ts";

test.if(process.platform === "linux")("benchEpollReceiver() paints the same whenever it runs", () => {
  const first = benchEpollReceiver({ reads: 20, rounds: 2 });
  const second = benchEpollReceiver({ reads: 20, rounds: 2 });
  expect(first.map(({ checksum }) => checksum)).toEqual(second.map(({ checksum }) => checksum));
  for (const { nsPerRead } of first) expect(nsPerRead).toBeGreaterThan(0);
});
