/** The table of a comparison: medians, ratios, the base of blended colours, and what failed. */
import { expect, test } from "bun:test";
import { addCells, notesOnCells, renderCells, type Cell, type WindowResult } from "./compare-table.ts";
import { collectMeasurements } from "./report.ts";

function cell(
  place: Pick<Cell, "load" | "connections" | "server">,
  gigabits: readonly number[],
  change: Partial<WindowResult> = {},
): Cell {
  return {
    ...place,
    windows: gigabits.map((value) => ({
      bitsPerSecond: value * 1e9,
      pixelsPerSecond: value * 7e6,
      serverSecondsPerGigabyte: 2 / value,
      clientSecondsPerGigabyte: 0.125,
      isConfirmed: true,
      failures: "none",
      ...change,
    })),
  };
}

const cells = [
  cell({ load: "text8-shuffled", connections: 2, server: "ours" }, [10, 30, 20]),
  cell({ load: "text8-shuffled", connections: 2, server: "peer" }, [5, 1, 8]),
  cell({ load: "alpha-shuffled", connections: 2, server: "ours" }, [4, 4, 4]),
  cell({ load: "alpha-shuffled", connections: 2, server: "peer" }, [8, 8, 9], {
    isConfirmed: false,
    pixelsPerSecond: undefined,
    serverSecondsPerGigabyte: undefined,
    failures: "1 no answer at the end",
  }),
];

test("renderCells() shows medians, ratios to each peer, and what a peer reaches without blending", () => {
  expect(
    renderCells(cells)
      .split("\n")
      .map((line) => line.trim().split(/\s{2,}/)),
  ).toEqual([
    ["load", "conns", "server", "Gbit/s", "Mpx/s", "s/GB", "client", "Gbit/s ratio", "s/GB ratio"],
    ["text8-shuffled", "2", "ours", "20", "140", "0.1000", "0.1250"],
    ["peer", "5", "35", "0.4000", "0.1250", "4.00", "0.25"],
    ["alpha-shuffled", "2", "ours", "4", "28", "0.5000", "0.1250"],
    ["peer *", "8", "-", "-", "0.1250", "0.50", "-"],
    ["peer, text8-shuffled", "5", "35", "0.4000", "0.1250", "0.80", "1.25"],
  ]);
});

test("addCells() keeps medians and every round", () => {
  const { measurements, add } = collectMeasurements();
  addCells(add, cells.slice(0, 1));
  expect(Object.fromEntries(measurements.map(({ name, value }) => [name, value]))).toEqual({
    "text8-shuffled.2.ours.throughput": 20,
    "text8-shuffled.2.ours.throughputs": "10 30 20",
    "text8-shuffled.2.ours.pixelRate": 140,
    "text8-shuffled.2.ours.serverCpu": 0.1,
    "text8-shuffled.2.ours.serverCpus": "0.2000 0.0667 0.1000",
    "text8-shuffled.2.ours.clientCpu": 0.125,
  });
});

test("notesOnCells() tells of failures", () => {
  expect(notesOnCells(cells)).toEqual([
    "alpha-shuffled, 2 connections, peer: in 3 of 3 rounds 1 no answer at the end.",
  ]);
});
