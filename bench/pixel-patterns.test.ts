/** Patterns of the pixel flood: every pixel once in its colour, whole commands, the seeded order. */
import { describe, expect, test } from "bun:test";
import { PIXEL_FORMATS, PIXEL_ORDERS } from "./config.ts";
import { FakePixelflut } from "./fake-pixelflut.ts";
import { alphaOf, blend, colourOf, TILE_SIDE } from "./pixel-images.ts";
import {
  buildPattern,
  buildPatterns,
  commandsBefore,
  entryBefore,
  MIXED_KINDS,
  type Pattern,
  type PatternOptions,
} from "./pixel-patterns.ts";

const base: PatternOptions = {
  width: 150,
  height: 70,
  format: "text",
  order: "ordered",
  image: "gradient",
  seed: 7,
  pixels: 0,
};
const CANVAS_PIXELS = base.width * base.height;

/** What a server makes of the commands, sent one by one from the command `first` to the last and then from 0. */
function paint(pattern: Pattern, first = 0): { canvas: Uint32Array; painted: number[]; garbage: number } {
  const canvas = new Uint32Array(CANVAS_PIXELS);
  const painted: number[] = [];
  let garbage = 0;
  let [left, top] = [0, 0];
  const set = (pixel: number, colour: number, alpha: number): void => {
    painted.push(pixel);
    canvas[pixel] = blend(canvas[pixel] ?? 0, colour, alpha);
  };
  const commands = pattern.starts.length - 1;
  for (let index = 0; index < commands; index += 1) {
    const number = (first + index) % commands;
    const command = Buffer.from(pattern.bytes.subarray(pattern.starts[number], pattern.starts[number + 1]));
    const text = command.toString("latin1");
    const [, x = "", y = "", digits] = /^PX (\d+) (\d+)(?: ([0-9a-f]+))?\n$/.exec(text) ?? [];
    const offset = /^OFFSET (\d+) (\d+)\n$/.exec(text);
    if (text.startsWith("PXMULTI")) {
      const start = command.readUInt16LE(9) * base.width + command.readUInt16LE(7);
      expect(command.length).toBe(15 + command.readUInt32LE(11) * 4);
      for (let at = 15; at < command.length; at += 4)
        set(start + (at - 15) / 4, command.readUIntBE(at, 3), 255);
    } else if (text.startsWith("PB")) {
      expect(command.length).toBe(10);
      set(
        command.readUInt16LE(4) * base.width + command.readUInt16LE(2),
        command.readUIntBE(6, 3),
        command[9] ?? 0,
      );
    } else if (offset !== null) {
      [left, top] = [Number(offset[1]), Number(offset[2])];
    } else if (digits !== undefined) {
      const pixel = (Number(y) + top) * base.width + Number(x) + left;
      const colour = digits.length === 2 ? digits.repeat(3) : digits.slice(0, 6);
      set(
        pixel,
        Number.parseInt(colour, 16),
        digits.length === 8 ? Number.parseInt(digits.slice(6), 16) : 255,
      );
    } else if (x === "") {
      garbage += 1;
    }
  }
  return { canvas, painted, garbage };
}

describe("buildPattern()", () => {
  for (const format of PIXEL_FORMATS) {
    if (format === "mixed" || format === "get") continue;
    for (const order of PIXEL_ORDERS) {
      test(`sets each pixel once with whole commands (${format}, ${order})`, () => {
        const options = { ...base, format, order, image: "noise" } as const;
        const pattern = buildPattern(options, options);
        const { canvas, painted } = paint(pattern);
        expect(painted).toEqual([...pattern.pixels]);
        expect(new Set(painted).size).toBe(CANVAS_PIXELS);
        const wanted = canvas.map((_, pixel) => blend(0, colourOf(options, pixel), alphaOf(options, pixel)));
        expect(canvas).toEqual(wanted);
        expect(pattern.starts.at(-1)).toBe(pattern.bytes.length);
        expect(pattern.pixelStarts.at(-1)).toBe(CANVAS_PIXELS);
        expect(pattern.bytes.buffer).toBeInstanceOf(SharedArrayBuffer);
      });
    }
  }

  for (const [format, form] of [
    ["text", /^PX 1 0 [0-9a-f]{6}\n$/],
    ["text8", /^PX 1 0 [0-9a-f]{6}ff\n$/],
    ["alpha", /^PX 1 0 [0-9a-f]{8}\n$/],
    ["gray", /^PX 1 0 [0-9a-f]{2}\n$/],
    ["get", /^PX 1 0\n$/],
    ["pb", /^PB[^]{7}\xff$/],
  ] as const) {
    test(`writes the documented form (${format})`, () => {
      const options = { ...base, format };
      const { bytes, starts } = buildPattern(options, options);
      expect(Buffer.from(bytes.subarray(starts[1], starts[2])).toString("latin1")).toMatch(form);
    });
  }

  test("writes a PXMULTI for each row", () => {
    const options = { ...base, format: "multi" as const };
    const { bytes, starts, pixelStarts } = buildPattern(options, options);
    expect(Buffer.from(bytes.subarray(starts[2], (starts[2] ?? 0) + 15))).toEqual(
      Buffer.from(`PXMULTI\0\0\x02\0${String.fromCharCode(base.width)}\0\0\0`, "latin1"),
    );
    expect([...pixelStarts]).toEqual(Array.from({ length: base.height + 1 }, (_, row) => row * base.width));
  });

  test("relates the pixels of a square to its OFFSET, and begins connections there", () => {
    const options = { ...base, format: "offset", order: "shuffled" } as const;
    const pattern = buildPattern(options, options);
    const squares = Math.ceil(base.width / TILE_SIDE) * Math.ceil(base.height / TILE_SIDE);
    expect(pattern.entries.length).toBe(squares);
    expect(pattern.starts.length - 1).toBe(CANVAS_PIXELS + squares);
    const entry = entryBefore(pattern, Math.floor((pattern.starts.length - 1) / 2));
    expect(entry).toBeGreaterThan(0);
    expect(paint(pattern, entry).canvas).toEqual(paint(pattern).canvas);
  });

  test("ends after so many pixels", () => {
    for (const format of ["text", "multi", "offset", "get"] as const) {
      const options = { ...base, format, pixels: 200 };
      const { pixels, starts } = buildPattern(options, options);
      expect([format, pixels.length, starts.length - 1]).toEqual(
        {
          text: [format, 200, 200],
          multi: [format, 200, 2],
          offset: [format, 200, 201],
          get: [format, 0, 200],
        }[format],
      );
    }
  });

  test("shuffles by the seed alone", () => {
    const order = (seed: number): Uint32Array =>
      buildPattern({ ...base, seed }, { format: "text", order: "shuffled" }).pixels;
    expect(order(1)).toEqual(order(1));
    expect(order(1)).not.toEqual(order(2));
    expect(buildPattern(base, { format: "text", order: "ordered" }).pixels).toEqual(order(1).sort());
  });
});

describe("buildPatterns()", () => {
  test("mixes clients that all paint one image, with 1 % gets and 1 % garbage", () => {
    const options = { ...base, format: "mixed" } as const;
    const patterns = buildPatterns(options);
    expect(patterns.length).toBe(MIXED_KINDS.length);
    const wanted = Uint32Array.from({ length: CANVAS_PIXELS }, (_, pixel) => colourOf(options, pixel));
    for (const [index, pattern] of patterns.entries()) {
      const { canvas, painted, garbage } = paint(pattern);
      const seen = new Uint8Array(CANVAS_PIXELS);
      for (const pixel of painted) seen[pixel] = 1;
      expect(canvas).toEqual(wanted.map((colour, pixel) => (seen[pixel] === 1 ? colour : 0)));
      expect(painted.length).toBe(MIXED_KINDS[index]?.format === "gray" ? base.width * 9 : CANVAS_PIXELS);
      const extras = Math.floor(painted.length / 49);
      expect(garbage).toBe(extras >> 1);
      expect(pattern.starts.length - 1).toBe(painted.length + extras + pattern.entries.length);
    }
  });

  test("sends bytes that a server understands as they are meant", async () => {
    const server = new FakePixelflut(base.width, base.height);
    try {
      for (const pattern of buildPatterns({ ...base, format: "mixed", pixels: 980 })) {
        const before = { pixels: server.pixels, gets: server.gets, garbage: server.garbage };
        const answered = Promise.withResolvers<void>();
        const socket = await Bun.connect({
          hostname: "127.0.0.1",
          port: server.port,
          socket: { data: (_, chunk) => void (chunk.includes("SIZE") && answered.resolve()) },
        });
        expect(socket.write(Buffer.concat([pattern.bytes, Buffer.from("SIZE\n")]))).toBe(
          pattern.bytes.length + 5,
        );
        await answered.promise;
        socket.end();
        const count = pattern.pixels.length;
        expect([server.pixels - before.pixels, server.gets - before.gets]).toEqual([count, count / 98]);
        expect(server.garbage - before.garbage).toBe(count / 98);
      }
    } finally {
      server.close();
    }
  });
});

describe("commandsBefore()", () => {
  const starts = Uint32Array.of(0, 10, 25, 40);
  for (const [offset, commands] of [
    [0, 0],
    [1, 1],
    [10, 1],
    [11, 2],
    [25, 2],
    [39, 3],
    [40, 3],
  ] as const) {
    test(`finds ${commands} commands begun before byte ${offset}`, () => {
      expect(commandsBefore(starts, offset)).toBe(commands);
    });
  }
});
