/** Figures there and back, and everything that is none. */
import { expect, test } from "bun:test";
import { decodeFigures, decodeMove, encodeFigures, encodeMove, type StreamFigures } from "./events.ts";

const figures: StreamFigures = {
  timeMs: 1_767_225_600_123,
  canvas: {
    width: 1280,
    height: 720,
    pixelflutPort: 1234,
    pixels: 9e12,
    pixelsPerSecond: 3,
    bitsPerSecond: 24,
    players: 2,
  },
  stream: { viewers: 5, edges: 1, isLive: true },
};

test("decodeFigures() reads what encodeFigures() writes", () => {
  const [event, data, ...rest] = encodeFigures(figures).split("\n");
  expect(event).toBe("event: figures");
  expect(rest).toEqual(["", ""]);
  expect(decodeFigures(data?.replace(/^data: /, "") ?? "")).toEqual(figures);
});

test("decodeMove() reads what encodeMove() writes, and nothing else", () => {
  expect(encodeMove({ withinMs: 1_500 })).toBe('event: move\ndata: {"withinMs":1500}\n\n');
  expect(decodeMove('{"withinMs":1500}')).toEqual({ withinMs: 1_500 });
  for (const data of ["{", "null", "{}", '{"withinMs":"1"}']) expect(decodeMove(data)).toBeUndefined();
});

test.each([
  ["no JSON", "{"],
  ["null", "null"],
  ["a missing part", JSON.stringify({ timeMs: 1, canvas: figures.canvas })],
  ["a missing number", JSON.stringify({ ...figures, stream: { viewers: 5, isLive: true } })],
  ["text for a number", JSON.stringify({ ...figures, timeMs: "1" })],
  ["a number for a truth", JSON.stringify({ ...figures, stream: { ...figures.stream, isLive: 1 } })],
])("decodeFigures() refuses %s", (_, data) => {
  expect(decodeFigures(data)).toBeUndefined();
});
