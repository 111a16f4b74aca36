/** The last seconds of an edge, on a clock moved by hand. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { Lifecycle } from "#common/lifecycle.ts";
import { silentLog } from "#common/log.ts";
import { drainAtEnd } from "./drain.ts";

function rig(drainSeconds: number) {
  const clock = new FakeClock();
  const lifecycle = new Lifecycle();
  const told: string[] = [];
  lifecycle.onClose("socket", () => void told.push("closed"));
  const streams = { sendAway: (withinMs: number) => void told.push(`go within ${withinMs}`) };
  drainAtEnd({ drainSeconds, lifecycle, streams, viewers: { total: 0 }, clock, log: silentLog });
  lifecycle.onClose("lease", () => void told.push("lease given up"));
  return { clock, lifecycle, told };
}

test("drainAtEnd() sends pages away, and keeps all open that was open before for the whole time", async () => {
  const { clock, lifecycle, told } = rig(3);
  expect(lifecycle.closeMs).toBe(3_000);
  const closed = lifecycle.closeAll(silentLog);
  clock.advance(0);
  while (told.length < 2) await Promise.resolve();
  clock.advance(2_999);
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  expect(told).toEqual(["lease given up", "go within 1500"]);
  clock.advance(1);
  await closed;
  expect(told.at(-1)).toBe("closed");
});

test("drainAtEnd() of 0 seconds does nothing", async () => {
  const { lifecycle, told } = rig(0);
  await lifecycle.closeAll(silentLog);
  expect([lifecycle.closeMs, told]).toEqual([0, ["lease given up", "closed"]]);
});
