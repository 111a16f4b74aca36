/** Progress, tables and JSON of the load scripts. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import {
  collectMeasurements,
  formatValue,
  renderJson,
  renderTable,
  startProgress,
  type Result,
} from "./report.ts";

const { measurements, add } = collectMeasurements();
add("throughput", "throughput", 3.21456, "Gbit/s");
add("bytes", "sent", 123456, "bytes");
add("errors", "connection errors", "none");

const result: Result = {
  tool: "pixels",
  parameters: { connections: 2 },
  startedAtMs: Date.UTC(2026, 0, 1),
  isCutShort: true,
  measurements,
  notes: ["A sentence."],
};

test("renderTable() aligns labels and numbers and says that a run was cut short", () => {
  expect(renderTable(result)).toBe(
    [
      "bench pixels (ended early)",
      "  throughput           3.21 Gbit/s",
      "  sent               123456 bytes",
      "  connection errors  none",
      "  Note: A sentence.",
    ].join("\n"),
  );
});

test("renderJson() carries figures with units, parameters, versions, machine and date", () => {
  expect(JSON.parse(renderJson(result))).toMatchObject({
    tool: "pixels",
    startedAt: "2026-01-01T00:00:00.000Z",
    isCutShort: true,
    versions: { bun: Bun.version },
    machine: { processors: expect.any(Number) },
    parameters: { connections: 2 },
    results: { throughput: { value: 3.21456, unit: "Gbit/s", label: "throughput" } },
    notes: ["A sentence."],
  });
});

test("formatValue() keeps the digits that count", () => {
  expect([0, 12, 0.01234, 1.2345, 123.45, 12345.6, Number.NaN, "x"].map(formatValue)).toEqual([
    "0",
    "12",
    "0.0123",
    "1.23",
    "123.5",
    "12346",
    "-",
    "x",
  ]);
});

test("startProgress() prints once a second until it is ended", () => {
  const clock = new FakeClock();
  const lines: string[] = [];
  const output = { progress: (line: string) => void lines.push(line), table() {} };
  const end = startProgress({ clock, output, describe: (sinceLastMs) => `${sinceLastMs} ms` });
  clock.advance(2_500);
  end();
  clock.advance(5_000);
  expect(lines).toEqual(["   1.0 s  1000 ms", "   2.0 s  1000 ms"]);
});
