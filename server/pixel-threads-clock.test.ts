/** One time for all threads that share the budgets of players, however the wall clock is set. */
import { expect, test } from "bun:test";
import { systemClock, type Clock } from "#common/clock.ts";
import { silentLog } from "#common/log.ts";
import { OPEN_ADMISSION } from "./admission.ts";
import { sumCounter } from "./counters.ts";
import { createFramebuffer } from "./framebuffer.ts";
import { PixelThreads } from "./pixel-threads.ts";

const WAIT_MS_MAX = 8_000;
/** More than a budget holds. */
const FLOOD_BYTES = 200_000;
/** In which the budget of {@link BYTES_PER_SECOND} is there again. */
const LATER_MS = 60_000;
const BYTES_PER_SECOND = 10_000;

test("PixelThreads that listen charge budgets by the main thread's time", async () => {
  // As after a step of the wall clock: a thread that begins now would count from elsewhere.
  const clock: Clock = { ...systemClock, monotonicMs: () => performance.now() };
  const framebuffer = createFramebuffer({ width: 8, height: 8 });
  const threads = await PixelThreads.open({
    framebuffer,
    count: 1,
    hostname: "127.0.0.1",
    port: 0,
    protocol: { alpha: "blend", outsideGets: "silent", isStrict: false },
    viewers: { url: "", port: 8081 },
    admission: {
      ...OPEN_ADMISSION,
      limits: { ...OPEN_ADMISSION.limits, bytesPerSecondPerPrefix: BYTES_PER_SECOND },
    },
    receive: "listen",
    log: silentLog,
    clock,
  });
  const socket = await Bun.connect({ hostname: "127.0.0.1", port: threads.port, socket: { data() {} } });
  try {
    socket.write("\n".repeat(FLOOD_BYTES));
    const deadlineMs = performance.now() + WAIT_MS_MAX;
    while (sumCounter(framebuffer.counters, "throttledReads") === 0) {
      if (performance.now() > deadlineMs) throw new Error("Waited in vain: the budget is used up");
      await Bun.sleep(1);
    }
    const [prefix, bytes] = [0, 0];
    expect(threads.shares.charge(prefix, bytes, clock.monotonicMs() + LATER_MS)).toBe(0);
  } finally {
    socket.terminate();
    await threads.close();
  }
});
