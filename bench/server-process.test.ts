/** Servers that `bench compare` starts and ends. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "#common/clock.ts";
import { ServerProcess } from "./server-process.ts";

const FAKE = `'${process.execPath}' '${join(import.meta.dir, "fake-pixelflut.ts")}' {port}`;
const context = { clock: systemClock, signal: new AbortController().signal };

function isListening(port: number): Promise<boolean> {
  return Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } }).then(
    (socket) => (socket.end(), true),
    () => false,
  );
}

describe("ServerProcess", () => {
  test("starts a server on a free port, and ends it with what it has started", async () => {
    let folder = "";
    // The shell stays and has a child.
    const command = `echo {folder} > {folder}/name; ${FAKE}; true`;
    const server = await ServerProcess.start({ name: "fake", command }, context);
    try {
      expect(await server.size()).toEqual({ width: 40, height: 30 });
      expect(server.isRunning).toBe(true);
      expect(server.target.host).toBe("127.0.0.1");
      // So little that it may count as nothing.
      if (process.platform === "linux") expect(server.cpuSeconds()).toBeWithin(0, 60);
      folder = server.folder;
      expect((await Bun.file(join(folder, "name")).text()).trim()).toBe(folder);
    } finally {
      await server[Symbol.asyncDispose]();
    }
    expect([server.isRunning, await isListening(server.target.port), existsSync(folder)]).toEqual([
      false,
      false,
      false,
    ]);
  });

  test("shows what a server printed that does not start", async () => {
    const command = "echo no such canvas >&2; exit 3 # {port}";
    const starting = ServerProcess.start({ name: "broken", command }, context);
    await expect(starting).rejects.toThrow("broken has ended:\nno such canvas");
  });

  test("does not pass on the settings of our own server", async () => {
    process.env["SPILLWAY_WIDTH"] = "7";
    const command = 'echo "width=$SPILLWAY_WIDTH" >&2; exit 3 # {port}';
    try {
      const starting = ServerProcess.start({ name: "broken", command }, context);
      await expect(starting).rejects.toThrow("broken has ended:\nwidth=");
      await expect(starting).rejects.not.toThrow("width=7");
    } finally {
      delete process.env["SPILLWAY_WIDTH"];
    }
  });
});
