/**
 * Made-up conversations with an HTTP server: requests as players send them, bent and cut in every way that somebody
 * without good intentions might, and bytes that are no requests at all. The same random numbers make the same ones.
 */

/** From 0 to 1, below 1. */
export type Random = () => number;

/** What one connection does. */
export interface Conversation {
  /** Sent one after the other, each when the one before is taken. */
  readonly writes: readonly Buffer[];
  /** Pause before each but the first, in milliseconds. */
  readonly pauseMs: number;
  /** `close`: waits for what comes. `half`: ends its side first. `reset`: is gone at once. `deaf`: reads nothing. */
  readonly ending: "close" | "half" | "reset" | "deaf";
}

const BYTE_VALUES = 256;
const WRITES_MAX = 6;
const PAUSE_MS_MAX = 20;
const PIPELINED_MAX = 12;
const NOISE_BYTES_MAX = 4_096;
const LONG = 20_000;

const METHODS = [
  "GET",
  "HEAD",
  "OPTIONS",
  "POST",
  "PUT",
  "DELETE",
  "TRACE",
  "CONNECT",
  "PATCH",
  "BREW",
  "get",
  "",
];
const VERSIONS = ["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.1 ", "http/1.1", ""];
const RENDITION = "/live/canvas/720p";
/** What players ask for, and what resembles it. */
const PATHS = [
  `${RENDITION}/index.m3u8`,
  `${RENDITION}/ts.m3u8`,
  `${RENDITION}/aabbccdd-100.m4s`,
  `${RENDITION}/aabbccdd-103.4.m4s`,
  `${RENDITION}/aabbccdd-init.mp4`,
  `${RENDITION}/stream.ts`,
  "/live/canvas/index.m3u8",
  "/live/canvas/events",
  "/live/canvas/stream.ts",
  "/api/v1/edges",
  "/healthz",
  "/readyz",
  "/health",
  "/metrics",
  "/",
  "/live/",
  "/live/..%2f..%2fetc/passwd",
  "/live/../../etc/passwd",
  `${RENDITION}/%00.m4s`,
  `${RENDITION}//index.m3u8`,
  "//live/canvas/index.m3u8",
  "http://other.example/live/canvas/index.m3u8",
  "*",
  "?",
  "/%",
  "/\u00ff\u00fe",
];
const NUMBERS = [
  "0",
  "1",
  "102",
  "103",
  "104",
  "9999",
  "-1",
  "1e9",
  "0x10",
  "1.5",
  "",
  "NaN",
  "18446744073709551616",
];
const HEADERS: readonly (readonly [string, readonly string[]])[] = [
  ["Host", ["edge", "edge:8081", "[::1]:80", "a b", "", "a,b", "\u00e4", "x".repeat(300)]],
  ["Connection", ["close", "keep-alive", "upgrade", "close, te", "Host"]],
  ["Content-Length", ["0", "3", "5", "-1", "+3", "3, 3", "99999999999999999999", "0x3"]],
  [
    "Transfer-Encoding",
    ["chunked", "gzip, chunked", "identity", "chunked, chunked", "\tchunked", "xchunked"],
  ],
  [
    "Range",
    ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=5-2", "bytes=0-1,3-4", "bytes=99999999-", "lines=1"],
  ],
  ["If-None-Match", ["*", '"v25"', 'W/"v25"', '"'.repeat(50)]],
  ["If-Range", ['"v25"', "Sat, 21 Nov 2026 00:00:00 GMT"]],
  ["Accept-Encoding", ["gzip", "gzip;q=0", "*", "identity", "br, gzip;q=1.5", ",".repeat(500)]],
  ["Upgrade", ["websocket", "h2c", "TLS/1.0"]],
  ["Expect", ["100-continue", "200-ok"]],
  ["X-Forwarded-For", ["192.0.2.1", "unknown", ", ,", "::1"]],
  ["Cookie", ["a=b", "x".repeat(2_000)]],
  ["CDN-Loop", ["spillway", "other; a=b"]],
  ["X", ["y", "a\0b", "a\rb", "\u007f", "x".repeat(LONG)]],
];
const BODIES = [
  "",
  "abc",
  "0\r\n\r\n",
  "3\r\nabc\r\n0\r\n\r\n",
  "zz\r\n",
  "ffffffff\r\nabc",
  "GET / HTTP/1.1\r\n\r\n",
];
const PREFACES = [
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
  "\r\n\r\n",
  "\0",
];

/** The next conversation. */
export function makeConversation(random: Random): Conversation {
  let bytes = makeBytes(random);
  if (random() < 0.3) bytes = bend(bytes, random);
  return {
    writes: cut(bytes, random),
    pauseMs: random() < 0.2 ? Math.floor(random() * PAUSE_MS_MAX) : 0,
    ending: pick(random, ["close", "close", "close", "half", "reset", "deaf"]),
  };
}

function makeBytes(random: Random): Buffer {
  const kind = random();
  if (kind < 0.08) return noise(random, 1 + Math.floor(random() * NOISE_BYTES_MAX));
  if (kind < 0.12) return Buffer.concat([text(pick(random, PREFACES)), noise(random, 64)]);
  const count = random() < 0.3 ? 1 + Math.floor(random() * PIPELINED_MAX) : 1;
  return Buffer.concat(Array.from({ length: count }, () => text(makeRequest(random))));
}

function makeRequest(random: Random): string {
  const method = random() < 0.7 ? "GET" : pick(random, METHODS);
  const version = random() < 0.9 ? "HTTP/1.1" : pick(random, VERSIONS);
  const lines = [`${method} ${makeTarget(random)} ${version}`];
  if (random() < 0.93) lines.push("Host: edge");
  const headers = Math.floor(random() * 5);
  for (let index = 0; index < headers; index++) lines.push(makeHeader(random));
  if (random() < 0.02) for (let index = 0; index < 300; index++) lines.push(`X-${index}: y`);
  return `${lines.join("\r\n")}\r\n\r\n${random() < 0.2 ? pick(random, BODIES) : ""}`;
}

function makeTarget(random: Random): string {
  const path = random() < 0.02 ? `/${"a".repeat(LONG * random())}` : pick(random, PATHS);
  if (random() < 0.4) return path;
  const count = random() < 0.95 ? 1 + Math.floor(random() * 3) : 200;
  const names = ["_HLS_msn", "_HLS_part", "_HLS_skip", "_HLS_throughput", "x"];
  const query = Array.from({ length: count }, () => `${pick(random, names)}=${pick(random, NUMBERS)}`);
  return `${path}?${query.join("&")}`;
}

function makeHeader(random: Random): string {
  const [name, values] = pick(random, HEADERS);
  const colon = random() < 0.95 ? ": " : pick(random, [" : ", ":", "", "\t:", ":\r\n "]);
  return `${name}${colon}${pick(random, values)}`;
}

/** Changes, removes and repeats some of it. */
function bend(bytes: Buffer, random: Random): Buffer {
  const parts: Buffer[] = [];
  let start = 0;
  for (let times = 1 + Math.floor(random() * 4); times > 0 && start < bytes.length; times--) {
    const at = start + Math.floor(random() * (bytes.length - start));
    const end = Math.min(bytes.length, at + 1 + Math.floor(random() * 16));
    parts.push(bytes.subarray(start, at));
    const kind = random();
    if (kind < 0.4) parts.push(noise(random, end - at));
    else if (kind < 0.7) parts.push(bytes.subarray(at, end), bytes.subarray(at, end));
    start = end;
  }
  return Buffer.concat([...parts, bytes.subarray(start)]);
}

function cut(bytes: Buffer, random: Random): readonly Buffer[] {
  const count = random() < 0.6 ? 1 : 1 + Math.floor(random() * WRITES_MAX);
  const ends = Array.from({ length: count - 1 }, () => Math.floor(random() * bytes.length)).toSorted(
    (a, b) => a - b,
  );
  return [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

function noise(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => Math.floor(random() * BYTE_VALUES)));
}

function text(value: string): Buffer {
  return Buffer.from(value, "latin1");
}

function pick<T>(random: Random, choices: readonly T[]): T {
  const choice = choices[Math.floor(random() * choices.length)];
  if (choice === undefined) throw new TypeError("There must be something to choose from");
  return choice;
}
