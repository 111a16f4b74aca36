/** A worker's talk with its hub, which the test plays, on a clock moved by hand. */
import { expect, test } from "bun:test";
import { Registry } from "prom-client";
import { FakeClock } from "#common/clock.ts";
import { Counters, EgressRate } from "./counters.ts";
import { until } from "./fake-origin.ts";
import { WorkerLink } from "./worker-link.ts";
import { REPORT_MS, type WorkerReport } from "./worker-messages.ts";
import { WorkerViewers } from "./worker-viewers.ts";

function beginLink() {
  const clock = new FakeClock();
  const viewers = new WorkerViewers({ clock, salt: 1n, viewersMax: 0 });
  const reports: WorkerReport[] = [];
  let say: (message: unknown) => void = () => {};
  const link = new WorkerLink({
    channel: {
      send: (message) => void reports.push(message as WorkerReport),
      listen: (onMessage) => void (say = onMessage),
    },
    viewers,
    egress: new EgressRate(new Counters(), clock),
    registry: new Registry(),
    clock,
  });
  link.begin();
  return { clock, link, reports, viewers, say: (message: unknown) => say(message) };
}

test("WorkerLink reports at once, every second and when it is asked, each request once", async () => {
  const { clock, link, reports, viewers, say } = beginLink();
  viewers.ts = 2;
  viewers.note({ address: "::1", userAgent: "one", isBlocking: true, busyMs: 200 });
  await until(() => reports.length === 1);
  expect(reports[0]).toMatchObject({ type: "report", askId: 0, ts: 2 });
  expect([...(reports[0]?.sessions.busyMs ?? [])]).toEqual([200, 0]);
  clock.advance(REPORT_MS);
  await until(() => reports.length === 2);
  expect(reports[1]?.sessions.keys.length).toBe(0);
  say({ type: "question", askId: 7 });
  await until(() => reports.length === 3);
  expect(reports[2]?.askId).toBe(7);
  link.close();
  clock.advance(10 * REPORT_MS);
  expect(reports.length).toBe(3);
});

test("WorkerLink knows of the whole edge what the hub says, and nothing good before that", () => {
  const { link, viewers, say } = beginLink();
  expect([link.reason, link.bitsPerSecond]).toEqual(["waiting for the other processes of this edge", 0]);
  const totals = { type: "totals", viewers: { llhls: 4, hls: 3, ts: 2, events: 1 }, sessionKeys: undefined };
  say({ ...totals, reason: "", egressBitsPerSecond: 9_000 });
  expect([link.reason, link.bitsPerSecond, viewers.total]).toEqual([undefined, 9_000, 9]);
  say({ ...totals, reason: "waiting for upstream", egressBitsPerSecond: 0 });
  expect(link.reason).toBe("waiting for upstream");
});
