/** The niceness of real pixel threads. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { getPriority } from "node:os";
import { systemClock } from "#common/clock.ts";
import { silentLog } from "#common/log.ts";
import { createFramebuffer } from "./framebuffer.ts";
import { PixelThreads } from "./pixel-threads.ts";
import type { ReceiveName } from "./receive-path.ts";

/** Where the niceness stands in `/proc/PID/task/TID/stat`, behind the thread's name. */
const NICENESS_FIELD = 16;

/** How many of this process's threads are nicer than the calling one. */
function countNicer(): number {
  const own = getPriority(0);
  return readdirSync("/proc/self/task").filter((task) => nicenessOf(task) > own).length;
}

function nicenessOf(task: string): number {
  try {
    const stat = readFileSync(`/proc/self/task/${task}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[NICENESS_FIELD]);
  } catch {
    // It has ended.
    return Number.NEGATIVE_INFINITY;
  }
}

test.skipIf(process.platform !== "linux" || getPriority(0) >= 19).each<ReceiveName>(["epoll", "listen"])(
  "pixel threads give way to others: %s",
  async (receive) => {
    const before = countNicer();
    const threads = await PixelThreads.open({
      framebuffer: createFramebuffer({ width: 16, height: 16, threads: 2 }),
      count: 2,
      hostname: "127.0.0.1",
      port: 0,
      protocol: { alpha: "blend", outsideGets: "silent", isStrict: false },
      viewers: { url: "", port: 8081 },
      log: silentLog,
      clock: systemClock,
      receive,
    });
    try {
      expect(countNicer()).toBeGreaterThanOrEqual(before + 2);
    } finally {
      await threads.close();
    }
  },
);
