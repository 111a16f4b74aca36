/** Processor time of process trees, and memory. */
import { expect, test } from "bun:test";
import { cpuSeconds, residentBytes } from "./process-cpu.ts";

const isLinux = process.platform === "linux";

/** Uses processor time until `seconds` more of it are used. */
function work(seconds: number): void {
  const start = process.cpuUsage();
  for (let used = 0; used < seconds * 1e6;) {
    const { user, system } = process.cpuUsage(start);
    used = user + system;
  }
}

test.if(isLinux)("cpuSeconds() counts what this process uses", () => {
  const before = cpuSeconds(process.pid) ?? Number.NaN;
  work(0.1);
  // The kernel counts in hundredths.
  expect((cpuSeconds(process.pid) ?? Number.NaN) - before).toBeGreaterThanOrEqual(0.08);
});

test.if(isLinux)("cpuSeconds() counts children, those of children, and those that have ended", async () => {
  const busy = 'i=0; while [ "$i" -lt 20000 ]; do i=$((i + 1)); done';
  // The outer shell does nothing itself: an ended child works, then a living child's child.
  const script = `(${busy}); echo; sh -c '(${busy.replaceAll('"', "")}; echo; read line); true'; true`;
  const child = Bun.spawn(["sh", "-c", script], { stdio: ["pipe", "pipe", "ignore"] });
  try {
    const reader = child.stdout.getReader();
    await reader.read();
    const afterEnded = cpuSeconds(child.pid) ?? Number.NaN;
    expect(afterEnded).toBeGreaterThan(0);
    await reader.read();
    expect(cpuSeconds(child.pid) ?? Number.NaN).toBeGreaterThan(afterEnded);
  } finally {
    child.stdin.write("\n");
    await child.stdin.end();
    await child.exited;
  }
});

test.if(isLinux)("residentBytes() counts memory that is in use", () => {
  const before = residentBytes(process.pid) ?? Number.NaN;
  const used = new Uint8Array(64 * 1024 * 1024).fill(1);
  expect((residentBytes(process.pid) ?? Number.NaN) - before).toBeGreaterThan(used.length / 2);
});

test("cpuSeconds() and residentBytes() know nothing of a process that is gone", async () => {
  const child = Bun.spawn(["true"]);
  await child.exited;
  expect([cpuSeconds(child.pid), residentBytes(child.pid)]).toEqual([undefined, undefined]);
});
