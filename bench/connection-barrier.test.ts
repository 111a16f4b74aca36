/** The end of a flooding connection, and the answer that says that the server has worked off everything. */
import { describe, expect, test } from "bun:test";
import { ConnectionBarrier } from "./connection-barrier.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("ConnectionBarrier", () => {
  test("tells the rest of the command from the question", () => {
    const barrier = new ConnectionBarrier(bytes("34\n"));
    expect(Buffer.from(barrier.rest).toString()).toBe("34\nSIZE\n");
    expect([barrier.advance(2), barrier.advance(3), barrier.advance(3)]).toEqual([2, 1, 0]);
    expect(barrier.rest.length).toBe(0);
  });

  for (const [name, chunks, answers] of [
    ["at once", ["SIZE 1 2\n"], [true]],
    ["cut", ["SI", "ZE", " 1 2\n"], [false, false, true]],
    ["behind answers to gets", ["PX 1 2 00ff00\nPX 3", " 4 ffffff\nSIZE 1 2\n"], [false, true]],
    ["never", ["PX 1 2 00ff00\n"], [false]],
  ] as const) {
    test(`finds the answer ${name}`, () => {
      const barrier = new ConnectionBarrier(bytes(""));
      barrier.advance(5);
      expect(chunks.map((chunk) => barrier.isAnsweredBy(bytes(chunk)))).toEqual([...answers]);
    });
  }

  test("takes no answer for its own before it has asked", () => {
    expect(new ConnectionBarrier(bytes("34\n")).isAnsweredBy(bytes("SIZE 1 2\n"))).toBe(false);
  });
});
