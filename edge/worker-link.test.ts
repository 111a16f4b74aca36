/** A worker's talk with its hub, which the test plays, on a clock moved by hand. */
import { expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Registry } from "prom-client";
import { FakeClock } from "#common/clock.ts";
import { Admission } from "./admission.ts";
import { Counters, EgressRate } from "./counters.ts";
import { until } from "./fake-origin.ts";
import { NO_USE, type PrefixUse } from "./guard.ts";
import { metricsOfHub, WorkerLink } from "./worker-link.ts";
import { isWorkerReport, REPORT_MS, type EdgeTotals, type WorkerReport } from "./worker-messages.ts";
import { WorkerViewers } from "./worker-viewers.ts";

function beginLink() {
  const clock = new FakeClock();
  const viewers = new WorkerViewers({ clock, salt: 1n, viewersMax: 0 });
  const reports: WorkerReport[] = [];
  const switches: unknown[] = [];
  const none = { viewerLimit: 0, viewerMax: 0, streamViewerLimit: 0, streamViewerMax: 0 };
  const admission = new Admission({ viewers, ...none });
  let say: (message: unknown) => void = () => {};
  const link = new WorkerLink({
    channel: {
      send: (message) => void (isWorkerReport(message) ? reports : switches).push(message as WorkerReport),
      listen: (onMessage) => void (say = onMessage),
    },
    viewers,
    admission,
    egress: new EgressRate(new Counters(), clock),
    registry: new Registry(),
    clock,
  });
  link.begin();
  return { admission, clock, link, reports, switches, viewers, say: (message: unknown) => say(message) };
}

const TOTALS: EdgeTotals = {
  type: "totals",
  reason: "",
  viewers: { llhls: 0, hls: 0, ts: 0, events: 0 },
  egressBitsPerSecond: 0,
  streamsElsewhere: new Map(),
  useElsewhere: { requests: new Map([["q", 7]]), connections: new Map([["q", 3]]) },
  streamsOff: [],
  sessionKeys: undefined,
  heavyPrefixes: new Map(),
};

test("WorkerLink reports at once, every second and when it is asked, each request once", async () => {
  const { admission, clock, link, reports, viewers, say } = beginLink();
  admission.enter("canvas");
  admission.enter("canvas");
  viewers.note({ address: "::1", userAgent: "one", isBlocking: true, busyMs: 200 });
  await until(() => reports.length === 1);
  expect(reports[0]).toMatchObject({ askId: 0, ts: 2, streams: new Map([["canvas", 2]]) });
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
  say({ ...TOTALS, viewers: { llhls: 4, hls: 3, ts: 2, events: 1 }, egressBitsPerSecond: 9_000 });
  expect([link.reason, link.bitsPerSecond, viewers.total]).toEqual([undefined, 9_000, 9]);
  say({ ...TOTALS, reason: "waiting for upstream" });
  expect(link.reason).toBe("waiting for upstream");
});

test("WorkerLink tells what an admin switches here, and takes over what one has switched elsewhere", () => {
  const { admission, switches, say } = beginLink();
  admission.set("canvas", "off");
  expect(switches).toEqual([{ type: "switch", stream: "canvas", state: "off" }]);
  say({ ...TOTALS, streamsOff: ["canvas", "other"], streamsElsewhere: new Map([["canvas", 7]]) });
  expect([admission.off, admission.viewersOf("canvas")]).toEqual([["canvas", "other"], 7]);
  say({ ...TOTALS, streamsOff: ["other"] });
  expect([admission.off, admission.viewersOf("canvas")]).toEqual([["other"], 0]);
  expect(switches.length).toBe(1);
});

test("metricsOfHub() takes no answer of a hub that fails for series", async () => {
  const path = join(tmpdir(), `spillway-test-${process.pid}-hub`);
  const answers = [new Response("a_series 1\n"), new Response("Internal error\n", { status: 500 })];
  await using _hub = Bun.serve({ unix: path, fetch: () => answers.shift() ?? new Response() });
  const page = metricsOfHub(path);
  expect(await page.metrics()).toBe("a_series 1\n");
  await expect(page.metrics()).rejects.toThrow("The hub answered 500");
});

test("WorkerLink tells what prefixes use of their limits here, and hears what they use elsewhere", async () => {
  const { clock, link, reports, say } = beginLink();
  await until(() => reports.length === 1);
  const use = { requests: new Map([["p", 6]]), connections: new Map() };
  const heard: PrefixUse[] = [];
  link.guard = { use, hear: (elsewhere) => void heard.push(elsewhere) };
  clock.advance(REPORT_MS);
  await until(() => reports.length === 2);
  expect(reports.map((report) => report.use)).toEqual([NO_USE, use]);
  say(TOTALS);
  expect(heard).toEqual([TOTALS.useElsewhere]);
  link.close();
});
