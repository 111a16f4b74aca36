/**
 * Players' own programs against a server, unmodified or in their way of sending: each paints the whole canvas with noise
 * of its own, which is then read back pixel by pixel.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "#common/clock.ts";
import { colourOf, type ImageOptions } from "../bench/pixel-images.ts";
import { buildPattern, type Pattern } from "../bench/pixel-patterns.ts";
import { readCanvas } from "../bench/pixel-verification.ts";
import { PixelflutClient } from "../bench/pixelflut-client.ts";
import { TemporaryFolder, waitFor } from "./harness.ts";
import { RECEIVE_PATHS, ServerAlone } from "./server-alone.ts";

const WIDTH = 320;
const HEIGHT = 180;
const PIXELS = WIDTH * HEIGHT;
const HOST = "127.0.0.1";
const SIZE = `SIZE ${WIDTH} ${HEIGHT}\n`;
/** netcat as OpenBSD and Debian have it, and Python. */
const NETCAT = "nc.openbsd";
const PYTHON = "python3";
/** Of the differing pixels so many are shown. */
const SHOWN_MAX = 3;
/** How long pixels may take to land once all are sent. Milliseconds. */
const LANDING_MS_MAX = 10_000;
/** How long a program may run. Milliseconds. */
const PROGRAM_MS_MAX = 30_000;
const NEVER = new AbortController().signal;

/** Sends a picture of rows of `rgb`, a line a call, and now and then asks for a pixel. */
const PYTHON_CLIENT = `
import socket, sys

host, port, path = sys.argv[1:]
picture = open(path, "rb").read()
sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
sock.connect((host, int(port)))
replies = sock.makefile("r")

def ask(command):
    sock.send(command.encode())
    return replies.readline()

width, height = map(int, ask("SIZE\\n").split()[1:])

for y in range(height):
    for x in range(width):
        r, g, b = picture[3 * (y * width + x):][:3]
        sock.send(b"PX %d %d %02x%02x%02x\\n" % (x, y, r, g, b))
    if y % 30 == 0:
        wanted = "PX %d %d %02x%02x%02x\\n" % (x, y, r, g, b)
        found = ask("PX %d %d\\n" % (x, y))
        if found != wanted:
            sys.exit("%r is not %r" % (found, wanted))
print(width, height)
`;

/** What a client has to paint. */
class Picture {
  readonly image: ImageOptions;
  readonly #folder: string;

  constructor(seed: number, folder: string) {
    this.image = { width: WIDTH, height: HEIGHT, format: "text", image: "noise", seed };
    this.#folder = folder;
  }

  /** The commands of all its pixels. */
  commands(format: "text" | "text8" | "pb", order: "ordered" | "shuffled"): Pattern {
    return buildPattern({ ...this.image, format, order, pixels: 0 }, { format, order });
  }

  /** Writes bytes into a file and returns its path. */
  file(name: string, bytes: Uint8Array): string {
    const path = join(this.#folder, name);
    writeFileSync(path, bytes);
    return path;
  }

  get colours(): Uint32Array {
    return new Uint32Array(PIXELS).map((_, pixel) => colourOf(this.image, pixel));
  }

  /** Three bytes a pixel. */
  get rgb(): Uint8Array {
    return Uint8Array.from([...this.colours].flatMap((colour) => [colour >> 16, colour >> 8, colour]));
  }
}

/** A connection of a client in TypeScript. */
class Sender {
  readonly #socket: Bun.Socket;
  readonly #onDrain: { call: () => void };
  readonly #received: { text: string };

  private constructor(
    socket: Bun.Socket,
    { onDrain, received }: { readonly onDrain: { call: () => void }; readonly received: { text: string } },
  ) {
    this.#socket = socket;
    this.#onDrain = onDrain;
    this.#received = received;
  }

  static async connect(port: number): Promise<Sender> {
    const onDrain = { call: (): void => {} };
    const received = { text: "" };
    const socket = await Bun.connect({
      hostname: HOST,
      port,
      socket: {
        drain: () => onDrain.call(),
        data: (_, bytes) => void (received.text += Buffer.from(bytes).toString("latin1")),
        // A broken connection paints nothing more, which shows on the canvas.
        error() {},
      },
    });
    return new Sender(socket, { onDrain, received });
  }

  /** Never reads what the server says. */
  deafen(): void {
    this.#socket.pause();
  }

  /** Asks for the size and waits for it. */
  async size(): Promise<string> {
    this.#socket.write("SIZE\n");
    return waitFor("the size", () => this.#received.text.endsWith("\n") && this.#received.text);
  }

  /** Writes the bytes between the `cuts`, each part by a call of its own. */
  async send(bytes: Uint8Array, cuts: Iterable<number>): Promise<void> {
    let from = 0;
    for (const to of cuts) {
      let rest = bytes.subarray(from, to);
      while ((rest = rest.subarray(Math.max(0, this.#socket.write(rest)))).length > 0) {
        await new Promise<void>((resolve) => (this.#onDrain.call = resolve));
      }
      from = to;
    }
  }

  close(): void {
    this.#socket.end();
  }
}

/** Ends of parts of `size` bytes, the last one shorter. */
function everyBytes(length: number, size: number): number[] {
  return Array.from({ length: Math.ceil(length / size) }, (_, index) => Math.min(length, (index + 1) * size));
}

/** Whole commands, and where each of them ends. */
interface Share {
  readonly bytes: Uint8Array;
  readonly ends: Uint32Array;
}

/** Part `index` of `count` of a pattern. */
function shareOf(
  { bytes, starts }: Pattern,
  { index, count }: { readonly index: number; readonly count: number },
): Share {
  const commands = starts.length - 1;
  const first = Math.floor((commands * index) / count);
  const last = Math.floor((commands * (index + 1)) / count);
  const offset = starts[first] ?? 0;
  return {
    bytes: bytes.subarray(offset, starts[last]),
    ends: starts.subarray(first + 1, last + 1).map((end) => end - offset),
  };
}

/** Runs a program to its end. Throws what it says where that is not 0; else resolves with its output. */
async function run(command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], { stdio: ["ignore", "pipe", "pipe"], timeout: PROGRAM_MS_MAX });
  const [output, errors, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (status !== 0) throw new Error(`${command[0]} ended with status ${status}: ${errors}`);
  return output;
}

/** Sends a pattern as threads of a client do, each its share on a connection of its own. */
async function sendShares(
  { port, pattern, threads }: { readonly port: number; readonly pattern: Pattern; readonly threads: number },
  send: (sender: Sender, share: Share) => Promise<void>,
): Promise<void> {
  await Promise.all(
    Array.from({ length: threads }, async (_, index) => {
      const sender = await Sender.connect(port);
      await send(sender, shareOf(pattern, { index, count: threads }));
      sender.close();
    }),
  );
}

/** Threads that send their lines of a shuffled picture over and over, as much as a call takes, and never read. */
async function sendAsSturmflut(port: number, picture: Picture): Promise<number> {
  const passes = 3;
  const threads = 4;
  const pattern = picture.commands("text8", "shuffled");
  await sendShares({ port, pattern, threads }, async (sender, { bytes }) => {
    sender.deafen();
    for (let pass = 0; pass < passes; pass += 1) await sender.send(bytes, [bytes.length]);
  });
  return passes * PIXELS;
}

/** Threads that ask for the size first and send a line a call. */
async function sendAsPixelpwnr(port: number, picture: Picture): Promise<number> {
  const threads = 2;
  const pattern = picture.commands("text", "ordered");
  await sendShares({ port, pattern, threads }, async (sender, { bytes, ends }) => {
    expect(await sender.size()).toBe(SIZE);
    await sender.send(bytes, ends);
  });
  return PIXELS;
}

/** Threads that ask for the size first and send PB in bursts, which end anywhere in a command. */
async function sendBinary(port: number, picture: Picture): Promise<number> {
  const threads = 3;
  const burstBytes = 4_099;
  const pattern = picture.commands("pb", "shuffled");
  await sendShares({ port, pattern, threads }, async (sender, { bytes }) => {
    expect(await sender.size()).toBe(SIZE);
    await sender.send(bytes, everyBytes(bytes.length, burstBytes));
  });
  return PIXELS;
}

/** A loop in a shell, once around netcat and once into it. */
async function sendByNetcat(port: number, picture: Picture): Promise<number> {
  const pattern = picture.commands("text", "ordered");
  const [all, ...rows] = [
    picture.file("all", pattern.bytes),
    ...[0, 1, 2, 3].map((index) => picture.file(`${index}`, shareOf(pattern, { index, count: 4 }).bytes)),
  ];
  const netcat = `${NETCAT} -N ${HOST} ${port}`;
  const loops = [
    `printf 'SIZE\\n' | ${netcat}`,
    `for pass in 1 2 3; do cat '${all}'; done | ${netcat}`,
    `for rows in ${rows.join(" ")}; do ${netcat} < "$rows"; done`,
    `printf 'SIZE\\n' | ${netcat}`,
  ];
  expect(await run(["sh", "-ec", loops.join("\n")])).toBe(SIZE + SIZE);
  return 4 * PIXELS;
}

async function sendByPython(port: number, picture: Picture): Promise<number> {
  const path = picture.file("picture", picture.rgb);
  expect(await run([PYTHON, "-c", PYTHON_CLIENT, HOST, String(port), path])).toBe(`${WIDTH} ${HEIGHT}\n`);
  return PIXELS;
}

interface Client {
  readonly name: string;
  /** Paints a picture and resolves with how many pixels it has sent, at least the canvas once. */
  readonly send: (port: number, picture: Picture) => Promise<number>;
  /** What has to be installed for it. */
  readonly program?: string;
}

const CLIENTS: readonly Client[] = [
  { name: "sturmflut's way of sending", send: sendAsSturmflut },
  { name: "pixelpwnr's way of sending", send: sendAsPixelpwnr },
  { name: "PB in bursts", send: sendBinary },
  { name: "a netcat loop", send: sendByNetcat, program: NETCAT },
  { name: "a client in Python", send: sendByPython, program: PYTHON },
];

const MISSING = CLIENTS.filter(({ program }) => program !== undefined && Bun.which(program) === null);
for (const { name, program } of MISSING)
  console.warn(`SKIPPED: ${name} is not tested, there is no ${program} on this machine`);

/** The first pixels that are not as they should be. */
function differences(found: Uint32Array, wanted: Uint32Array): string[] {
  return [...wanted.keys()]
    .filter((pixel) => found[pixel] !== wanted[pixel])
    .slice(0, SHOWN_MAX)
    .map((pixel) => {
      const [is, should] = [found, wanted].map((colours) => colours[pixel]?.toString(16).padStart(6, "0"));
      return `${pixel % WIDTH},${Math.floor(pixel / WIDTH)} is ${is}, not ${should}`;
    });
}

async function canvasOf(port: number): Promise<Uint32Array> {
  const client = await PixelflutClient.connect({ host: HOST, port }, systemClock);
  try {
    return await readCanvas(client, { width: WIDTH, height: HEIGHT, signal: NEVER });
  } finally {
    client.close();
  }
}

describe.each(RECEIVE_PATHS)("a server with --receive %s shows exactly what is painted by", (receive) => {
  let server: ServerAlone;
  beforeAll(async () => {
    server = new ServerAlone({ width: WIDTH, height: HEIGHT, fps: 1, receive });
    await server.ready();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  for (const [index, { name, send }] of CLIENTS.entries()) {
    const isMissing = MISSING.some((missing) => missing.name === name);
    test.skipIf(isMissing)(name, async () => {
      using folder = new TemporaryFolder();
      const picture = new Picture(index + 1, folder.path);
      const counters = ["pixels_total", "invalid_lines_total"];
      const before = await server.metrics(counters);
      const sent = (before["pixels_total"] ?? 0) + (await send(server.port, picture));
      await waitFor(
        "all pixels to land",
        async () => (await server.metric("spillway_server_pixels_total")) >= sent,
        LANDING_MS_MAX,
      );
      await server.connectionsAre(0);
      expect(await server.metrics(counters)).toEqual({ pixels_total: sent, invalid_lines_total: 0 });
      expect(differences(await canvasOf(server.port), picture.colours)).toEqual([]);
      await server.connectionsAre(0);
    });
  }
});
