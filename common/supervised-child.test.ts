/** Supervised children as real processes of a few lines: first start, restart on the same port, no restart at the end. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { silentLog } from "#common/log.ts";
import { SupervisedChild } from "#common/supervised-child.ts";

const folder = mkdtempSync(join(tmpdir(), "spillway-child-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Says on which port it "listens": the one that it is told, or its first choice; and ends on SIGTERM with 0. */
const LISTENS = `process.send({ type: "listening", ports: { "edge-port": Number(process.env.SPILLWAY_EDGE_PORT ?? 4242) } });
await Bun.write(process.env.SEEN + process.pid, process.env.SPILLWAY_EDGE_PORT ?? "own choice");
process.on("SIGTERM", () => process.exit(0));
setInterval(() => {}, 1000);`;

async function childOf(script: string, isStopping: () => boolean = () => false) {
  const seen = mkdtempSync(join(folder, "seen-"));
  const path = join(seen, "child.ts");
  await Bun.write(path, script);
  const warnings: string[] = [];
  const child = new SupervisedChild({
    name: "edge 1",
    command: [path],
    env: { ...process.env, SPILLWAY_EDGE_PORT: undefined, SEEN: join(seen, "pid-") },
    log: { ...silentLog, warn: (message) => void warnings.push(message) },
    clock: systemClock,
    isStopping,
  });
  /** Pids of all children so far, with the port that each was told. */
  const starts = async (): Promise<Map<number, string>> => {
    const names = await Array.fromAsync(new Bun.Glob("pid-*").scan(seen));
    const entries = names.map(
      async (name) => [Number(name.slice(4)), await Bun.file(join(seen, name)).text()] as const,
    );
    return new Map(await Promise.all(entries));
  };
  return { child, starts, warnings };
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await Bun.sleep(10);
}

describe("SupervisedChild", () => {
  test.each([
    [2, 2],
    [7, 1],
    [0, 1],
  ])("start() fails where the child ends with %i before it listens", async (status, exitStatus) => {
    const { child } = await childOf(`process.exit(${status});`);
    const failure = await child.start().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StartError);
    expect(failure).toMatchObject({ exitStatus });
  });

  test("a child that dies is started again and told the port of the first one", async () => {
    const { child, starts, warnings } = await childOf(LISTENS);
    await child.start();
    expect(child.ports).toEqual({ "edge-port": 4242 });
    await until(async () => (await starts()).size === 1);
    const [first = 0] = (await starts()).keys();
    process.kill(first, "SIGKILL");
    await until(async () => (await starts()).size === 2);
    const second = [...(await starts())].find(([pid]) => pid !== first);
    expect(second?.[1]).toBe("4242");
    expect(warnings.join()).toMatch(/^edge 1 ended \(signal \S+\) after \S+ s: restarting in 100 ms$/);
    await child.close();
    expect(() => process.kill(second?.[0] ?? 0, 0)).toThrow();
  });

  test("a child that has hung is killed with a word, and started again", async () => {
    const { child, starts, warnings } = await childOf(LISTENS);
    await child.start();
    await until(async () => (await starts()).size === 1);
    const [first = 0] = (await starts()).keys();
    process.kill(first, "SIGSTOP");
    child.kill("has said nothing for 10 s");
    await until(async () => (await starts()).size === 2);
    expect(() => process.kill(first, 0)).toThrow();
    const lines = [
      /^edge 1 has said nothing for 10 s: killed$/,
      /^edge 1 ended \(signal \S+\) after \S+ s: /,
    ];
    expect(warnings).toEqual(lines.map((line) => expect.stringMatching(line)));
    await child.close();
    child.kill("has ended");
    expect(warnings.length).toBe(2);
  });

  test("a child that a signal to the whole group ends is not started again", async () => {
    let isStopping = false;
    const { child, starts, warnings } = await childOf(LISTENS, () => isStopping);
    await child.start();
    await until(async () => (await starts()).size === 1);
    const [pid = 0] = (await starts()).keys();
    isStopping = true;
    process.kill(pid, "SIGTERM");
    await until(() => {
      try {
        return !process.kill(pid, 0);
      } catch {
        return true;
      }
    });
    await child.close();
    expect(warnings).toEqual([]);
    expect((await starts()).size).toBe(1);
  });
});

/** Listens where it is told, and gives back what it hears, with its pid. */
const ECHOES = `process.on("message", (heard) => process.send({ type: "echo", heard, pid: process.pid }));
process.send({ type: "listening", ports: { "edge-port": Number(process.env.SPILLWAY_EDGE_PORT ?? 4242) } });
process.on("SIGTERM", () => process.exit(0));`;

test("SupervisedChild talks with its child, pins it to a port, and says when it ends", async () => {
  const path = join(mkdtempSync(join(folder, "talk-")), "child.ts");
  await Bun.write(path, ECHOES);
  const heard: { readonly heard: unknown; readonly pid: number }[] = [];
  let ends = 0;
  const child = new SupervisedChild({
    name: "edge worker 1",
    command: [path],
    env: { ...process.env, SPILLWAY_EDGE_PORT: undefined },
    log: silentLog,
    clock: systemClock,
    isStopping: () => false,
    onMessage: (message) => void heard.push(message as (typeof heard)[number]),
    onExit: () => void ends++,
  });
  child.pin({ "edge-port": 17 });
  await child.start();
  expect(child.ports).toEqual({ "edge-port": 17 });
  child.send({ keys: BigUint64Array.of(5n) });
  await until(() => heard.length === 1);
  expect(heard[0]?.heard).toEqual({ keys: BigUint64Array.of(5n) });
  child.signal("SIGKILL");
  await until(() => ends === 1);
  child.send({ to: "nobody" });
  await child.close();
  expect(heard.length).toBe(1);
});

/** Ends its side of the channel as one that is killed does, and lives on. */
const FALLS_SILENT = `process.send({ type: "listening", ports: {} });
process.on("message", () => process.disconnect());
process.on("SIGTERM", () => process.exit(0));
process.on("disconnect", () => void Bun.write(process.env.SEEN + process.pid, "silent"));
setInterval(() => {}, 1000);`;

test("what a child is told whose channel is closed, though it has not ended, is lost and no more than that", async () => {
  const { child, starts } = await childOf(FALLS_SILENT);
  await child.start();
  child.send({ to: "it" });
  await until(async () => (await starts()).size === 1);
  // Whether this process knows of it already: each turn of its loop may bring it.
  for (let turn = 0; turn < 20; turn++) {
    expect(() => child.send({ to: "nobody" })).not.toThrow();
    await Bun.sleep(1);
  }
  await child.close();
});
