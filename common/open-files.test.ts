/** The limit of open files, and what it leaves for requests that wait. */
import { describe, expect, test } from "bun:test";
import { createLog } from "#common/log.ts";
import { boundHeldRequests, readOpenFilesMax } from "#common/open-files.ts";

test("readOpenFilesMax() reads the limit of this process, and knows none elsewhere", () => {
  if (process.platform === "linux") expect(readOpenFilesMax()).toBeGreaterThan(0);
  expect(readOpenFilesMax("/nowhere")).toBe(Number.POSITIVE_INFINITY);
});

describe("boundHeldRequests()", () => {
  function bound(openFilesMax: number): { readonly count: number; readonly lines: readonly string[] } {
    const lines: string[] = [];
    const log = createLog({
      node: "origin",
      level: "info",
      format: "json",
      write: (line) => void lines.push(line),
    });
    return { count: boundHeldRequests({ countMax: 20_000, openFilesMax, log }), lines };
  }

  test.each([Number.POSITIVE_INFINITY, 1_048_576, 26_667])("is silent with %d open files", (openFilesMax) => {
    expect(bound(openFilesMax)).toEqual({ count: 20_000, lines: [] });
  });

  test.each([
    [26_665, 19_998],
    [1_024, 768],
    [1, 1],
  ])("38: with %d open files lets fewer wait, and says so with the numbers", (openFilesMax, count) => {
    const { count: bounded, lines } = bound(openFilesMax);
    expect(bounded).toBe(count);
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      level: "warn",
      openFiles: openFilesMax,
      wanted: 26_667,
      heldRequests: count,
      heldRequestsMax: 20_000,
    });
  });
});
