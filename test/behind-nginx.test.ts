/** An edge behind nginx, configured as the README says: viewers count by their own address, and nothing is held back. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { FakeLiveOrigin } from "./fake-live-origin.ts";
import { freePorts } from "../bench/free-ports.ts";
import { flags, getText, isOk, metric, Program, TemporaryFolder, waitFor } from "./harness.ts";

const NGINX = Bun.which("nginx");
const PLAYLIST = "/live/canvas/720p/index.m3u8";
const MEDIA = "/live/canvas/720p/aabbccdd-100.m4s";
/** As `--viewer-requests-per-prefix`; those of two seconds may come at once. */
const REQUESTS_PER_SECOND = 2;

if (NGINX === null) console.warn("SKIPPED: no edge behind nginx, there is no nginx on this machine");

const folder = new TemporaryFolder();
const [frontPort = 0, edgePort = 0] = freePorts(2);
const front = `http://127.0.0.1:${frontPort}`;
const origin = new FakeLiveOrigin();
let nginx: Bun.Subprocess | undefined;
let edge: Program | undefined;

/** The README's `location`, in nginx with one process. */
async function nginxConfig(): Promise<string> {
  const readme = await Bun.file(join(import.meta.dir, "..", "README.md")).text();
  const location = /^location \/ \{\n.*?^\}$/ms.exec(readme)?.[0] ?? "the README has none";
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder.path}/${name};`)
    .join("\n");
  return `daemon off; master_process off; pid ${folder.path}/nginx.pid; error_log ${folder.path}/error.log;
events {}
http {
  ${temporary}
  access_log off;
  server { listen 127.0.0.1:${frontPort}; ${location.replace("10.1.0.2:8081", `127.0.0.1:${edgePort}`)} }
}`;
}

beforeAll(async () => {
  if (NGINX === null) return;
  chmodSync(folder.path, 0o755);
  const config = join(folder.path, "nginx.conf");
  await Bun.write(config, await nginxConfig());
  nginx = Bun.spawn([NGINX, "-c", config], { stdio: ["ignore", "ignore", "ignore"] });
  const settings = {
    "edge-port": edgePort,
    upstream: origin.url,
    "trusted-proxies": "127.0.0.1",
    "viewer-requests-per-prefix": REQUESTS_PER_SECOND,
  };
  edge = new Program(["edge", ...flags(settings)]);
  await waitFor("nginx and the edge to be ready", () => isOk(`${front}/readyz`));
});

afterAll(async () => {
  await edge?.[Symbol.asyncDispose]();
  nginx?.kill("SIGTERM");
  await nginx?.exited;
  await origin[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** Status of a request that comes to nginx from an address of this machine. */
function askFrom(localAddress: string, path: string, headers: Record<string, string> = {}): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const options = { host: "127.0.0.1", port: frontPort, path, localAddress, headers, agent: false };
  const request = http.get(options, (response) => {
    response.resume();
    response.on("end", () => resolve(response.statusCode ?? 0));
  });
  request.on("error", reject);
  return promise;
}

describe.skipIf(NGINX === null)("behind nginx", () => {
  test("each viewer has a limit of its own, whatever else he claims to be", async () => {
    const statuses: number[] = [];
    for (let count = 0; count < 8; count++) {
      statuses.push(await askFrom("127.0.0.2", MEDIA, { "x-forwarded-for": `192.0.2.${count}` }));
    }
    expect(statuses.slice(0, 2 * REQUESTS_PER_SECOND)).toEqual([200, 200, 200, 200]);
    expect(statuses.slice(-2)).toEqual([503, 503]);
    expect(await askFrom("127.0.0.3", MEDIA)).toBe(200);
    const page = await getText(`http://127.0.0.1:${edgePort}/metrics`);
    expect(metric(page, 'spillway_edge_refused_total{cause="rate"}')).toBeGreaterThanOrEqual(2);
  });

  test("a held playlist is answered as soon as its part is there, and players count by address", async () => {
    for (const address of ["127.0.0.4", "127.0.0.5"]) {
      expect(await askFrom(address, PLAYLIST)).toBe(200);
      expect(await askFrom(address, `${PLAYLIST}?${origin.next}`)).toBe(200);
    }
    const page = await getText(`http://127.0.0.1:${edgePort}/metrics`);
    expect(metric(page, 'spillway_edge_viewers{kind="llhls"}')).toBe(2);
  });

  test("endless answers flow, and end with the viewer", async () => {
    const leaving = new AbortController();
    const { body } = await fetch(`${front}/live/canvas/stream.ts`, { signal: leaving.signal });
    let bytes = 0;
    for await (const chunk of body ?? []) {
      bytes += chunk.length;
      if (bytes > 20_000) break;
    }
    leaving.abort();
    await waitFor("the viewer to be gone", async () => {
      return (
        metric(await getText(`http://127.0.0.1:${edgePort}/metrics`), 'spillway_edge_viewers{kind="ts"}') ===
        0
      );
    });
  });
});
