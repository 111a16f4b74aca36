/**
 * An edge in front of an origin that is none of ours: ffmpeg writes HLS into a folder, nginx serves it, and the edge,
 * with `--proxy-all`, caches what nginx says may be cached.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { flags, freePorts, getText, isOk, Program, TemporaryFolder, waitFor } from "./harness.ts";

const hasPrograms = Bun.which("nginx") !== null && Bun.which("ffmpeg") !== null;
const VIEWERS = 12;
const SEGMENTS = 6;

/** A program that runs until the test is over. */
class Running implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"ignore", "ignore", "pipe">;

  constructor(command: readonly string[]) {
    this.#child = Bun.spawn([...command], { stdio: ["ignore", "ignore", "pipe"] });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

/** Live HLS of a test picture: segments of a second, of which the last six are listed and kept a while longer. */
function writeHls(folder: string): Running {
  const picture = ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"];
  const coding = [
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-g",
    "25",
    "-keyint_min",
    "25",
    "-sc_threshold",
    "0",
  ];
  const hls = ["-f", "hls", "-hls_time", "1", "-hls_list_size", "6", "-hls_delete_threshold", "20"];
  const files = ["-hls_flags", "delete_segments+temp_file", join(folder, "live.m3u8")];
  return new Running(["ffmpeg", "-v", "error", ...picture, ...coding, ...hls, ...files]);
}

/** nginx as people set it up for HLS: playlists for half a target duration, segments for a minute, gzip for playlists. */
async function serveFolder(
  folder: string,
  { root, port }: { readonly root: string; readonly port: number },
): Promise<Running> {
  const own = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  await Bun.write(
    join(folder, "nginx.conf"),
    `daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 256; }
http {
  ${own.join(" ")}
  types { application/vnd.apple.mpegurl m3u8; video/mp2t ts; }
  log_format asked '$request_method $uri $status'; access_log ${folder}/asked.log asked;
  server {
    listen 127.0.0.1:${port}; root ${root};
    location ~ m3u8$ { add_header Cache-Control "max-age=1"; gzip on; gzip_types application/vnd.apple.mpegurl; gzip_proxied any; gzip_min_length 1; }
    location ~ ts$ { add_header Cache-Control "max-age=60"; }
  }
}`,
  );
  return new Running([
    "nginx",
    "-e",
    join(folder, "error.log"),
    "-p",
    folder,
    "-c",
    join(folder, "nginx.conf"),
  ]);
}

/** What a simple player does: reload the playlist, fetch what it does not have. Resolves with the segments' digests. */
async function watch(base: string, segments: number): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  await waitFor(`${segments} segments through ${base}`, async () => {
    const names = (await getText(`${base}/live.m3u8`)).match(/^[^#\s].*$/gm) ?? [];
    for (const name of names.slice(-3)) {
      if (digests.has(name)) continue;
      const answer = await fetch(`${base}/${name}`);
      const bytes = await answer.arrayBuffer();
      expect([name, answer.status, answer.headers.get("content-type")]).toEqual([name, 200, "video/mp2t"]);
      digests.set(name, Bun.hash(bytes).toString(36));
    }
    return digests.size >= segments;
  });
  return digests;
}

test.skipIf(!hasPrograms)(
  "E1, E11, E19: an edge serves ffmpeg's HLS behind nginx to many viewers, and asks for each segment once",
  async () => {
    using folder = new TemporaryFolder();
    const [root, conf] = [join(folder.path, "hls"), join(folder.path, "nginx")];
    for (const path of [root, conf]) mkdirSync(path);
    const [nginxPort = 0, edgePort = 0] = freePorts(2);
    const [upstream, edge] = [`http://127.0.0.1:${nginxPort}`, `http://127.0.0.1:${edgePort}`];
    await using _ffmpeg = writeHls(root);
    await using _nginx = await serveFolder(conf, { root, port: nginxPort });
    await using _edge = new Program(["edge", "--proxy-all", ...flags({ "edge-port": edgePort, upstream })]);
    await waitFor("the playlist through the edge", () => isOk(`${edge}/live.m3u8`));

    const seen = await Promise.all(Array.from({ length: VIEWERS }, () => watch(edge, SEGMENTS)));
    const asked = (await Bun.file(join(conf, "asked.log")).text()).split("\n");
    const [first] = seen;
    for (const [name, digest] of first ?? []) {
      for (const other of seen) expect(other.get(name) ?? digest).toBe(digest);
      const [direct, times] = [
        await fetch(`${upstream}/${name}`),
        asked.filter((line) => line === `GET /${name} 200`),
      ];
      expect([name, Bun.hash(await direct.arrayBuffer()).toString(36), times.length]).toEqual([
        name,
        digest,
        1,
      ]);
    }
    // Each playlist lives a second; twelve viewers reload it all the time.
    const reloads = asked.filter((line) => /^GET \/live\.m3u8 (?:200|304)$/.test(line)).length;
    expect(reloads).toBeLessThan(3 * SEGMENTS);

    const [name = ""] = [...(first?.keys() ?? [])].slice(-1);
    const part = await fetch(`${edge}/${name}`, { headers: { range: "bytes=188-375" } });
    expect([
      part.status,
      (await part.bytes()).length,
      part.headers.get("content-range")?.slice(0, 14),
    ]).toEqual([206, 188, "bytes 188-375/"]);
    const etag = (await fetch(`${edge}/${name}`)).headers.get("etag") ?? "";
    expect((await fetch(`${edge}/${name}`, { headers: { "if-none-match": etag } })).status).toBe(304);
    const missing = await fetch(`${edge}/nothing.ts`);
    expect(missing.status).toBe(404);
    expect((await fetch(`${edge}/${name}`, { method: "DELETE" })).status).toBe(405);
  },
);

test.skipIf(!hasPrograms)(
  "an edge serves ffmpeg's HLS behind nginx so that ffmpeg decodes it without an error",
  async () => {
    using folder = new TemporaryFolder();
    const [root, conf] = [join(folder.path, "hls"), join(folder.path, "nginx")];
    for (const path of [root, conf]) mkdirSync(path);
    const [nginxPort = 0, edgePort = 0] = freePorts(2);
    const edge = `http://127.0.0.1:${edgePort}`;
    await using _ffmpeg = writeHls(root);
    await using _nginx = await serveFolder(conf, { root, port: nginxPort });
    await using _edge = new Program([
      "edge",
      "--proxy-all",
      ...flags({ "edge-port": edgePort, upstream: `http://127.0.0.1:${nginxPort}` }),
    ]);
    await waitFor("the playlist through the edge", () => isOk(`${edge}/live.m3u8`));
    const strict = ["-xerror", "-err_detect", "explode"];
    const player = Bun.spawn(
      ["ffmpeg", "-v", "error", ...strict, "-i", `${edge}/live.m3u8`, "-t", "6", "-f", "null", "-"],
      {
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    const text = await new Response(player.stderr).text();
    expect([await player.exited, text]).toEqual([0, ""]);
  },
);
