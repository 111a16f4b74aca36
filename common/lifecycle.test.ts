/** The order of closing, and the exit statuses of real processes. */
import { expect, test } from "bun:test";
import { OptionError, StartError, exitStatusOf } from "#common/errors.ts";
import { Lifecycle } from "#common/lifecycle.ts";
import { createLog, silentLog, type Log } from "#common/log.ts";

test("Lifecycle closes what was opened last first, and goes on after a failure", async () => {
  const order: string[] = [];
  const warnings: string[] = [];
  const log: Log = { ...silentLog, warn: (message) => void warnings.push(message) };
  const lifecycle = new Lifecycle();
  lifecycle.onClose("first", () => void order.push("first"));
  lifecycle.onClose("broken", () => {
    throw new Error("no");
  });
  lifecycle.onClose("last", async () => void order.push("last"));
  await lifecycle.closeAll(log);
  expect(order).toEqual(["last", "first"]);
  expect(warnings).toEqual(["Closing broken failed: no"]);
});

test("Lifecycle keeps the first reason to stop", async () => {
  const lifecycle = new Lifecycle();
  lifecycle.stop("SIGTERM");
  lifecycle.stop("SIGINT");
  expect(lifecycle.isStopping).toBe(true);
  expect(await lifecycle.stopping).toBe("SIGTERM");
});

test.each([
  [new OptionError("bad"), 2],
  [new StartError("cannot-bind", "in use"), 1],
  [new StartError("child", "child", { exitStatus: 2 }), 2],
  [new Error("other"), 1],
])("exitStatusOf() %p", (error, status) => {
  expect(exitStatusOf(error)).toBe(status);
});

test("createLog() writes one line, even where a peer's text has line breaks", () => {
  const lines: string[] = [];
  const log = createLog({
    node: "edge 1",
    level: "info",
    format: "text",
    write: (line) => void lines.push(line),
    wallMs: () => Date.UTC(2026, 0, 1),
  });
  log.debug("hidden");
  log.warn("refused\nGET", { path: "/a b", viewers: 3, none: undefined });
  expect(lines).toEqual(['2026-01-01T00:00:00.000Z warn  edge 1 refused\\x0aGET path="/a b" viewers=3']);
});

test("createLog() writes JSON lines", () => {
  const lines: string[] = [];
  const log = createLog({
    node: "origin",
    level: "debug",
    format: "json",
    write: (line) => void lines.push(line),
    wallMs: () => 0,
  });
  log.debug("up", { port: 8080 });
  expect(JSON.parse(lines[0] ?? "")).toEqual({
    time: "1970-01-01T00:00:00.000Z",
    level: "debug",
    node: "origin",
    message: "up",
    port: 8080,
  });
});
