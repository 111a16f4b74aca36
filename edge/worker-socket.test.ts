/** The socket of an edge's workers as a file: who may reach it, and what a killed hub leaves behind. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { StartError } from "#common/errors.ts";
import { WorkerSocket } from "./worker-socket.ts";

const parent = mkdtempSync(join(tmpdir(), "spillway-test-"));
afterAll(() => rmSync(parent, { recursive: true, force: true }));

function listen(socket: WorkerSocket): void {
  socket.listen(
    () => new Response("here"),
    (error) => {
      throw error;
    },
  );
}

test("WorkerSocket answers in a folder of its own that nobody else may enter, and takes it away", async () => {
  const socket = await WorkerSocket.create(parent);
  listen(socket);
  expect(await (await fetch("http://localhost/", { unix: socket.path })).text()).toBe("here");
  expect(statSync(dirname(socket.path)).mode & 0o777).toBe(0o700);
  await socket.close();
  expect(readdirSync(parent)).toEqual([]);
});

test("WorkerSocket removes what a killed hub has left, and nothing of one that lives or begins", async () => {
  const living = await WorkerSocket.create(parent);
  listen(living);
  const beginning = await WorkerSocket.create(parent);
  const killed = join(parent, "spillway-edge-killed");
  mkdirSync(killed);
  // The listener's process ends without closing it: the name stays and refuses.
  const script = `Bun.serve({ unix: ${JSON.stringify(join(killed, "hub"))}, fetch: () => new Response() }); process.kill(process.pid, "SIGKILL");`;
  await Bun.spawn([process.execPath, "-e", script]).exited;
  expect(existsSync(join(killed, "hub"))).toBe(true);
  const old = join(parent, "spillway-edge-old");
  mkdirSync(old);
  utimesSync(old, 1, 1);
  const next = await WorkerSocket.create(parent);
  const folders = readdirSync(parent).toSorted();
  expect(folders).toEqual(
    [living, beginning, next].map(({ path }) => dirname(path).slice(parent.length + 1)).toSorted(),
  );
  for (const socket of [living, beginning, next]) await socket.close();
});

test.skipIf(process.platform !== "linux")(
  "WorkerSocket leaves alone what a hub has whose queue is full, so that it refuses",
  async () => {
    const folder = join(parent, "spillway-edge-busy");
    mkdirSync(folder);
    const unix = join(folder, "hub");
    const script = `Bun.serve({ unix: ${JSON.stringify(unix)}, fetch: () => new Response() }); console.log("open");`;
    const hub = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
    await hub.stdout.getReader().read();
    hub.kill("SIGSTOP");
    const waiting: Bun.Socket[] = [];
    try {
      for (;;) waiting.push(await Bun.connect({ unix, socket: { data() {} } }));
    } catch {
      // Now it is.
    }
    const next = await WorkerSocket.create(parent);
    expect([waiting.length > 0, existsSync(unix)]).toEqual([true, true]);
    for (const socket of waiting) socket.terminate();
    hub.kill("SIGKILL");
    await hub.exited;
    await next.close();
    rmSync(folder, { recursive: true });
  },
);

test("WorkerSocket says where it could not be opened", async () => {
  const missing = join(parent, "missing");
  const failure = await WorkerSocket.create(missing).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(StartError);
  expect(String(failure)).toContain(missing);
});
