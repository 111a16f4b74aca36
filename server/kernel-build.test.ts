/** What is kept of a build, and that a start survives where nothing can be kept. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildKernel, keepBuild } from "./kernel-build.ts";

const BUILD = new Uint8Array([0, 0x61, 0x73, 0x6d]);

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "spillway-build-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("keepBuild()", () => {
  test("keeps the build, makes its folder, and removes older ones", async () => {
    const path = join(folder, "build", "new.wasm");
    await keepBuild(join(folder, "build", "old.wasm"), BUILD);
    await keepBuild(path, BUILD);
    // As another process does that built it meanwhile.
    await keepBuild(path, BUILD);
    expect(readdirSync(join(folder, "build"))).toEqual(["new.wasm"]);
    expect(new Uint8Array(readFileSync(path))).toEqual(BUILD);
  });

  test("gives up where the folder cannot be made", async () => {
    writeFileSync(join(folder, "build"), "a file");
    await keepBuild(join(folder, "build", "new.wasm"), BUILD);
    expect(readFileSync(join(folder, "build"), "utf8")).toBe("a file");
  });

  test("gives up where the file cannot be put there, and leaves no part of it", async () => {
    mkdirSync(join(folder, "new.wasm", "inside"), { recursive: true });
    await keepBuild(join(folder, "new.wasm"), BUILD);
    expect(readdirSync(folder)).toEqual(["new.wasm"]);
  });
});

test("buildKernel() says that it compiles, before it does, and nothing where it need not", async () => {
  const told: [message: string, kept: number][] = [];
  const log = { info: (message: string) => void told.push([message, readdirSync(folder).length]) };
  const built = await buildKernel({ log, folder });
  const line: [string, number] = ["Compiling the Pixelflut kernel, which the first start does", 0];
  expect(told).toEqual([line]);
  expect(await buildKernel({ log, folder })).toEqual(built);
  expect(told).toEqual([line]);
}, 120_000);
