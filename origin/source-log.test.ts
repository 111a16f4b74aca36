/** What an origin says of a source that changes all the time: a few lines, not one each time. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { createLog, type Log } from "#common/log.ts";
import { open } from "./origin-fixture.ts";
import { SlateTotals } from "./slate-totals.ts";
import { SourceLog } from "./source-log.ts";

/** A log whose lines can be looked at, as JSON. */
function collect(): { readonly lines: string[]; readonly log: Log } {
  const lines: string[] = [];
  const log = createLog({
    node: "origin",
    level: "info",
    format: "json",
    write: (line) => void lines.push(line),
  });
  return { lines, log };
}

describe("SourceLog", () => {
  test("a source whose every frame begins a run fills no log", () => {
    const { lines, log } = collect();
    const origin = open({ log });
    for (let ordinal = 1; ordinal <= 800; ordinal++) {
      const run = testsrcRun({
        id: ordinal.toString(16).padStart(8, "0"),
        ordinal,
        startFrame: ordinal * 60,
      });
      origin.stream.onRun(run);
      origin.stream.onFrame(testsrcFrame(run, 0));
      origin.clock.advance(40);
    }
    expect(lines.length).toBe(6 + 1);
    expect(origin.stream.runs).toBe(800);
    const unsaid = lines.map((line) => JSON.parse(line).changesUnsaid ?? 0);
    expect(unsaid).toEqual([0, 0, 0, 0, 0, 0, expect.any(Number)]);
    expect(unsaid.at(-1)).toBeGreaterThan(700);
  });

  test("nor does one that comes and goes", () => {
    const { lines, log } = collect();
    const clock = new FakeClock();
    const totals = new SlateTotals(new SourceLog(log, clock));
    for (let count = 0; count < 100; count++) {
      totals.goToSlate({ run: "0a1b2c3d" });
      totals.goToSource();
      clock.advance(100);
    }
    expect(lines.length).toBe(6);
    expect(totals.switches).toEqual({ slate: 100, source: 100 });
  });
});
