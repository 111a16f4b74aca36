/** A node's port: what is refused before any route, HTTP/3 beside TCP, and another certificate while requests run. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock, systemClock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { createSelfSigned, FakeTlsSource, type SelfSigned } from "#common/formats/fixtures/self-signed.ts";
import { HttpServer, RETIRE_MS, type HttpServerOptions } from "#common/listen.ts";
import { silentLog } from "#common/log.ts";
import { pause } from "#common/pause.ts";
import type { RequestFault } from "#common/request-faults.ts";

const PROTOCOLS = ["http1.1", "http2", "http3"] as const;
type Protocol = (typeof PROTOCOLS)[number];

const folder = mkdtempSync(join(tmpdir(), "spillway-listen-"));
const servers: HttpServer[] = [];
afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  rmSync(folder, { recursive: true });
});

function open(options: Partial<HttpServerOptions<undefined>> = {}): HttpServer {
  const server = new HttpServer({
    option: "edge-port",
    port: 0,
    hostname: "127.0.0.1",
    tls: undefined,
    clock: systemClock,
    log: silentLog,
    fetch: () => new Response("here\n"),
    error: () => new Response("failed\n", { status: 500 }),
    ...options,
  });
  servers.push(server);
  return server;
}

/** Asks by one protocol, on a connection of its own. */
function ask(server: HttpServer, protocol: Protocol, path = "/"): Promise<Response> {
  const tls = { rejectUnauthorized: false };
  return fetch(`${server.scheme}://127.0.0.1:${server.port}${path}`, { protocol, tls, keepalive: false });
}

/** Whether HTTP/3 shows a certificate: asked by a process that trusts it and no other. */
async function isShownByHttp3(server: HttpServer, { cert }: SelfSigned): Promise<boolean> {
  const path = join(folder, "trusted.pem");
  await Bun.write(path, cert);
  const script = `await fetch("https://localhost:${server.port}/", { protocol: "http3" })`;
  const client = Bun.spawn([process.execPath, "-e", script], {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: path },
    stderr: "ignore",
  });
  return (await client.exited) === 0;
}

/** The certificate that a new connection is shown, in base64. */
function shown(server: HttpServer): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connectTls({ host: "127.0.0.1", port: server.port, rejectUnauthorized: false }, () => {
    resolve(socket.getPeerCertificate().raw.toBase64());
    socket.destroy();
  });
  socket.on("error", reject);
  return promise;
}

/** A client of HTTP/1.1 that has one connection. */
class KeptConnection {
  readonly closed: Promise<void>;
  readonly #socket: TLSSocket;
  #heard: (text: string) => void = () => {};

  static async open(port: number): Promise<KeptConnection> {
    const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false });
    await new Promise<void>((resolve) => socket.once("secureConnect", resolve));
    return new KeptConnection(socket);
  }

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (!text.endsWith("here\n")) return;
      this.#heard(text.toLowerCase());
      text = "";
    });
    socket.on("error", () => {});
  }

  /** The answer, in lower case; empty where the connection ends without one. */
  ask(): Promise<string> {
    const answer = new Promise<string>((resolve) => (this.#heard = resolve));
    this.#socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return Promise.race([answer, this.closed.then(() => "")]);
  }
}

function contentOf({ cert }: SelfSigned): string {
  return cert.replaceAll(/-----[A-Z ]+-----|\n/g, "");
}

describe("HttpServer", () => {
  test("refuses what no node answers before any route, and tells of it", async () => {
    const faults: RequestFault[] = [];
    let asked = 0;
    const server = open({
      onFault: (fault) => void faults.push(fault),
      fetch() {
        asked++;
        return new Response();
      },
    });
    const url = `http://127.0.0.1:${server.port}`;
    const statuses = [
      (await fetch(`${url}/${"a".repeat(9_000)}`)).status,
      (await fetch(url, { headers: { host: "a b" } })).status,
    ];
    expect([statuses, faults, asked]).toEqual([[414, 400], ["url", "host"], 0]);
  });

  test("takes no port that somebody else has, with a certificate neither", () => {
    using taken = Bun.serve({ port: 0, hostname: "127.0.0.1", reusePort: true, fetch: () => new Response() });
    const port = taken.port ?? 0;
    for (const tls of [undefined, new FakeTlsSource()]) {
      expect(() => open({ port, tls })).toThrow(StartError);
    }
  });
});

describe("close()", () => {
  // The clock stands still: whoever waited for time would wait for ever.
  test("waits for no connection that is merely open", async () => {
    const server = open({ clock: new FakeClock() });
    const { port } = server;
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("here\n");
    await server.close(() => {});
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
  });
});

describe("HTTP/3", () => {
  test("answers on the same port, and every answer of the others tells of it", async () => {
    const server = open({ tls: new FakeTlsSource(), http3: "on", fetch: async () => new Response("here\n") });
    for (const protocol of PROTOCOLS) {
      const response = await ask(server, protocol);
      expect(await response.text()).toBe("here\n");
      const altSvc = protocol === "http3" ? null : `h3=":${server.port}"; ma=86400`;
      expect([protocol, response.headers.get("alt-svc")]).toEqual([protocol, altSvc]);
    }
  });

  test("that cannot have its port is a warning, and nobody is sent there", async () => {
    const warnings: string[] = [];
    const log = { ...silentLog, warn: (message: string) => void warnings.push(message) };
    const tls = new FakeTlsSource();
    // Free on TCP, since it was taken there a moment ago.
    const port = open().port;
    await servers.pop()?.stop();
    const udp = await Bun.udpSocket({ hostname: "127.0.0.1", port });
    const response = await ask(open({ tls, log, http3: "on", port }), "http2");
    expect([response.status, response.headers.get("alt-svc")]).toEqual([200, null]);
    expect(warnings).toEqual([expect.stringMatching(/^No HTTP\/3: .*UDP port/)]);
    udp.close();
  });

  test("that is off is not told of", async () => {
    const { headers } = await ask(open({ tls: new FakeTlsSource() }), "http1.1");
    expect(headers.get("alt-svc")).toBeNull();
  });
});

describe("another certificate", () => {
  test("is shown by every protocol from then on, and what was asked before is answered", async () => {
    const [old, renewed] = [createSelfSigned("localhost"), createSelfSigned("localhost")];
    const tls = new FakeTlsSource(old);
    const hostname = "::";
    const clock = new FakeClock();
    const gate = Promise.withResolvers<void>();
    let waiting = 0;
    const server = open({
      tls,
      clock,
      hostname,
      http3: "on",
      async fetch({ url }) {
        if (url.endsWith("/held")) {
          waiting++;
          await gate.promise;
        }
        return new Response("here\n");
      },
    });
    const { port } = server;
    const held = PROTOCOLS.map((protocol) => ask(server, protocol, "/held"));
    while (waiting < PROTOCOLS.length) await Bun.sleep(1);
    expect([await shown(server), await isShownByHttp3(server, old)]).toEqual([contentOf(old), true]);

    tls.replace(renewed);
    clock.advance(RETIRE_MS);
    expect([await shown(server), server.port]).toEqual([contentOf(renewed), port]);
    for (const protocol of ["http1.1", "http2"] as const) {
      expect((await ask(server, protocol)).status).toBe(200);
    }
    gate.resolve();
    for (const answer of held) expect(await (await answer).text()).toBe("here\n");
    // HTTP/3 takes it up once nobody waits there.
    while (!(await isShownByHttp3(server, renewed))) clock.advance(5);
    expect(await isShownByHttp3(server, old)).toBe(false);
  });

  test("is taken up again and again while requests go on, and each that has come in is answered", async () => {
    const tls = new FakeTlsSource();
    const progress = { isOver: false, received: 0, answered: 0 };
    const clock = new FakeClock();
    const server = open({
      tls,
      clock,
      async fetch() {
        progress.received++;
        await pause(systemClock, 1);
        return new Response("here\n");
      },
    });
    const askOnAndOn = async (protocol: Protocol, keepalive: boolean): Promise<void> => {
      while (!progress.isOver) {
        const url = `https://127.0.0.1:${server.port}/`;
        try {
          const response = await fetch(url, { protocol, keepalive, tls: { rejectUnauthorized: false } });
          if ((await response.text()) === "here\n") progress.answered++;
        } catch {
          // A connection that had brought no request yet, whose end crossed it: clients make another one.
        }
      }
    };
    const clients = [true, false].flatMap((keepalive) => [
      askOnAndOn("http1.1", keepalive),
      askOnAndOn("http2", keepalive),
    ]);
    const untilMore = async (answers: number): Promise<void> => {
      const wanted = progress.answered + answers;
      while (progress.answered < wanted) await Bun.sleep(1);
    };
    let renewed = tls.current;
    for (let count = 1; count <= 10; count++) {
      tls.replace((renewed = createSelfSigned("localhost")));
      await untilMore(20);
      clock.advance(RETIRE_MS);
      await untilMore(20);
    }
    progress.isOver = true;
    await Promise.all(clients);
    expect(progress.answered).toBe(progress.received);
    expect(await shown(server)).toBe(contentOf(renewed));
  });

  test("asks clients of HTTP/1.1 to leave with an answer, and cuts none of them off meanwhile", async () => {
    const tls = new FakeTlsSource();
    const clock = new FakeClock();
    const server = open({ tls, clock });
    const client = await KeptConnection.open(server.port);
    expect(await client.ask()).not.toContain("connection: close");
    tls.replace(createSelfSigned("localhost"));
    expect(await client.ask()).toContain("connection: close");
    await client.closed;
  });

  test("opens no port again that has been closed", async () => {
    const tls = new FakeTlsSource();
    const server = open({ tls });
    await server.close(() => {});
    tls.replace(createSelfSigned("localhost"));
    expect(server.port).toBe(0);
  });

  test("does not keep a node from ending what it had begun with the old one", async () => {
    const tls = new FakeTlsSource();
    const closed = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const server = open({
      tls,
      async fetch() {
        begun.resolve();
        await closed.promise;
        return new Response("ended\n");
      },
    });
    const answer = ask(server, "http2");
    await begun.promise;
    tls.replace(createSelfSigned("localhost"));
    await server.close(closed.resolve);
    expect(await (await answer).text()).toBe("ended\n");
    await expect(ask(server, "http2")).rejects.toThrow();
  });
});
