/** Processes that load scripts start. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "#common/clock.ts";
import { LoggedProcess } from "./logged-process.ts";
import { waitFor } from "./wait.ts";

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

function start(script: string, env: Readonly<Record<string, string>> = {}): LoggedProcess {
  const folder = mkdtempSync(join(tmpdir(), "spillway-logged-process-"));
  closers.push(() => rmSync(folder, { recursive: true, force: true }));
  const logPath = join(folder, "output.log");
  const child = new LoggedProcess({ command: ["sh", "-c", script], logPath, env, clock: systemClock });
  closers.push(() => child[Symbol.asyncDispose]());
  return child;
}

test("LoggedProcess shows the end of what was printed, on either output", async () => {
  const child = start("head -c 5000 /dev/zero | tr '\\0' x; echo out; echo err >&2; exit 3");
  expect(await child.exited).toBe(3);
  expect(child.isRunning).toBe(false);
  expect(child.printed).toEndWith("xxxout\nerr");
  expect(child.printed.length).toBe(2_000);
});

test("LoggedProcess passes on the environment without the settings of nodes, but for those it is given", async () => {
  process.env["SPILLWAY_WIDTH"] = "7";
  closers.push(() => delete process.env["SPILLWAY_WIDTH"]);
  const child = start('echo "$SPILLWAY_WIDTH,$SPILLWAY_HEIGHT,${PATH:+path}"', { SPILLWAY_HEIGHT: "5" });
  await child.exited;
  expect(child.printed).toBe(",5,path");
});

test("LoggedProcess lets one that is stopped end by itself", async () => {
  const child = start("trap 'echo ended; exit' TERM; echo begun; while :; do sleep 0.01; done");
  const { signal } = new AbortController();
  const isDone = (): boolean => child.printed === "begun";
  await waitFor({ clock: systemClock, signal, msMax: 10_000, isDone });
  child.kill("SIGSTOP");
  expect(child.isRunning).toBe(true);
  await child[Symbol.asyncDispose]();
  expect(child.isRunning).toBe(false);
  // Of the `sleep` that the signal ends too the shell may say so.
  expect(child.printed).toMatch(/^begun\n(Terminated\n)?ended$/);
});
