/**
 * Every role as a process of its own, as on several hosts: the same path over `/feed.mp4`, in any order of start.
 */
import { expect, test } from "bun:test";
import { freePorts } from "../bench/free-ports.ts";
import { block, flags, getText, isOk, paint, Program, TemporaryFolder, waitFor } from "./harness.ts";

async function reason(url: string): Promise<string> {
  const response = await fetch(url);
  return `${response.status} ${(await response.text()).trim()}`;
}

test("an edge waits for its origin, an origin for its server, and both say so", async () => {
  using folder = new TemporaryFolder();
  const [pixelflut = 0, server = 0, origin = 0, edge = 0] = freePorts(4);
  const edgeUrl = `http://127.0.0.1:${edge}`;
  const originUrl = `http://127.0.0.1:${origin}`;

  await using _edge = new Program(["edge", ...flags({ "edge-port": edge, upstream: originUrl })]);
  await waitFor("the edge to listen", () => isOk(`${edgeUrl}/healthz`));
  expect(await reason(`${edgeUrl}/readyz`)).toMatch(/^503 \S+/);

  const source = `http://127.0.0.1:${server}/feed.mp4`;
  await using _origin = new Program(["origin", ...flags({ "origin-port": origin, source })]);
  await waitFor("the origin to listen", () => isOk(`${originUrl}/healthz`));
  expect(await reason(`${originUrl}/readyz`)).toMatch(/^503 \S+/);

  await using _server = new Program([
    "server",
    ...flags({ "server-port": server, "pixelflut-port": pixelflut, "data-dir": folder.path }),
    ...flags({ width: 320, height: 180 }),
  ]);
  await waitFor("the edge to be ready", () => isOk(`${edgeUrl}/readyz`));
  await paint(pixelflut, block(320, 180, "00ff00"));
  const figures = JSON.parse(await getText(`http://127.0.0.1:${server}/stats.json`));
  expect(figures).toMatchObject({ width: 320, height: 180, pixels: 320 * 180 });
  const playlist = await getText(`${edgeUrl}/live/canvas/index.m3u8`);
  expect(playlist).toContain("\n180p/index.m3u8");
});

test("an edge starts where node-av is not installed", async () => {
  const [edge = 0] = freePorts(1);
  // An import of the encoder would end the process at once with this preload.
  using folder = new TemporaryFolder();
  const preload = `${folder.path}/no-encoder.ts`;
  await Bun.write(
    preload,
    `import { plugin } from "bun";
plugin({ name: "no-encoder", setup(build) { build.onResolve({ filter: /^node-av/ }, () => { process.exit(70); }); } });`,
  );
  const main = `${import.meta.dir}/../main.ts`;
  const child = Bun.spawn(
    [
      process.execPath,
      "--preload",
      preload,
      main,
      "edge",
      ...flags({ "edge-port": edge, "drain-seconds": 0 }),
    ],
    {
      stdio: ["ignore", "ignore", "ignore"],
    },
  );
  try {
    await waitFor("the edge to listen", () => isOk(`http://127.0.0.1:${edge}/healthz`));
    expect(child.exitCode).toBeNull();
  } finally {
    child.kill("SIGTERM");
    await child.exited;
  }
});
