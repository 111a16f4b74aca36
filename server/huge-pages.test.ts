/** Whether the canvas really lies in huge pages, as the system tells (proc(5), `smaps`). */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { silentLog } from "#common/log.ts";
import { createFramebuffer } from "./framebuffer.ts";
import { adviseHugePages, allowsHugePages } from "./huge-pages.ts";
import { addressOf } from "./linux-sockets.ts";

const isAllowed = process.platform === "linux" && readAllowed();
if (!isAllowed) console.warn("SKIPPED: huge pages are not tested, this system gives none");

function readAllowed(): boolean {
  try {
    return allowsHugePages();
  } catch {
    return false;
  }
}

/** Bytes of huge pages in the mapping that holds an address. */
function hugeBytesAt(address: number): number {
  let isInside = false;
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    const [, start, end] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line) ?? [];
    if (start !== undefined && end !== undefined)
      isInside = Number.parseInt(start, 16) <= address && address < Number.parseInt(end, 16);
    const [, kib] = /^(?:AnonHugePages|ShmemPmdMapped):\s+(\d+) kB$/.exec(line) ?? [];
    if (isInside && kib !== undefined && kib !== "0") return Number(kib) * 1_024;
  }
  return 0;
}

test.skipIf(!isAllowed)("adviseHugePages() has the canvas lie in huge pages", () => {
  let isAdvised = false;
  const framebuffer = createFramebuffer({
    width: 4_096,
    height: 2_048,
    prepare(memory, map) {
      isAdvised = adviseHugePages(memory, map, silentLog);
    },
  });
  expect(isAdvised).toBe(true);
  expect(hugeBytesAt(addressOf(framebuffer.bytes) + framebuffer.bytes.length / 2)).toBeGreaterThan(0);
});
