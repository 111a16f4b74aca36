/** A whole origin on a feed of its own: served over real sockets, and closed. */
import { expect, test } from "bun:test";
import { commonOptions, readConfig } from "#common/config.ts";
import { encodeFeedFigures, encodeFeedFrame, encodeFeedHeader } from "#common/formats/feed.ts";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { TsInspector } from "#common/formats/fixtures/mpegts-reader.ts";
import { Lifecycle } from "#common/lifecycle.ts";
import { silentLog } from "#common/log.ts";
import { originOptions } from "./config.ts";
import { main } from "./main.ts";
import { hintIn } from "./origin-fixture.ts";

/** What a server answers to `request`, which no client here would send, until it closes. */
async function rawAnswer(port: number, request: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => void socket.write(request),
      data: (_, bytes) => void (text += bytes.toString()),
      close: () => resolve(text),
      error: (_, error) => reject(error),
    },
  });
  return promise;
}

async function untilMetric(origin: string, line: string): Promise<void> {
  while (!(await (await fetch(`${origin}/metrics`)).text()).includes(line)) await Bun.sleep(1);
}

test("50, 51: main() serves a feed over real sockets, holds no HEAD, refuses TRACE, and closes", async () => {
  const run = testsrcRun();
  let next = 0;
  const feeds = new Set<ReadableStreamDefaultController<Uint8Array>>();
  const frame = (index: number): Uint8Array => encodeFeedFrame(run, testsrcFrame(run, index));
  const play = (count: number): void => {
    const bytes = joinBytes(Array.from({ length: count }, () => frame(next++)));
    for (const feed of feeds) feed.enqueue(bytes);
  };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () =>
      new Response(
        new ReadableStream<Uint8Array>({
          start(controller) {
            const figures = {
              timeMs: 1,
              pixels: 7,
              bytes: 8,
              connections: 2,
              pixelsPerSecond: 3,
              bitsPerSecond: 4,
              pixelflutPort: 1234,
            };
            controller.enqueue(joinBytes([encodeFeedHeader(run), encodeFeedFigures(figures)]));
            feeds.add(controller);
          },
        }),
      ),
  });
  const lifecycle = new Lifecycle();
  const options = { ...commonOptions, ...originOptions };
  // This feed has a pace of its own.
  const args = ["--origin-port=0", "--slate=off", `--source=http://127.0.0.1:${server.port}/feed.mp4`];
  let port = 0;
  await main({
    config: readConfig(options, { args, env: {}, known: options }),
    lifecycle,
    log: silentLog,
    onListening: (ports) => void (port = ports["origin-port"] ?? 0),
  });
  const origin = `http://127.0.0.1:${port}`;
  expect((await fetch(`${origin}/readyz`)).status).toBe(503);
  while (feeds.size === 0) await Bun.sleep(1);
  play(75);
  while ((await fetch(`${origin}/readyz`)).status !== 200) await Bun.sleep(1);

  const playlist = await fetch(`${origin}/live/canvas/64p/index.m3u8`);
  expect([playlist.status, playlist.headers.has("date")]).toEqual([200, true]);
  for (const method of ["POST", "DELETE"]) {
    const refused = await fetch(`${origin}/api/v1/lease`, { method });
    expect([refused.status, refused.headers.get("access-control-allow-origin")]).toEqual([405, "*"]);
  }
  const page = { upgrade: "websocket", origin: "http://evil.example" };
  expect((await fetch(`${origin}/api/v1/lease`, { headers: page })).status).toBe(403);
  const waiting = `${origin}/live/canvas/64p/index.m3u8?_HLS_msn=${run.startFrame / 60 + 1}&_HLS_part=3`;
  const hinted = `${origin}/live/canvas/64p/${hintIn(await playlist.text())}`;
  for (const [url, status] of [
    [waiting, 200],
    [hinted, 404],
  ] as const) {
    const head = await fetch(url, { method: "HEAD" });
    expect([head.status, head.headers.has("date"), head.headers.has("content-type")]).toEqual([
      status,
      true,
      true,
    ]);
  }
  const traced = await rawAnswer(
    port,
    "TRACE /live/canvas/64p/index.m3u8 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
  );
  expect(traced).toStartWith("HTTP/1.1 405 ");
  expect(traced.toLowerCase()).toMatch(/\r\nallow: get, head, options\r\n/);
  expect(traced.toLowerCase()).toMatch(/\r\ndate: /);
  const leaving = new AbortController();
  const left = fetch(waiting, { signal: leaving.signal }).catch(() => "left");
  await untilMetric(origin, "spillway_origin_held_requests 1\n");
  leaving.abort();
  expect(await left).toBe("left");
  await untilMetric(origin, "spillway_origin_held_requests 0\n");

  const held = fetch(`${origin}/live/canvas/64p/index.m3u8?_HLS_msn=${run.startFrame / 60 + 1}&_HLS_part=2`);
  const events = (await fetch(`${origin}/live/canvas/events`)).body?.getReader();
  const event = new TextDecoder().decode((await events?.read())?.value);
  expect(event).toStartWith("event: figures\ndata: ");
  expect(event).toContain(
    '"canvas":{"width":64,"height":64,"pixelflutPort":1234,"pixels":7,"pixelsPerSecond":3,"bitsPerSecond":4,"players":2}',
  );
  await events?.cancel();

  const viewer = (await fetch(`${origin}/live/canvas/stream.ts`)).body?.getReader();
  play(30);
  expect(await (await held).text()).toContain(".2.m4s");
  const inspector = new TsInspector();
  while (inspector.counts.accessUnits < 30) inspector.push((await viewer?.read())?.value ?? new Uint8Array());
  expect(inspector.counts).toMatchObject({ continuityErrors: 0, syncLosses: 0 });
  await viewer?.cancel();

  const metrics = await (await fetch(`${origin}/metrics`)).text();
  expect(metrics).toContain('spillway_origin_requests_total{kind="playlist"} 4\n');
  expect(metrics).toContain("spillway_origin_held_requests 0\n");
  expect(metrics).toContain("spillway_origin_frames_total 105\n");
  await lifecycle.closeAll(silentLog);
  await expect(fetch(`${origin}/healthz`)).rejects.toThrow();
  await server.stop(true);
});
