/** The kernel as its host calls it; what it makes of the protocol is in `pixelflut-parsers.test.ts`. */
import { expect, test } from "bun:test";
import { createRandomBelow } from "#common/random.ts";
import { COUNTER_NAMES } from "./counters.ts";
import { createFramebuffer, OPAQUE } from "./framebuffer.ts";
import { loadKernel, openKernel, type Kernel } from "./kernel.ts";
import * as layout from "./kernel/layout.ts";
import { REPLIES_BYTES } from "./memory-layout.ts";
import type { ProtocolOptions } from "./pixelflut-parser.ts";

const PROTOCOL: ProtocolOptions = { alpha: "blend", outsideGets: "silent", isStrict: false };
const WIDTH = 37;
const HEIGHT = 11;
const module = await loadKernel();
const encoder = new TextEncoder();

function open() {
  const framebuffer = createFramebuffer({ width: WIDTH, height: HEIGHT, threads: 2, connectionsMax: 4 });
  const kernel = openKernel({ module, framebuffer, thread: 1, protocol: PROTOCOL });
  const record = framebuffer.map.connectionsOffset + layout.STATE_BYTES;
  kernel.resetRecord(record);
  const memory = new Uint8Array(framebuffer.memory.buffer);
  return { framebuffer, kernel, record, memory };
}

type Opened = ReturnType<typeof open>;

/** One read, as a receive path hands it over. Returns how many bytes were taken. */
function read({ kernel, record, memory }: Opened, bytes: Uint8Array): number {
  memory.set(bytes, kernel.readOffset);
  return kernel.parse(record, kernel.readOffset, kernel.readOffset + bytes.length, 0) - kernel.readOffset;
}

function replies({ kernel, memory }: Opened): string {
  const { repliesOffset } = kernel;
  return new TextDecoder().decode(memory.slice(repliesOffset, repliesOffset + kernel.repliesLength()));
}

test("the kernel's counters are those of COUNTER_NAMES", () => {
  const places = {
    pixels: layout.COUNTER_PIXELS,
    accepted: layout.COUNTER_ACCEPTED,
    closed: layout.COUNTER_CLOSED,
    outsideSets: layout.COUNTER_OUTSIDE_SETS,
    gets: layout.COUNTER_GETS,
    outsideGets: layout.COUNTER_OUTSIDE_GETS,
    invalidLines: layout.COUNTER_INVALID_LINES,
    longLines: layout.COUNTER_LONG_LINES,
    refusedHelps: layout.COUNTER_REFUSED_HELPS,
  } as const;
  for (const [name, place] of Object.entries(places))
    expect([name, COUNTER_NAMES[place]]).toEqual([name, name]);
});

test("parse() keeps an incomplete command in the record and counts in its own thread's slot", () => {
  const opened = open();
  const { framebuffer } = opened;
  expect(read(opened, encoder.encode("PX 3 2 0102"))).toBe(11);
  expect(read(opened, encoder.encode("03\nPX 3 2\nPX 99"))).toBe(15);
  expect(replies(opened)).toBe("PX 3 2 010203\n");
  expect(framebuffer.counters.map((slot) => slot.read("pixels")).slice(0, 3)).toEqual([0, 1, 0]);
});

test("parse() stops where the replies have no room and goes on where it stopped", () => {
  const opened = open();
  const get = encoder.encode("PX 10 10\n");
  const bytes = Uint8Array.from({ length: get.length * 10_000 }, (_, index) => get[index % get.length] ?? 0);
  let taken = 0;
  let answers = 0;
  while (taken < bytes.length) {
    const step = read(opened, bytes.subarray(taken));
    expect(step).toBeGreaterThan(0);
    expect(opened.kernel.repliesLength()).toBeLessThanOrEqual(REPLIES_BYTES);
    taken += step;
    answers += replies(opened).split("\n").length - 1;
    opened.kernel.clearReplies();
  }
  expect(answers).toBe(10_000);
});

test("parse() leaves a browser's request to the host", () => {
  const opened = open();
  expect(read(opened, encoder.encode("GET / HTTP/1.1\r\n"))).toBe(4);
  const phase = new Int32Array(opened.framebuffer.memory.buffer, opened.record + layout.STATE_PHASE, 1);
  expect(phase[0]).toBe(layout.PHASE_HTTP);
});

test("parse() writes to nothing but what is its own, whatever it reads", () => {
  const opened = open();
  const { framebuffer, kernel, memory, record } = opened;
  const guard = 0xa5;
  const own = ownRanges(opened);
  // All that lies between its own places is filled, and looked at afterwards.
  const foreign = own.slice(1).map(([from], index) => memory.subarray(own[index]?.[1], from));
  for (const bytes of foreign) bytes.fill(guard);
  const random = createRandomBelow(7);
  for (let round = 0; round < 200; round += 1) {
    kernel.resetRecord(record);
    for (let step = 0; step < 4; step += 1) {
      read(opened, makeNoise(random));
      kernel.clearReplies();
    }
  }
  expect(foreign.map((bytes) => bytes.findIndex((byte) => byte !== guard))).toEqual(foreign.map(() => -1));
  expect(framebuffer.pixels.every((word) => word >= OPAQUE >>> 0)).toBe(true);
});

/** Pairs of addresses, `[from, to)`, in their order. */
function ownRanges({ framebuffer, kernel, record }: Opened): readonly (readonly [number, number])[] {
  const { map } = framebuffer;
  const area = map.threadAreas[1];
  return [
    [0, layout.STATIC_BYTES],
    [map.countersOffset + 256, map.countersOffset + 512],
    [map.textsOffset, map.canvasOffset],
    [map.canvasOffset, map.canvasOffset + WIDTH * HEIGHT * 4],
    [kernel.readOffset - layout.READ_FRONT_BYTES, kernel.readOffset + layout.READ_BYTES_MAX],
    [kernel.repliesOffset, kernel.repliesOffset + REPLIES_BYTES],
    [area?.scratchOffset ?? 0, (area?.scratchOffset ?? 0) + layout.SCRATCH_BYTES],
    [record, record + layout.STATE_TAIL + layout.TAIL_BYTES_MAX],
    [map.sharesOffset, map.totalBytes],
  ];
}

/** Commands at the edges of the canvas and of numbers, among random bytes. */
function makeNoise(random: (limit: number) => number): Uint8Array {
  const number = (): string => String([0, WIDTH - 1, WIDTH, HEIGHT, 9_999, 10_000, 2 ** 31][random(7)] ?? 0);
  const pieces = [
    () => `PX ${number()} ${number()} ${random(0x100_0000).toString(16).padStart(6, "0")}\n`,
    () => `PX ${number()} ${number()} ${random(0x100_0000).toString(16).padStart(6, "0")}7f\n`,
    () => `PX ${number()} ${number()}\n`,
    () => `OFFSET ${random(2) === 0 ? "-" : ""}${number()} ${number()}\n`,
    () => `PB${String.fromCharCode(...Array.from({ length: 8 }, () => random(256)))}`,
    () => `PXMULTI${String.fromCharCode(random(WIDTH), 0, random(HEIGHT), 0, random(256), random(3), 0, 0)}`,
    () => String.fromCharCode(...Array.from({ length: random(40) }, () => random(256))),
    () => `${"x".repeat(random(1_100))}\n`,
    () => "HELP\nSIZE\nSTATS\n",
  ];
  const text = Array.from({ length: 1 + random(400) }, () => pieces[random(pieces.length)]?.() ?? "").join(
    "",
  );
  return Uint8Array.from(text.slice(0, layout.READ_BYTES_MAX), (character) => character.charCodeAt(0));
}

test("openKernel() refuses a thread that the memory has no area for", () => {
  const framebuffer = createFramebuffer({ width: 4, height: 4, threads: 1 });
  const openSecond = (): Kernel => openKernel({ module, framebuffer, thread: 1, protocol: PROTOCOL });
  expect(openSecond).toThrow("area for thread 1");
});
