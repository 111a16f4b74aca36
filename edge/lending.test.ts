/** Answers in memory that are being sent when their room is needed: the bound holds, and readers get what they were promised. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { FakeClock } from "#common/clock.ts";
import { FakeTlsSource } from "#common/formats/fixtures/self-signed.ts";
import { MEBIBYTE } from "#common/units.ts";
import { FakeOrigin, startTestEdge, until, type TestEdge, type TestEdgeLimits } from "./fake-origin.ts";
import { Download, startStalled } from "./paced-origin.ts";
import { Store } from "./store.ts";
import { storedOf } from "./stored.ts";
import { UNWATCHED } from "./viewer-connection.ts";

const BODY = new Uint8Array(4 * MEBIBYTE).map((_, index) => (index >> 8) % 251);
const HEADERS = { "content-type": "video/mp4", "cache-control": "max-age=3600", etag: '"1"' };
const PROTOCOLS = ["http1.1", "http2", "http3"] as const;

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

function start(limits: TestEdgeLimits): { readonly edge: TestEdge; readonly asked: string[] } {
  const asked: string[] = [];
  const origin = new FakeOrigin((_request, path) => {
    asked.push(path);
    return new Response(BODY, { headers: HEADERS });
  });
  const edge = startTestEdge(origin.url, limits);
  closers.push(
    () => origin.close(),
    () => edge.close(),
  );
  return { edge, asked };
}

function pathOf(index: number): string {
  return `/live/canvas/720p/aabbccdd-${index}.m4s`;
}

async function warm(edge: TestEdge, path: string): Promise<void> {
  const download = new Download(edge.url + path);
  await until(() => download.outcome === "whole" && edge.fills.running === 0);
}

/** A client that asks for what is in memory and takes nothing of it. */
async function stall(edge: TestEdge, path: string): Promise<Socket> {
  const before = edge.counters.requests.hit;
  const socket = startStalled(edge.url + path);
  closers.push(() => socket.destroy());
  await until(() => edge.counters.requests.hit > before);
  return socket;
}

function takenBytes({ store }: TestEdge): number {
  return store.bytes + store.reservedBytes + store.lending.goneBytes;
}

describe("clients that take nothing of what is in memory, each of something else", () => {
  test("make an edge hold no more than its bound, and others are served", async () => {
    const { edge } = start({ cacheMib: 32 });
    const sockets: Socket[] = [];
    for (let index = 0; index < 24; index++) {
      await warm(edge, pathOf(index));
      sockets.push(await stall(edge, pathOf(index)));
      expect(takenBytes(edge)).toBeLessThanOrEqual(edge.store.bytesMax);
    }
    expect(edge.store.lending.goneBytes).toBeGreaterThan(2 * BODY.length - 1);
    expect(edge.store.lending.wholeBytes).toBeLessThanOrEqual(edge.store.bytesMax * 0.375);
    // Beyond what is lent as it is, the slowest had to go.
    expect(edge.store.lending.laggards).toBeGreaterThan(0);
    for (const socket of sockets) socket.destroy();
    await until(() => {
      edge.store.lending.refresh();
      return edge.store.lending.goneBytes + edge.store.lending.wholeBytes + edge.store.reservedBytes === 0;
    });
  });

  test("leave the others their bytes and ranges, from memory", async () => {
    const { edge, asked } = start({ cacheMib: 32 });
    const stalled = [0, 1, 2];
    for (const index of stalled) {
      await warm(edge, pathOf(index));
      await stall(edge, pathOf(index));
    }
    await warm(edge, pathOf(9));
    const before = asked.length;
    const whole = await fetch(edge.url + pathOf(9));
    expect(Buffer.compare(await whole.bytes(), BODY)).toBe(0);
    const part = await fetch(edge.url + pathOf(9), { headers: { range: "bytes=1000-2000999" } });
    expect([part.status, part.headers.get("content-range")]).toEqual([
      206,
      `bytes 1000-2000999/${BODY.length}`,
    ]);
    expect(Buffer.compare(await part.bytes(), BODY.subarray(1_000, 2_001_000))).toBe(0);
    // The length is known only where the body is lent as it is.
    expect([whole.headers.get("content-length"), asked.length]).toEqual([null, before]);
    const small = await fetch(edge.url + pathOf(9), { headers: { range: "bytes=0-9" } });
    expect([small.headers.get("content-length"), (await small.bytes()).length]).toEqual(["10", 10]);
  });
});

test.each(PROTOCOLS)("a body sent to its end over %s is lent no longer", async (protocol) => {
  const { edge } = start({ cacheMib: 32, tls: new FakeTlsSource() });
  const ask = (): Promise<Response> =>
    fetch(edge.url + pathOf(1), { protocol, tls: { rejectUnauthorized: false } });
  await (await ask()).bytes();
  await until(() => edge.store.items === 1);
  const abort = new AbortController();
  const left = await fetch(edge.url + pathOf(1), {
    protocol,
    tls: { rejectUnauthorized: false },
    signal: abort.signal,
  });
  expect(left.headers.get("cache-status")).toContain("hit");
  expect(edge.store.lending.wholeBytes).toBeGreaterThan(BODY.length);
  abort.abort();
  await until(() => {
    edge.store.lending.refresh();
    return edge.store.lending.wholeBytes === 0;
  });
  expect(Buffer.compare(await (await ask()).bytes(), BODY)).toBe(0);
  await until(() => {
    edge.store.lending.refresh();
    return edge.store.lending.wholeBytes === 0;
  });
});

test("requests that have ended are forgotten once a second, whoever asks or not", () => {
  const clock = new FakeClock();
  const { lending } = new Store({ bytesMax: 32 * MEBIBYTE, clock });
  const head = { status: 200, headers: new Headers(), requestedMs: 0, receivedMs: 0, receivedWallMs: 0 };
  const stored = storedOf({ head, body: new Blob([BODY]), bytes: () => BODY });
  let looks = 0;
  let isOpen = true;
  const connection = {
    ...UNWATCHED,
    isOpen: () => {
      looks++;
      return isOpen;
    },
  };
  const request = new Request("http://edge.invalid/");
  const borrower = { request, connection, counters: { sentBytes: 0 } };
  for (let index = 0; index < 60; index++) lending.bodyOf(stored, stored.body, borrower);
  clock.advance(3_000);
  // The latest is still open: the others are not looked at.
  expect([looks, stored.loan.isLent]).toEqual([3, true]);
  isOpen = false;
  clock.advance(1_000);
  expect([looks, lending.wholeBytes, lending.goneBytes]).toEqual([4 + 60, 0, 0]);
  clock.advance(10_000);
  expect(looks).toBe(64);
});
