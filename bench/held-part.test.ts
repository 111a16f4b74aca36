/** Parts as servers frame them, cut at every byte. */
import { describe, expect, test } from "bun:test";
import { PartReader } from "./held-part.ts";
import { LATER, type RawSockets } from "./raw-sockets.ts";

/** Sockets that give out `pieces`, each in a turn of its own. */
function socketsOf(pieces: readonly string[]) {
  const left = [...pieces];
  let piece = "";
  let received = Buffer.alloc(0);
  const take = (bytesMax: number): number => {
    if (piece === "") return LATER;
    received = Buffer.from(piece.slice(0, bytesMax), "latin1");
    piece = piece.slice(bytesMax);
    return received.length;
  };
  const sockets: Pick<RawSockets, "receive" | "discard" | "receivedBytes"> = {
    receive: (_socket, bytesMax = Infinity) => take(bytesMax),
    discard: (_socket, bytesMax) => take(bytesMax),
    receivedBytes: (length) => received.subarray(0, length),
  };
  return {
    // What the reader uses of them.
    sockets: sockets as RawSockets,
    /** False when nothing is left. */
    next: (): boolean => {
      piece += left.shift() ?? "";
      return piece !== "";
    },
    get rest() {
      return piece + left.join("");
    },
  };
}

/** Turns until the part is whole; `undefined` if it never is. */
function turnsOf(pieces: readonly string[]): number | undefined {
  const source = socketsOf(pieces);
  const reader = new PartReader();
  for (let turn = 1; source.next(); turn++) {
    if (reader.read(source.sockets, 3)) {
      expect(source.rest).toBe("");
      return turn;
    }
  }
  return undefined;
}

const HEAD = "HTTP/1.1 200 OK\r\nDate: now\r\n";
const BODY = "0\r\n\r\nx".repeat(20);
const size = BODY.length.toString(16);
const FRAMED = {
  "a length": `${HEAD}Content-Length: ${BODY.length}\r\n\r\n${BODY}`,
  "one chunk": `${HEAD}Transfer-Encoding: chunked\r\n\r\n${size}\r\n${BODY}\r\n0\r\n\r\n`,
  "two chunks": `${HEAD}Transfer-Encoding: chunked\r\n\r\n${size}\r\n${BODY}\r\n${size}\r\n${BODY}\r\n0\r\n\r\n`,
};

describe("PartReader", () => {
  test.each(Object.entries(FRAMED))("reads a part with %s, cut anywhere", (_, text) => {
    expect(turnsOf([text])).toBe(1);
    for (let cut = 1; cut < text.length; cut++)
      expect(turnsOf([text.slice(0, cut), text.slice(cut)])).toBe(2);
    expect(turnsOf([...text])).toBe(text.length);
    expect(turnsOf([text.slice(0, -1)])).toBeUndefined();
  });

  test.each([
    ["status 404 of a part", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"],
    ["no length of a part", `${HEAD}\r\n`],
    ["more than was asked for", `${HEAD}Content-Length: 1\r\n\r\nxy`],
    ["no size of a chunk", `${HEAD}Transfer-Encoding: chunked\r\n\r\nthis is no size at all`],
    ["no head of an answer", "x".repeat(5_000)],
  ])("refuses %s", (reason, text) => {
    expect(() => turnsOf([text])).toThrow(reason);
  });
});
