/** The relay of events: one upstream for all, the latest of each kind, an origin that restarts. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { silentLog } from "#common/log.ts";
import { Counters } from "./counters.ts";
import { EventReader, EventsRelay } from "./events-relay.ts";
import { FakeOrigin, startTestEdge, until } from "./fake-origin.ts";
import { RelayCounters } from "./relay.ts";
import { Store } from "./store.ts";
import { Upstream } from "./upstream.ts";

const PATH = "/live/canvas/events";
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

class EventOrigin extends FakeOrigin {
  isGone = false;
  #open: ReadableStreamDefaultController<string> | undefined;

  constructor(port = 0) {
    super(() => {
      if (this.isGone) return new Response("no\n", { status: 404 });
      const body = new ReadableStream<string>({
        start: (controller) => {
          this.#open = controller;
        },
      });
      return new Response(body.pipeThrough(new TextEncoderStream()), {
        headers: { "content-type": "text/event-stream" },
      });
    }, port);
  }

  get isListenedTo(): boolean {
    return this.#open !== undefined;
  }

  cut(): void {
    this.#open?.close();
  }

  send(text: string): void {
    this.#open?.enqueue(text);
  }
}

function listen(url: string): { readonly text: () => string; readonly leave: () => void } {
  const abort = new AbortController();
  let text = "";
  const read = async (): Promise<void> => {
    const { body } = await fetch(url, { signal: abort.signal });
    const decoder = new TextDecoder();
    if (body !== null) for await (const chunk of body) text += decoder.decode(chunk, { stream: true });
  };
  // Ends by leaving; the test looks at what was read.
  read().catch(() => {});
  return { text: () => text, leave: () => abort.abort() };
}

const figures = (count: number): string => `event: figures\ndata: {"n":${count}}\n\n`;
const notice = "event: notice\ndata: hello\n\n";

describe("relay of events", () => {
  test("has one upstream connection; a newcomer gets the latest of each kind at once", async () => {
    const origin = new EventOrigin();
    const edge = startTestEdge(origin.url);
    closers.push(edge.close, () => origin.close());
    const first = listen(edge.url + PATH);
    await until(() => origin.isListenedTo);
    origin.send(figures(1));
    origin.send(notice + figures(2));
    await until(() => first.text().includes(figures(2)));
    const others = Array.from({ length: 30 }, () => listen(edge.url + PATH));
    await until(() => others.every(({ text }) => text().includes(figures(2)) && text().includes(notice)));
    expect(others.some(({ text }) => text().includes(figures(1)))).toBe(false);
    expect(edge.viewers.events).toBe(31);
    origin.send(figures(3));
    await until(() => [first, ...others].every(({ text }) => text().endsWith(figures(3))));
    expect(origin.count()).toBe(1);
    for (const { leave } of [first, ...others]) leave();
    await until(() => edge.viewers.events === 0);
  });

  test("keeps listeners through a restart of the origin", async () => {
    const origin = new EventOrigin();
    const edge = startTestEdge(origin.url);
    closers.push(edge.close);
    const listener = listen(edge.url + PATH);
    await until(() => origin.isListenedTo);
    origin.send(figures(1));
    await until(() => listener.text().includes(figures(1)));
    const { port } = origin;
    await origin.close();
    const again = new EventOrigin(port);
    closers.push(() => again.close());
    await until(() => again.isListenedTo);
    again.send(figures(2));
    await until(() => listener.text().includes(figures(2)));
    expect(edge.viewers.events).toBe(1);
    listener.leave();
  });

  test("hands out nothing from before an outage as news", async () => {
    const origin = new EventOrigin();
    const edge = startTestEdge(origin.url);
    closers.push(edge.close);
    const listener = listen(edge.url + PATH);
    await until(() => origin.isListenedTo);
    origin.send(figures(1));
    await until(() => listener.text().includes(figures(1)));
    const { port } = origin;
    await origin.close();
    const again = new EventOrigin(port);
    closers.push(() => again.close());
    await until(() => again.isListenedTo);
    const late = listen(edge.url + PATH);
    await until(() => late.text() !== "");
    again.send(figures(2));
    await until(() => late.text().includes(figures(2)));
    expect(late.text()).not.toContain(figures(1));
    listener.leave();
    late.leave();
  });

  test("of a stream that is gone end, whoever listens", async () => {
    const origin = new EventOrigin();
    const edge = startTestEdge(origin.url);
    closers.push(edge.close, () => origin.close());
    const listener = listen(edge.url + PATH);
    await until(() => origin.isListenedTo);
    origin.send(figures(1));
    await until(() => listener.text().includes(figures(1)));
    origin.isGone = true;
    origin.cut();
    await until(() => edge.viewers.events === 0);
    expect(edge.streams.paths).toBe(0);
  });

  test("of streams that do not exist end at once", async () => {
    const origin = new FakeOrigin(() => new Response("no\n", { status: 404 }));
    const edge = startTestEdge(origin.url);
    closers.push(edge.close, () => origin.close());
    for (let index = 0; index < 70; index++) {
      expect((await fetch(`${edge.url}/live/made-up-${index}/events`)).status).toBe(404);
    }
    expect(edge.streams.paths).toBe(0);
  });
});

/** A relay with a listener who reads and one who has stopped to, and for whom more waits than sockets take. */
async function openRelay() {
  const clock = new FakeClock();
  const relayCounters = new RelayCounters();
  const feed = new TransformStream<Uint8Array, Uint8Array>();
  const upstream = new Upstream({
    urls: [],
    clock,
    log: silentLog,
    budget: new Store({ bytesMax: 1_000_000, clock }),
  });
  upstream.open = () => Promise.resolve({ status: 200, chunks: feed.readable });
  const relay = new EventsRelay({
    path: PATH,
    upstream,
    clock,
    log: silentLog,
    counters: new Counters(),
    relayCounters,
    onOver: () => {},
  });
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    development: false,
    fetch: ({ signal }) => new Response(relay.add(signal, () => {})),
  });
  closers.push(() => server.stop(true));
  const quick = listen(server.url.href);
  let heard = 0;
  const closed = Promise.withResolvers<void>();
  const slow = await Bun.connect({
    hostname: "127.0.0.1",
    port: server.port ?? 0,
    socket: { data: (_socket, bytes) => void (heard += bytes.length), close: () => closed.resolve() },
  });
  slow.write("GET / HTTP/1.1\r\nHost: edge\r\n\r\n");
  await until(() => heard > 0 && quick.text() !== "");
  slow.pause();
  const writer = feed.writable.getWriter();
  const send = async (name: string): Promise<void> => {
    await writer.write(new TextEncoder().encode(`event: figures\ndata: ${"x".repeat(60_000)}${name}\n\n`));
    await until(() => quick.text().endsWith(`${name}\n\n`));
  };
  // More than sockets take.
  for (let count = 0; count < 200; count++) await send(`<${count}>`);
  return { clock, relay, relayCounters, quick, slow, slowClosed: closed.promise, send };
}

test("a listener that takes nothing for half a minute is let go, and nobody else", async () => {
  const { clock, relay, relayCounters, quick, slow, slowClosed, send } = await openRelay();
  clock.advance(30_000);
  await send("<in time>");
  expect(relayCounters.listenersDropped).toBe(0);
  clock.advance(1_000);
  await send("<too late>");
  expect(relayCounters.listenersDropped).toBe(1);
  slow.resume();
  await slowClosed;
  expect(relay.isOver).toBe(false);
  relay.close();
  quick.leave();
});

test("the end of a relay breaks off who takes nothing, whose connection would stay for ever", async () => {
  const { relay, slow, slowClosed } = await openRelay();
  relay.close();
  expect(relay.isOver).toBe(true);
  slow.resume();
  await slowClosed;
});

test("Streams.sendAway() tells every listener and who comes later, and what an upstream says of its own end is nobody's business", async () => {
  const clock = new FakeClock();
  const origin = new EventOrigin();
  const edge = startTestEdge(origin.url, { clock });
  closers.push(edge.close, () => origin.close());
  const listener = listen(edge.url + PATH);
  await until(() => origin.isListenedTo);
  origin.send('event: move\ndata: {"withinMs":9}\n\n');
  origin.send(figures(1));
  await until(() => listener.text().includes(figures(1)));
  expect(listener.text()).not.toContain("move");
  edge.streams.sendAway(1_500);
  await until(() => listener.text().includes('event: move\ndata: {"withinMs":1500}\n\n'));
  listener.leave();
  const moveWithin = async (): Promise<number> => {
    const late = listen(edge.url + PATH);
    await until(() => /"withinMs":\d+}\n\n/.test(late.text()));
    late.leave();
    return Number(/"withinMs":(\d+)/.exec(late.text())?.[1]);
  };
  clock.advance(1_000);
  expect(await moveWithin()).toBe(500);
  clock.advance(1_000);
  expect(await moveWithin()).toBe(0);
});

test("EventReader splits at blank lines, whatever the chunks, and drops comments", () => {
  const text = `:hi\r\n\r\n${figures(1).replaceAll("\n", "\r\n")}data: x\ndata: y\n\nevent: empty\n\n${notice}`;
  for (const size of [1, 2, 7, 1_000]) {
    const events: [string, string][] = [];
    const reader = new EventReader((kind, event) => events.push([kind, event]));
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
    expect(events).toEqual([
      ["figures", figures(1)],
      ["message", "data: x\ndata: y\n\n"],
      ["notice", notice],
    ]);
  }
});
