/** A whole edge in this process: it waits for its origin, serves, and closes. */
import { expect, test } from "bun:test";
import { commonOptions, readConfig } from "#common/config.ts";
import { decodeLeaseMessage, encodeLeaseMessage, type LeaseMessage } from "#common/formats/lease.ts";
import { Lifecycle } from "#common/lifecycle.ts";
import { silentLog } from "#common/log.ts";
import { edgeOptions } from "./config.ts";
import { FakeLivePlaylist, until } from "./fake-origin.ts";
import { main } from "./main.ts";

const OPTIONS = { ...commonOptions, ...edgeOptions };

/** An origin that is ready and takes leases. */
function startOrigin(
  port: number,
  messages: LeaseMessage[],
  media: () => Promise<Response> = () => Promise.resolve(new Response("media")),
  answersTo: (message: LeaseMessage) => readonly LeaseMessage[] = () => [],
): Bun.Server<undefined> {
  return Bun.serve({
    port,
    hostname: "127.0.0.1",
    fetch(request, server) {
      const { pathname } = new URL(request.url);
      if (pathname === "/api/v1/lease" && server.upgrade(request)) return undefined;
      if (pathname.endsWith(".m4s")) return media();
      return new Response(pathname === "/readyz" ? "ready\n" : "Not found\n", {
        status: pathname === "/readyz" ? 200 : 404,
      });
    },
    websocket: {
      message(socket, text) {
        const message = decodeLeaseMessage(String(text));
        if (message === undefined) return;
        messages.push(message);
        if (message.type === "hello") socket.send(encodeLeaseMessage({ type: "welcome", version: 1 }));
        for (const answer of answersTo(message)) socket.send(encodeLeaseMessage(answer));
      },
    },
  });
}

async function startEdge(
  port: number,
  ...more: readonly string[]
): Promise<{ readonly url: string; readonly close: () => Promise<void> }> {
  const args = [
    "--drain-seconds",
    "0",
    "--edge-port",
    "0",
    "--edge-bind",
    "127.0.0.1",
    "--upstream",
    `http://127.0.0.1:${port}`,
    ...more,
  ];
  const config = readConfig(OPTIONS, { args, env: {}, known: OPTIONS });
  const lifecycle = new Lifecycle();
  const listening = Promise.withResolvers<number>();
  const onListening = (ports: Readonly<Record<string, number>>): void => {
    listening.resolve(ports["edge-port"] ?? 0);
  };
  await main({ config, lifecycle, log: silentLog, onListening });
  return {
    url: `http://127.0.0.1:${await listening.promise}`,
    close: () => {
      lifecycle.stop("test");
      return lifecycle.closeAll(silentLog);
    },
  };
}

test("main() waits for its origin and says so, then holds a lease, and closes whole", async () => {
  const messages: LeaseMessage[] = [];
  const place = startOrigin(0, messages);
  const port = place.port ?? 0;
  await place.stop(true);
  const edge = await startEdge(port);
  const waiting = await fetch(`${edge.url}/readyz`);
  expect([waiting.status, await waiting.text()]).toEqual([
    503,
    expect.stringContaining("waiting for the upstream"),
  ]);
  const page = await fetch(`${edge.url}/`);
  expect(page.headers.get("content-type")).toContain("text/html");
  expect(page.headers.get("content-security-policy")).toContain("script-src 'self'");
  // As a proxy that compresses hands the tag out, and so gets it back.
  const known = { "if-none-match": `W/${page.headers.get("etag")}` };
  expect((await fetch(`${edge.url}/`, { headers: known })).status).toBe(304);

  const origin = startOrigin(port, messages);
  while ((await fetch(`${edge.url}/readyz`)).status !== 200) await Bun.sleep(20);
  await until(() => messages.some((message) => message.type === "load" && message.state === "ready"));
  expect(messages[0]).toMatchObject({ type: "hello", scheme: "http", port: Number(new URL(edge.url).port) });
  const metrics = await (await fetch(`${edge.url}/metrics`)).text();
  for (const name of ["requests_total", "upstream_requests_total", "viewers", "sent_bytes_total"]) {
    expect(metrics).toContain(`spillway_edge_${name}`);
  }
  // Everybody may read them.
  expect(metrics).toContain('spillway_edge_upstream_up{upstream="1"} 1\n');
  expect(metrics).not.toContain("127.0.0.1");

  await edge.close();
  await expect(fetch(`${edge.url}/healthz`)).rejects.toThrow();
  await origin.stop(true);
});

test.each([
  ["viewer", "Option --viewer-limit 11 is above --viewer-max 10: expected at most 10, 0 for no limit"],
  [
    "stream-viewer",
    "Option --stream-viewer-limit 11 is above --stream-viewer-max 10: expected at most 10, 0 for no limit",
  ],
])(
  "main() refuses a soft limit of %ss above the hard one, and takes one that is no limit",
  async (name, text) => {
    const limits = (limit: number, max: number): string[] => [
      `--${name}-limit`,
      String(limit),
      `--${name}-max`,
      String(max),
    ];
    await expect(startEdge(9, ...limits(11, 10))).rejects.toThrow(text);
    for (const fitting of [limits(10, 10), limits(11, 0), limits(0, 10)]) {
      const edge = await startEdge(9, ...fitting);
      await edge.close();
    }
  },
);
test("main() tells origins to send nobody while a stream is switched off", async () => {
  const messages: LeaseMessage[] = [];
  const origin = startOrigin(0, messages);
  const edge = await startEdge(origin.port ?? 0, "--admin-token", "a-token-of-an-admin");
  const isNow = (state: string) => (): boolean => {
    const newest = messages.at(-1);
    return newest?.type === "load" && newest.state === state;
  };
  const control = async (state: string): Promise<number> => {
    const headers = { authorization: "Bearer a-token-of-an-admin" };
    return (await fetch(`${edge.url}/api/v1/streams/canvas/control?${state}`, { method: "POST", headers }))
      .status;
  };
  await until(isNow("ready"));
  expect(await control("offline")).toBe(202);
  await until(isNow("waiting"));
  expect(await control("online")).toBe(202);
  await until(isNow("ready"));
  await edge.close();
  await origin.stop(true);
});

test("main() with --proxy-all passes on what is not its own, and takes no lease", async () => {
  const messages: LeaseMessage[] = [];
  const origin = startOrigin(0, messages);
  const edge = await startEdge(origin.port ?? 0, "--proxy-all");
  while ((await fetch(`${edge.url}/readyz`)).status !== 200) await Bun.sleep(20);
  const answer = await fetch(`${edge.url}/`);
  expect([answer.status, await answer.text()]).toEqual([404, "Not found\n"]);
  expect(answer.headers.get("cache-status")).toBe('spillway; fwd=uri-miss; key="/"');
  expect(messages).toEqual([]);
  expect(await (await fetch(`${edge.url}/metrics`)).text()).toContain("spillway_edge_leases 0\n");
  await edge.close();
  await origin.stop(true);
});

test("main() says that it is draining, finishes what is under way and takes nothing new when it ends", async () => {
  const messages: LeaseMessage[] = [];
  const gate = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const origin = startOrigin(0, messages, async () => {
    asked.resolve();
    await gate.promise;
    return new Response("media", { headers: { "content-type": "video/mp4" } });
  });
  const edge = await startEdge(origin.port ?? 0);
  await until(() => messages.some((message) => message.type === "load" && message.state === "ready"));
  const answer = fetch(`${edge.url}/live/canvas/720p/aabbccdd-1.m4s`);
  await asked.promise;
  const closed = edge.close();
  await expect(fetch(`${edge.url}/healthz`)).rejects.toThrow();
  await until(() => messages.some((message) => message.type === "load" && message.state === "draining"));
  gate.resolve();
  expect(await (await answer).text()).toBe("media");
  await closed;
  await origin.stop(true);
});

test("E35: main() hears of the hosts of segments until its last viewer has been answered", async () => {
  const table = { type: "segment-hosts", origin: "o", version: 1, from: { cmaf: 0, ts: 0 } } as const;
  const hosts = [1, 2].map((number) => ({ url: `https://edge${number}.example`, weight: 1 }));
  const messages: LeaseMessage[] = [];
  const origin = startOrigin(0, messages, undefined, (message) =>
    message.type === "load"
      ? [message.state === "draining" ? { ...table, version: 2, hosts } : { ...table, hosts: hosts.slice(1) }]
      : [],
  );
  const edge = await startEdge(origin.port ?? 0, "--drain-seconds", "3");
  const hasHeardOf = async (count: number): Promise<boolean> =>
    (await (await fetch(`${edge.url}/metrics`)).text()).includes(`spillway_edge_rewrite_hosts ${count}\n`);
  while (!(await hasHeardOf(1))) await Bun.sleep(20);
  const closed = edge.close();
  while (!(await hasHeardOf(2))) await Bun.sleep(20);
  await closed;
  await origin.stop(true);
});

test("37: main() keeps a connection that is silent for three target durations of 5 s, and answers it", async () => {
  const live = new FakeLivePlaylist();
  const text = live.text().replace("TARGETDURATION:2", "TARGETDURATION:5");
  const origin = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 60,
    fetch: ({ url }) =>
      url.includes("_HLS_msn")
        ? new Promise<Response>(() => undefined)
        : new Response(text, { headers: { "content-type": "application/vnd.apple.mpegurl" } }),
  });
  const edge = await startEdge(origin.port ?? 0);
  const url = `${edge.url}/live/canvas/720p/index.m3u8`;
  expect((await fetch(url)).status).toBe(200);
  const startMs = performance.now();
  const held = await fetch(`${url}?_HLS_msn=102&_HLS_part=5`);
  expect([held.status, held.headers.get("retry-after")]).toEqual([503, "1"]);
  expect(performance.now() - startMs).toBeGreaterThan(14_900);
  await edge.close();
  await origin.stop(true);
});
