/** What somebody sees whose page is open while the canvas comes back in another size: the same page, and pictures. */
import { expect, test } from "bun:test";
import { freePorts } from "../bench/free-ports.ts";
import { block, flags, isOk, paint, Program, TemporaryFolder, waitFor } from "./harness.ts";
import { CHROMIUM, Spectator } from "./spectator.ts";

/** Below it nobody has thrown the player away: a picture that stands still for 8 s is helped like that. */
const STILL_MS_MAX = 6_000;

if (CHROMIUM === null)
  console.warn("SKIPPED: no page sees a change of size, there is no chromium on this machine");

test.skipIf(CHROMIUM === null).each([
  ["another one", 400, 240],
  ["twice the size, whose half is what was the whole", 640, 360],
])(
  "the page plays on where the canvas comes back in %s",
  async (_, width, height) => {
    using folder = new TemporaryFolder();
    const [pixelflut = 0, server = 0, origin = 0, edge = 0] = freePorts(4);
    const paths = flags({ "data-dir": folder.path });
    const start = (size: Readonly<Record<string, number>>): Program =>
      new Program([
        "server",
        ...paths,
        ...flags({ ...size, "server-port": server, "pixelflut-port": pixelflut }),
      ]);
    const source = `http://127.0.0.1:${server}/feed.mp4`;
    await using _origin = new Program(["origin", ...paths, ...flags({ "origin-port": origin, source })]);
    const upstream = `http://127.0.0.1:${origin}`;
    await using _edge = new Program(["edge", ...paths, ...flags({ "edge-port": edge, upstream })]);
    const edgeUrl = `http://127.0.0.1:${edge}`;
    await using before = start({ width: 320, height: 180 });
    await waitFor("a playlist", () => isOk(`${edgeUrl}/live/canvas/index.m3u8`));
    await using spectator = await Spectator.open(`${edgeUrl}/`);
    await paint(pixelflut, block(320, 180, "c02020"));
    await spectator.seeColour("red", [192, 32, 32]);
    spectator.stillMs = 0;
    await before[Symbol.asyncDispose]();
    await using _after = start({ width, height });
    await waitFor("the server", () => isOk(`http://127.0.0.1:${server}/readyz`));
    await paint(pixelflut, block(width, height, "20a020"));
    await spectator.seeColour("green", [32, 160, 32]);
    console.info(`${height} lines: stood still for ${Math.round(spectator.stillMs)} ms at most`);
    expect(spectator.stillMs).toBeLessThan(STILL_MS_MAX);
    expect([...spectator.fatal]).toEqual([]);
  },
  120_000,
);
