/** Answers however the connection cuts them. */
import { describe, expect, test } from "bun:test";
import { AnswerError, AnswerReader } from "./held-answer.ts";

const TEXT = 'HTTP/1.1 200 OK\r\nETag: "a1-gzip"\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello';

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

describe("AnswerReader", () => {
  test("push() reads an answer whole, and the next one behind it", () => {
    const reader = new AnswerReader();
    for (let time = 0; time < 2; time++) {
      const { body, ...head } = reader.push(bytes(TEXT)) ?? { body: "" };
      expect(head).toEqual({ status: 200, etag: '"a1-gzip"', isGzip: true, isLast: false });
      expect(String(body)).toBe("hello");
    }
  });

  test("push() puts together what comes in pieces, whatever else is read meanwhile", () => {
    for (let cut = 1; cut < TEXT.length; cut++) {
      const reader = new AnswerReader();
      const first = bytes(TEXT.slice(0, cut));
      expect(reader.push(first)).toBeUndefined();
      first.fill(0);
      expect(String(reader.push(bytes(TEXT.slice(cut)))?.body)).toBe("hello");
    }
  });

  test("push() tells of refusals and of the last answer", () => {
    const refusal = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    expect(new AnswerReader().push(bytes(refusal))).toMatchObject({ status: 503, etag: "", isLast: true });
  });

  test.each([
    ["no HTTP", "SSH-2.0-OpenSSH\r\n\r\n"],
    ["no length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["two answers to one request", TEXT + TEXT],
    ["a head without end", `HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(200_000)}`],
  ])("push() refuses %s", (_, text) => {
    expect(() => new AnswerReader().push(bytes(text))).toThrow(AnswerError);
  });
});
