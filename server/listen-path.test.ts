/** What the main thread puts right when a thread of this path has died. */
import { expect, test } from "bun:test";
import { sumCounters } from "./counters.ts";
import { createFramebuffer } from "./framebuffer.ts";
import { ListenPath } from "./listen-path.ts";
import { THREADS_MAX } from "./memory-layout.ts";
import { NO_PLAYER_LIMITS, PlayerShares } from "./player-shares.ts";

test("ListenPath.forgetThread() closes the thread's connections and takes back what they held", () => {
  const framebuffer = createFramebuffer({ width: 2, height: 2, threads: 2 });
  const shares = new PlayerShares(framebuffer, THREADS_MAX, NO_PLAYER_LIMITS);
  const path = new ListenPath({ framebuffer, hostname: "127.0.0.1", port: 0, shares });
  for (const thread of [0, 1]) {
    new PlayerShares(framebuffer, thread, NO_PLAYER_LIMITS).admit(new Uint8Array(16));
    for (const name of ["accepted", "heldBytes", "pausedConnections"] as const)
      framebuffer.counters[thread]?.add(name, 1);
  }
  path.forgetThread(1);
  expect(shares.connections()).toBe(1);
  expect(sumCounters(framebuffer.counters)).toMatchObject({
    accepted: 2,
    closed: 1,
    heldBytes: 1,
    pausedConnections: 1,
  });
});
