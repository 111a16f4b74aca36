/** The routes that every node has, and the metrics that are read at scrape time. */
import { describe, expect, test } from "bun:test";
import { StartError } from "#common/errors.ts";
import { bindOrExplain, hostOfBind } from "#common/listen.ts";
import { createRegistry, observedCounter, observedGauge } from "#common/metrics.ts";
import { createNodeApp, failureResponse } from "#common/node-http.ts";

const bindings = { address: "127.0.0.1" };

function appWith(reason: string | undefined) {
  const registry = createRegistry();
  const totals = { hit: 1, miss: 2 };
  observedCounter({
    registry,
    name: "test_requests_total",
    help: "Requests.",
    label: "result",
    read: () => totals,
  });
  observedGauge({ registry, name: "test_viewers", help: "Viewers.", read: () => 7 });
  return { app: createNodeApp({ registry, readiness: () => reason }), totals };
}

describe("createNodeApp()", () => {
  test("answers /healthz, and /readyz with the reason while it cannot serve", async () => {
    const { app } = appWith("no source: connection refused");
    expect((await app.request("/healthz", {}, bindings)).status).toBe(200);
    const waiting = await app.request("/readyz", {}, bindings);
    expect([waiting.status, await waiting.text()]).toEqual([503, "no source: connection refused\n"]);
    expect((await appWith(undefined).app.request("/readyz", {}, bindings)).status).toBe(200);
  });

  test("reads metrics at each scrape", async () => {
    const { app, totals } = appWith(undefined);
    const scrape = async (): Promise<string> => (await app.request("/metrics", {}, bindings)).text();
    expect(await scrape()).toContain('test_requests_total{result="hit"} 1\n');
    totals.hit = 5;
    const second = await scrape();
    expect(second).toContain('test_requests_total{result="hit"} 5\n');
    expect(second).toContain("test_viewers 7\n");
    expect(second).toContain("process_resident_memory_bytes");
  });

  test("refuses other methods, and answers a preflight", async () => {
    const { app } = appWith(undefined);
    const refused = await app.request("/healthz", { method: "POST" }, bindings);
    expect([refused.status, refused.headers.get("allow")]).toEqual([405, "GET, HEAD, OPTIONS"]);
    const preflight = await app.request("/live/x", { method: "OPTIONS" }, bindings);
    expect([preflight.status, preflight.headers.get("access-control-max-age")]).toEqual([204, "86400"]);
  });

  test("50: a failure has a Date too, which Bun leaves out for HEAD", () => {
    const { status, headers } = failureResponse();
    expect([status, Number.isNaN(Date.parse(headers.get("date") ?? ""))]).toEqual([500, false]);
  });

  test("allows other origins on every status", async () => {
    const { app } = appWith("waiting");
    for (const path of ["/readyz", "/absent", "/healthz"]) {
      const { headers } = await app.request(path, {}, bindings);
      expect(headers.get("access-control-allow-origin")).toBe("*");
      expect(headers.has("date")).toBe(true);
    }
  });
});

test("bindOrExplain() says which option's port is in use", () => {
  using taken = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const { port = 0 } = taken;
  const again = (): unknown =>
    bindOrExplain({ option: "edge-port", port, hostname: "127.0.0.1" }, () =>
      Bun.serve({ port, hostname: "127.0.0.1", fetch: () => new Response() }),
    );
  expect(again).toThrow(
    new StartError("x", `Cannot bind port ${port} on 127.0.0.1 (--edge-port): address in use`),
  );
});

test.each([
  ["::", "127.0.0.1"],
  ["0.0.0.0", "127.0.0.1"],
  ["::1", "[::1]"],
  ["10.0.0.1", "10.0.0.1"],
])("hostOfBind(%p)", (bind, host) => {
  expect(hostOfBind(bind)).toBe(host);
});
