/** The relay of stream.ts: joining, slow viewers, an upstream that ends. */
import { afterEach, describe, expect, test } from "bun:test";
import { type Clock, FakeClock, systemClock } from "#common/clock.ts";
import { FakeOrigin, startTestEdge, until, type TestEdge } from "./fake-origin.ts";
import { createEdgeMetrics } from "./metrics.ts";
import { countContinuityErrors, FakeTransportStream } from "./fake-transport-stream.ts";
import { isPat, isRandomAccess, PACKET_BYTES, readPts, startsUnit } from "./ts-packets.ts";

const PATH = "/live/canvas/stream.ts";

/** An origin of `stream.ts` that sends what a test hands it to all who are connected. */
class TsOrigin extends FakeOrigin {
  status = 200;
  /** What each connection begins with. */
  opening: Uint8Array = new Uint8Array(0);
  /** True where that is all. */
  isBrief = false;
  readonly #open = new Set<ReadableStreamDefaultController<Uint8Array>>();

  constructor(port = 0) {
    super((_request, path) => (path === "/readyz" ? new Response("ready\n") : this.#answer()), port);
  }

  get connections(): number {
    return this.#open.size;
  }

  send(bytes: Uint8Array): void {
    for (const controller of this.#open) controller.enqueue(bytes);
  }

  /** Ends all connections. */
  cut(): void {
    for (const controller of this.#open) controller.close();
    this.#open.clear();
  }

  #answer(): Response {
    if (this.status !== 200) return new Response("offline\n", { status: this.status });
    let own: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        if (this.opening.length > 0) controller.enqueue(this.opening);
        if (this.isBrief) {
          controller.close();
          return;
        }
        own = controller;
        this.#open.add(controller);
      },
      cancel: () => {
        if (own !== undefined) this.#open.delete(own);
      },
    });
    return new Response(body, { headers: { "content-type": "video/mp2t" } });
  }
}

/** A viewer that reads all along, until it is let go. */
class Viewer {
  bytes = 0;
  readonly response: Promise<Response>;
  /** Resolves when nothing more comes. */
  readonly ended: Promise<void>;
  readonly #chunks: Uint8Array[] = [];
  readonly #abort = new AbortController();

  constructor(edge: TestEdge) {
    this.response = fetch(edge.url + PATH, { signal: this.#abort.signal });
    this.ended = this.#read();
  }

  get received(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  leave(): void {
    this.#abort.abort();
  }

  async #read(): Promise<void> {
    try {
      const { body } = await this.response;
      if (body === null) return;
      for await (const chunk of body) {
        this.#chunks.push(chunk);
        this.bytes += chunk.length;
      }
    } catch {
      // Left, or the edge has closed: the test looks at what was received.
    }
  }
}

const closers: (() => Promise<void>)[] = [];

function start(clock: Clock = systemClock): { readonly origin: TsOrigin; readonly edge: TestEdge } {
  const origin = new TsOrigin();
  const edge = startTestEdge(origin.url, { clock });
  closers.push(edge.close, () => origin.close());
  return { origin, edge };
}

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A connection that sends one request and is silent from then on; what came first of the answer, and its end. */
async function connect(
  edge: TestEdge,
  request: string,
): Promise<{ readonly head: Promise<string>; readonly closed: Promise<void> }> {
  const [head, closed] = [Promise.withResolvers<string>(), Promise.withResolvers<void>()];
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: Number(new URL(edge.url).port),
    socket: { data: (_socket, bytes) => head.resolve(bytes.toString()), close: () => closed.resolve() },
  });
  socket.write(`${request} HTTP/1.1\r\nHost: edge\r\n\r\n`);
  return { head: head.promise, closed: closed.promise };
}

function beginsAtKey(bytes: Uint8Array): boolean {
  return isPat(bytes, 0) && isRandomAccess(bytes, 2 * PACKET_BYTES);
}

describe("relay of stream.ts", () => {
  test("has one upstream connection, and each viewer begins at the newest key frame", async () => {
    const { origin, edge } = start();
    const stream = new FakeTransportStream();
    origin.opening = stream.gop();
    const first = new Viewer(edge);
    await until(() => first.bytes === origin.opening.length);
    const newest = stream.gop();
    origin.send(newest);
    await until(() => first.bytes === origin.opening.length + newest.length);
    const others = Array.from({ length: 20 }, () => new Viewer(edge));
    await until(() => others.every(({ bytes }) => bytes === newest.length));
    for (const viewer of others) expect(viewer.received).toEqual(Buffer.from(newest));
    expect(edge.viewers.ts).toBe(21);
    const next = stream.gop();
    origin.send(next);
    await until(() => others.every(({ bytes }) => bytes === newest.length + next.length));
    for (const viewer of [first, ...others]) {
      expect(beginsAtKey(viewer.received)).toBe(true);
      expect(countContinuityErrors(viewer.received)).toEqual({ errors: 0, marked: 0 });
      viewer.leave();
    }
    expect(origin.count()).toBe(1);
    await until(() => edge.viewers.ts === 0);
  });

  test("keeps viewers through the end of the upstream and goes on with a key frame where the stream is another", async () => {
    const { origin, edge } = start();
    const stream = new FakeTransportStream();
    const [one, two] = [stream.gop(), stream.gop()];
    // The same pictures as the second group and the one behind it, in other packets.
    const other = new FakeTransportStream(120_000);
    const [again, three] = [other.gop(10, 6), other.gop(10, 6)];
    origin.opening = one;
    const viewer = new Viewer(edge);
    await until(() => viewer.bytes > 0);
    origin.send(two);
    await until(() => viewer.bytes === one.length + two.length);
    origin.opening = again;
    origin.cut();
    await until(() => origin.connections === 1);
    origin.send(three);
    await until(() => viewer.bytes >= one.length + two.length + three.length + 3 * PACKET_BYTES);
    expect(countContinuityErrors(viewer.received)).toEqual({ errors: 0, marked: 3 });
    expect(viewer.bytes).toBe(one.length + two.length + three.length + 3 * PACKET_BYTES);
    expect([edge.relayCounters.upstreamLosses, edge.relayCounters.resumptions]).toEqual([1, 0]);
    viewer.leave();
  });

  test.each(["the same origin", "the next one"])(
    "joins %s on where it broke off, and nobody misses a packet",
    async (where) => {
      const first = new TsOrigin();
      const second = where === "the next one" ? new TsOrigin() : first;
      const edge = startTestEdge([...new Set([first.url, second.url])]);
      closers.push(
        edge.close,
        () => first.close(),
        () => second.close(),
      );
      const stream = new FakeTransportStream();
      const [one, two, three] = [stream.gop(), stream.gop(), stream.gop()];
      // In the middle of a picture.
      const cutAt = 33 * PACKET_BYTES;
      first.opening = one;
      const viewer = new Viewer(edge);
      await until(() => viewer.bytes === one.length);
      first.send(two.subarray(0, cutAt));
      await until(() => viewer.bytes === one.length + cutAt);
      second.opening = two;
      if (second !== first) await first.close();
      first.cut();
      await until(() => second.connections === 1);
      second.send(three);
      await until(() => viewer.bytes >= one.length + two.length + three.length);
      expect(Buffer.concat([one, two, three]).equals(viewer.received)).toBe(true);
      expect([edge.relayCounters.resumptions, edge.relayCounters.shifts]).toEqual([1, 0]);
      viewer.leave();
    },
  );

  test("lets a slow viewer lose whole groups of pictures, and nobody else", async () => {
    const { origin, edge } = start();
    const stream = new FakeTransportStream();
    origin.opening = stream.gop();
    const quick = new Viewer(edge);
    const slowChunks: Uint8Array[] = [];
    const slow = await Bun.connect({
      hostname: "127.0.0.1",
      port: Number(new URL(edge.url).port),
      socket: { data: (_socket, bytes) => void slowChunks.push(Buffer.from(bytes)) },
    });
    slow.write(`GET ${PATH} HTTP/1.0\r\nHost: edge\r\n\r\n`);
    await until(() => slowChunks.length > 0 && quick.bytes > 0);
    slow.pause();
    let sent = origin.opening.length;
    const send = async (gop: Uint8Array): Promise<void> => {
      origin.send(gop);
      sent += gop.length;
      await until(() => quick.bytes === sent);
    };
    for (let count = 0; count < 10; count++) await send(stream.gop(30, 400));
    slow.resume();
    const marked = (): number => countContinuityErrors(bodyOf(slowChunks)).marked;
    while (marked() === 0) await send(stream.gop());
    const { skips, lostGroups, lostBytes } = edge.relayCounters.fanOut;
    expect([skips, lostGroups > 1, lostBytes > 0]).toEqual([1, true, true]);
    const page = await createEdgeMetrics({ ...edge, leases: [], readiness: () => undefined }).metrics();
    expect(page).toContain(`spillway_edge_relay_gops_lost_total ${lostGroups}\n`);
    expect(countContinuityErrors(bodyOf(slowChunks)).errors).toBe(0);
    expect(countContinuityErrors(quick.received)).toEqual({ errors: 0, marked: 0 });
    slow.terminate();
    quick.leave();
  }, 20_000);

  test("is 503 with Retry-After while the upstream is offline, 404 where it knows no such stream", async () => {
    const { origin, edge } = start();
    origin.status = 503;
    const offline = await fetch(edge.url + PATH);
    expect([offline.status, offline.headers.get("retry-after")]).toEqual([503, "2"]);
    expect(offline.headers.get("access-control-allow-origin")).toBe("*");
    origin.status = 404;
    expect((await fetch(`${edge.url}/live/other/stream.ts`)).status).toBe(404);
    expect(edge.viewers.ts).toBe(0);
  });

  test("gives the next viewer its picture as soon as there is one, however long others have waited in vain", async () => {
    const clock = new FakeClock();
    const { origin, edge } = start(clock);
    const early = fetch(edge.url + PATH);
    await until(() => origin.connections === 1);
    clock.advance(5_000);
    expect((await early).status).toBe(503);
    // One waits when the relay would have ended without it.
    clock.advance(4_000);
    const next = new Viewer(edge);
    await until(() => edge.viewers.ts === 1);
    clock.advance(4_000);
    const last = new Viewer(edge);
    await until(() => edge.viewers.ts === 2);
    const gop = new FakeTransportStream().gop();
    origin.send(gop);
    await until(() => {
      clock.advance(1);
      return next.bytes === gop.length && last.bytes === gop.length;
    });
    expect([origin.count(PATH), edge.relayCounters.upstreamLosses]).toEqual([1, 0]);
    next.leave();
    last.leave();
  });

  test("does not hang a viewer on an upstream that ends with its first bytes", async () => {
    const { origin, edge } = start();
    const stream = new FakeTransportStream();
    origin.opening = stream.gop();
    origin.isBrief = true;
    const { status, headers } = await fetch(edge.url + PATH);
    expect([status, headers.get("retry-after"), edge.viewers.ts]).toEqual([503, "2", 0]);
    expect(edge.streams.paths).toBe(0);
  });

  test("ends with a stream that has an end, and who is behind gets what waits first", async () => {
    const { origin, edge } = start();
    const stream = new FakeTransportStream();
    origin.opening = stream.gop();
    const quick = new Viewer(edge);
    const slowChunks: Uint8Array[] = [];
    const ended = Promise.withResolvers<void>();
    const slow = await Bun.connect({
      hostname: "127.0.0.1",
      port: Number(new URL(edge.url).port),
      socket: {
        data: (_socket, bytes) => void slowChunks.push(Buffer.from(bytes)),
        close: () => ended.resolve(),
      },
    });
    slow.write(`GET ${PATH} HTTP/1.0\r\nHost: edge\r\n\r\n`);
    await until(() => slowChunks.length > 0 && quick.bytes > 0);
    slow.pause();
    let sent = origin.opening.length;
    const sendOne = async (): Promise<void> => {
      const gop = stream.gop(50, 50);
      origin.send(gop);
      sent += gop.length;
      await until(() => quick.bytes === sent);
    };
    // What the sockets take, and then less than a viewer may be behind.
    while (edge.relayCounters.fanOut.unsentBytes === 0) await sendOne();
    for (let count = 0; count < 3; count++) await sendOne();
    origin.status = 404;
    origin.cut();
    await quick.ended;
    slow.resume();
    await ended.promise;
    expect(bodyOf(slowChunks).length).toBe(quick.bytes);
    expect(countContinuityErrors(bodyOf(slowChunks))).toEqual({ errors: 0, marked: 0 });
    expect([edge.viewers.ts, edge.streams.paths]).toEqual([0, 0]);
  });

  test.each([5, 20])("goes on with a new run that begins %d s back in time", async (backSeconds) => {
    const { origin, edge } = start();
    const stream = new FakeTransportStream(30 * 90_000);
    origin.opening = stream.gop();
    const viewer = new Viewer(edge);
    await until(() => viewer.bytes > 0);
    const newRun = new FakeTransportStream((30 - backSeconds) * 90_000);
    const before = viewer.bytes;
    origin.opening = newRun.gop();
    origin.cut();
    await until(() => viewer.bytes >= before + origin.opening.length);
    expect(countContinuityErrors(viewer.received).errors).toBe(0);
    const times = presentationTimes(viewer.received);
    expect(times).toHaveLength(20);
    expect(times).toEqual(times.toSorted((one, other) => one - other));
    expect(edge.relayCounters.shifts).toBe(1);
    viewer.leave();
  });

  test("leaves the connection of who gets no stream, or whose stream is over, to the idle timeout", async () => {
    const origin = new TsOrigin();
    const edge = startTestEdge(origin.url, { idleTimeoutSeconds: 1 });
    closers.push(edge.close, () => origin.close());
    origin.opening = new FakeTransportStream().gop();
    const watching = await connect(edge, `GET ${PATH}`);
    const asking = await connect(edge, `HEAD ${PATH}`);
    expect([await watching.head, await asking.head]).toEqual([
      expect.stringMatching(/^HTTP\/1.1 200 [^]*\r\nconnection: close\r\n/i),
      expect.stringMatching(/^HTTP\/1.1 200 /),
    ]);
    origin.status = 404;
    const refused = await connect(edge, "GET /live/other/stream.ts");
    expect(await refused.head).toMatch(/^HTTP\/1.1 404 /);
    origin.cut();
    await Promise.all([watching.closed, asking.closed, refused.closed]);
  }, 15_000);

  test("keeps silent viewers through an outage longer than the idle timeout", async () => {
    const origin = new TsOrigin();
    const edge = startTestEdge(origin.url, { idleTimeoutSeconds: 1 });
    closers.push(edge.close, () => origin.close());
    const stream = new FakeTransportStream();
    origin.opening = stream.gop();
    const viewer = new Viewer(edge);
    await until(() => viewer.bytes > 0);
    origin.status = 503;
    origin.cut();
    const other = await connect(edge, "GET /healthz");
    await other.closed;
    origin.status = 200;
    const next = stream.gop();
    origin.opening = next;
    await until(() => viewer.bytes >= next.length * 2);
    expect(edge.viewers.ts).toBe(1);
    viewer.leave();
  }, 15_000);
});

/** Of every picture, in ticks. */
function presentationTimes(bytes: Uint8Array): number[] {
  const times: number[] = [];
  for (let at = 0; at < bytes.length; at += PACKET_BYTES) {
    const pts = startsUnit(bytes, at) ? readPts(bytes, at) : undefined;
    if (pts !== undefined) times.push(pts);
  }
  return times;
}

/** What came behind the header, whole packets only. */
function bodyOf(chunks: readonly Uint8Array[]): Uint8Array {
  const all = Buffer.concat(chunks);
  const body = all.subarray(all.indexOf("\r\n\r\n") + 4);
  return body.subarray(0, body.length - (body.length % PACKET_BYTES));
}
