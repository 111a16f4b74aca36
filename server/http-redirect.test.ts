/** Browsers on the players' port: where they are sent, and what must not get into that address. */
import { describe, expect, test } from "bun:test";
import { HttpRedirect, REDIRECT_STATE_BYTES } from "./http-redirect.ts";

const encoder = new TextEncoder();

/** The `Location` that answers a request whose text follows `GET `. */
function locationOf(request: string, url = "", port = 8081): string | undefined {
  const redirect = new HttpRedirect({ viewers: { url, port }, localAddress: "::ffff:192.0.2.7" });
  for (const byte of encoder.encode(request)) redirect.receive(Uint8Array.of(byte));
  expect(redirect.isComplete).toBe(true);
  const [head = "", body = ""] = new TextDecoder().decode(redirect.response()).split("\r\n\r\n");
  const headers = new Map(
    head
      .split("\r\n")
      .slice(1)
      .map((line) => line.split(": ", 2) as [string, string]),
  );
  expect(head).toStartWith("HTTP/1.1 302 Found\r\n");
  expect(headers.get("Content-Length")).toBe(String(body.length));
  return headers.get("Location");
}

describe("HttpRedirect sends a browser to the viewer page", () => {
  const fallback = "http://192.0.2.7:8081/";
  test.each([
    [
      "the host that it asked for",
      "/ HTTP/1.1\r\nHost: canvas.example:1234\r\n\r\n",
      "http://canvas.example:8081/",
    ],
    ["without a port", "/ HTTP/1.1\r\nAccept: */*\r\nhOsT:\t10.0.0.1 \r\n\r\n", "http://10.0.0.1:8081/"],
    ["IPv6", "/ HTTP/1.1\nHost: [2001:db8::1]:1234\n\n", "http://[2001:db8::1]:8081/"],
    ["no host: the address reached", "/ HTTP/1.0\r\n\r\n", fallback],
    ["a host in the request line is none", "host: evil\r\n\r\n", fallback],
    ["characters that leave a URL's host", "/ HTTP/1.1\r\nHost: a@evil/x\r\n\r\n", fallback],
    ["a lone CR inside the value", "/ HTTP/1.1\r\nHost: a\rSet-Cookie: b\r\n\r\n", fallback],
    ["a host too long", `/ HTTP/1.1\r\nHost: ${"a".repeat(400)}\r\n\r\n`, fallback],
    [
      "a long header line before it",
      `/ HTTP/1.1\r\nX: ${"a".repeat(5_000)}\r\nHost: b\r\n\r\n`,
      "http://b:8081/",
    ],
    ["a header without an end", `/ HTTP/1.1\r\n${"X: y\r\n".repeat(11_000)}`, fallback],
  ])("%s", (_, request, location) => {
    expect(locationOf(request)).toBe(location);
  });

  test("state that another goes on with, at any cut", () => {
    const viewers = { url: "", port: 8081 };
    const request = encoder.encode("/ HTTP/1.1\r\nX: y\r\nHost: canvas.example:1234\r\nHost: b\r\n\r\n");
    for (let cut = 0; cut < request.length; cut += 1) {
      const state = new Uint8Array(new SharedArrayBuffer(REDIRECT_STATE_BYTES));
      new HttpRedirect({ viewers, localAddress: "", state }).receive(request.subarray(0, cut));
      const other = new HttpRedirect({ viewers, localAddress: "", state });
      expect(other.isComplete).toBe(false);
      other.receive(request.subarray(cut));
      expect(other.isComplete).toBe(true);
      expect(new TextDecoder().decode(other.response())).toContain("http://canvas.example:8081/\r\n");
    }
  });

  test("the edge's port, whichever it is", () => {
    expect(locationOf("/ HTTP/1.1\r\nHost: a\r\n\r\n", "", 9_000)).toBe("http://a:9000/");
  });

  test("an edge with a certificate", () => {
    const redirect = new HttpRedirect({
      viewers: { url: "", port: 8443, scheme: "https" },
      localAddress: "192.0.2.7",
    });
    redirect.receive(encoder.encode("/ HTTP/1.1\r\nHost: a\r\n\r\n"));
    expect(new TextDecoder().decode(redirect.response())).toContain("\r\nLocation: https://a:8443/\r\n");
  });

  test("the URL of --viewer-url, whatever the request says", () => {
    expect(locationOf("/ HTTP/1.1\r\nHost: a\r\n\r\n", "https://watch.example/live")).toBe(
      "https://watch.example/live",
    );
  });
});
