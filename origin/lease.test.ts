/** The lease over real WebSockets: hello, load, silence, refusal. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { ProofChecker, proveSecret } from "#common/cluster-auth.ts";
import {
  encodeLeaseMessage,
  NO_SEGMENT_HOSTS,
  type LeaseHello,
  type LeaseSegmentHosts,
} from "#common/formats/lease.ts";
import { silentLog, type LogFields } from "#common/log.ts";
import { EdgeRegistry } from "./edges.ts";
import { LEASE_PATH, LeaseDesk, type LeaseDeskOptions, type LeaseSocketData } from "./lease.ts";

const SECRET = "a secret of some length";
const hello: LeaseHello = {
  type: "hello",
  version: 1,
  publicUrl: "http://edge",
  scheme: "http",
  port: 1,
  region: "",
  capacityBitsPerSecond: 0,
};

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

function open({
  segmentTables,
  isOwnAddress = () => true,
}: Partial<Pick<LeaseDeskOptions, "segmentTables" | "isOwnAddress">> = {}): {
  clock: FakeClock;
  registry: EdgeRegistry;
  desk: LeaseDesk;
  url: string;
  /** What the log tells of edges, in order. */
  told: unknown[];
} {
  const clock = new FakeClock();
  const registry = new EdgeRegistry();
  const proofs = new ProofChecker(SECRET);
  const told: unknown[] = [];
  const info = (message: string, fields?: LogFields): void => void told.push([message, fields]);
  const log = { ...silentLog, info, warn: info };
  const desk = new LeaseDesk({ registry, segmentTables, proofs, isOwnAddress, clock, log });
  const server = Bun.serve<LeaseSocketData>({
    port: 0,
    hostname: "127.0.0.1",
    websocket: desk.websocket,
    fetch: (request, server) => desk.upgrade(request, server),
  });
  closers.push(() => server.stop(true));
  return { clock, registry, desk, told, url: `ws://127.0.0.1:${server.port}${LEASE_PATH}` };
}

interface Talk {
  readonly socket: WebSocket;
  readonly message: Promise<string>;
  /** All messages so far, read. */
  readonly heard: readonly unknown[];
  readonly closed: Promise<CloseEvent>;
}

/** Opens a lease and says `words`. */
async function say(url: string, ...words: readonly (string | Uint8Array<ArrayBuffer>)[]): Promise<Talk> {
  const socket = new WebSocket(url);
  const message = new Promise<string>((resolve) => {
    socket.addEventListener("message", (event) => resolve(String(event.data)), { once: true });
  });
  const heard: unknown[] = [];
  socket.addEventListener("message", ({ data }) => heard.push(JSON.parse(String(data))));
  const closed = new Promise<CloseEvent>((resolve) => {
    socket.addEventListener("close", resolve, { once: true });
  });
  await new Promise((resolve) => {
    socket.addEventListener("open", resolve, { once: true });
  });
  for (const word of words) socket.send(word);
  return { socket, message, heard, closed };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(1);
}

describe("LeaseDesk", () => {
  test("hello is welcomed, load is listed, close ends the lease at once", async () => {
    const { url, registry, told } = open();
    const talk = await say(url, encodeLeaseMessage(hello));
    expect(JSON.parse(await talk.message)).toEqual({ type: "welcome", version: 1 });
    talk.socket.send(JSON.stringify({ type: "load", state: "ready", viewers: 4, egressBitsPerSecond: 5 }));
    await until(() => registry.viewers === 4);
    talk.socket.close();
    await until(() => registry.count === 0);
    const edge = { address: "127.0.0.1", url: "http://edge", port: 1 };
    expect(told).toEqual([
      ["Edge enters", edge],
      ["Edge leaves", edge],
    ]);
  });

  test.each([
    ["on another host without a URL", "", false, true],
    ["on this host without a URL", "", true, false],
    ["on another host with a URL", "http://edge", false, false],
  ])("an edge %s: warned of where viewers look for it is %p", async (_, publicUrl, isOwn, isWarned) => {
    const { url, told } = open({ isOwnAddress: () => isOwn });
    const talk = await say(url, encodeLeaseMessage({ ...hello, publicUrl }));
    await talk.message;
    const address = "127.0.0.1";
    expect(told.slice(1)).toEqual(
      isWarned
        ? [
            [
              "Edge on another host has no --public-url: viewers look for it under this host's name",
              { address, port: 1 },
            ],
          ]
        : [],
    );
  });

  test("five seconds of silence end it", async () => {
    const { url, registry, clock, desk } = open();
    const talk = await say(url, encodeLeaseMessage(hello));
    await talk.message;
    clock.advance(4999);
    expect(registry.count).toBe(1);
    clock.advance(1);
    expect(registry.count).toBe(0);
    expect(await talk.closed).toMatchObject({ code: 1008, reason: "Silent for too long" });
    expect(desk.silent).toBe(1);
  });

  test.each([
    [
      "another version",
      [encodeLeaseMessage({ ...hello, version: 2 })],
      "Lease version 2 is unknown here: this origin speaks 1",
    ],
    [
      "load before hello",
      ['{"type":"load","state":"ready","viewers":0,"egressBitsPerSecond":0}'],
      "Not a message that is expected now",
    ],
    ["garbage", ["{"], "Not a message that is expected now"],
    ["bytes", [new Uint8Array(3)], "Not a message that is expected now"],
  ])("%s is refused with a reason", async (_, words, reason) => {
    const { url, registry, desk, clock } = open();
    const { closed } = await say(url, ...words);
    expect(await closed).toMatchObject({ code: 1008, reason });
    expect(registry.count).toBe(0);
    // Nobody waits for another word.
    clock.advance(5000);
    expect([desk.refused, desk.silent]).toEqual([1, 0]);
  });

  test("edges are told of each table of segment hosts: those at hand when they come, each new one at once", async () => {
    const tableOf = (version: number): LeaseSegmentHosts => ({
      type: "segment-hosts",
      origin: "o1",
      version,
      from: { cmaf: 1, ts: 2 },
      hosts: [],
    });
    const made: LeaseSegmentHosts[] = [];
    const { url, registry } = open({
      segmentTables: { kept: [tableOf(1), tableOf(2)], refresh: () => made.shift() },
    });
    const first = await say(url, encodeLeaseMessage(hello));
    const second = await say(url);
    const welcome = { type: "welcome", version: 1 };
    await until(() => first.heard.length === 3);
    made.push(tableOf(3));
    first.socket.send(JSON.stringify({ type: "load", state: "ready", viewers: 1, egressBitsPerSecond: 0 }));
    await until(() => first.heard.length === 4);
    expect(first.heard).toEqual([welcome, tableOf(1), tableOf(2), tableOf(3)]);
    // Whoever has not said who it is hears of none.
    made.push(tableOf(4));
    first.socket.close();
    await until(() => made.length === 0 && registry.count === 0);
    second.socket.send(encodeLeaseMessage(hello));
    await until(() => second.heard.length === 3);
    expect(second.heard).toEqual([welcome, tableOf(1), tableOf(2)]);
  });

  test("edges are told where no segments are spread: they may have been, before the origin was started again", async () => {
    const { url } = open();
    const talk = await say(url, encodeLeaseMessage(hello));
    await until(() => talk.heard.length === 2);
    expect(talk.heard[1]).toEqual(NO_SEGMENT_HOSTS);
  });

  test("a message that is too long ends the lease", async () => {
    const { url, registry } = open();
    const { closed } = await say(url, encodeLeaseMessage(hello), " ".repeat(5000));
    await closed;
    await until(() => registry.count === 0);
  });

  test("who comes through a proxy needs a proof for leases", async () => {
    const { url, clock } = open();
    const http = url.replace("ws:", "http:");
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await fetch(http, { headers: { ...headers, "x-forwarded-for": "192.0.2.1" } })).status;
    const upgrade = { upgrade: "websocket", connection: "upgrade" };
    const prove = (purpose: "lease" | "feed"): Record<string, string> => ({
      ...upgrade,
      authorization: proveSecret({ secret: SECRET, purpose, wallMs: clock.wallMs() }),
    });
    expect(await status({})).toBe(426);
    expect(await status(upgrade)).toBe(403);
    expect(await status(prove("feed"))).toBe(403);
    expect(await status(prove("lease"))).not.toBe(403);
  });
});
