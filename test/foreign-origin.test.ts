/** An edge in front of an origin that is not ours: HLS that ffmpeg writes, served by nginx. Skipped without those two. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../bench/free-ports.ts";
import { flags, getText, isOk, Program, TemporaryFolder, waitFor } from "./harness.ts";

const NGINX = Bun.which("nginx");
const FFMPEG = Bun.which("ffmpeg");
const FFPROBE = Bun.which("ffprobe");
const PLAYLIST = "/hls/index.m3u8";
const VIEWERS = 30;
/** How often a viewer looks at the playlist of segments of a second. */
const LOOK_MS = 500;
const LOOKS = 8;

const isPossible = NGINX !== null && FFMPEG !== null && FFPROBE !== null;
if (!isPossible) console.warn("SKIPPED: no foreign origin, there is no nginx or ffmpeg on this machine");

/** nginx in the foreground, in one folder and on one port, with a line in its log for each request. */
function nginxConfig(folder: string, port: number): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join("\n");
  return `daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
events {}
http {
  ${temporary}
  types { application/vnd.apple.mpegurl m3u8; video/mp2t ts; }
  log_format lines '$status $request_uri';
  access_log ${folder}/access.log lines;
  server { listen 127.0.0.1:${port}; root ${folder}; }
}`;
}

const folder = new TemporaryFolder();
const [originPort = 0, edgePort = 0] = freePorts(2);
const base = `http://127.0.0.1:${edgePort}`;
const children: Bun.Subprocess[] = [];
let edge: Program | undefined;

function start(command: readonly string[], cwd: string): void {
  children.push(Bun.spawn([...command], { cwd, stdio: ["ignore", "ignore", "ignore"] }));
}

/** Requests that nginx answered, `status path` each. */
function asked(): string[] {
  return readFileSync(join(folder.path, "access.log"), "utf8").trim().split("\n");
}

function startEncoder(): void {
  const picture = ["-re", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=25"];
  const video = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-keyint_min", "25"];
  const hls = ["-f", "hls", "-hls_time", "1", "-hls_list_size", "6", "index.m3u8"];
  start([FFMPEG ?? "", "-v", "error", ...picture, ...video, ...hls], join(folder.path, "hls"));
}

beforeAll(async () => {
  if (!isPossible) return;
  chmodSync(folder.path, 0o755);
  const config = join(folder.path, "nginx.conf");
  await Bun.write(config, nginxConfig(folder.path, originPort));
  await Bun.write(join(folder.path, "hls", "still.txt"), "a file\n");
  start([NGINX, "-c", config], folder.path);
  startEncoder();
  const options = {
    upstream: `http://127.0.0.1:${originPort}`,
    "edge-port": edgePort,
    "edge-bind": "127.0.0.1",
  };
  edge = new Program(["edge", "--proxy-all", ...flags(options)]);
  await waitFor("the edge to be ready", () => isOk(`${base}/readyz`));
  await waitFor("some segments", async () => segmentsOf(await getText(base + PLAYLIST)).length >= 4);
}, 60_000);

afterAll(async () => {
  await edge?.[Symbol.asyncDispose]();
  for (const child of children) {
    child.kill("SIGTERM");
    await child.exited;
  }
  folder[Symbol.dispose]();
});

function segmentsOf(playlist: string): string[] {
  return playlist.split("\n").filter((line) => line.endsWith(".ts"));
}

/** Looks at the playlist again and again, fetches each new segment, and returns them by name. */
async function watch(): Promise<ReadonlyMap<string, number>> {
  const digests = new Map<string, number>();
  for (let look = 0; look < LOOKS; look++) {
    for (const name of segmentsOf(await getText(base + PLAYLIST))) {
      if (digests.has(name)) continue;
      const response = await fetch(`${base}/hls/${name}`);
      expect([response.status, response.headers.get("content-type")]).toEqual([200, "video/mp2t"]);
      digests.set(name, Number(Bun.hash.crc32(await response.arrayBuffer())));
    }
    await Bun.sleep(LOOK_MS);
  }
  return digests;
}

describe.skipIf(!isPossible)("a foreign origin", () => {
  test("sees one viewer, however many watch", async () => {
    const before = asked().length;
    const watched = await Promise.all(Array.from({ length: VIEWERS }, watch));
    const names = new Set(watched.flatMap((digests) => [...digests.keys()]));
    expect(names.size).toBeGreaterThanOrEqual(6);
    for (const name of names) {
      const file = readFileSync(join(folder.path, "hls", name));
      const digest = Bun.hash.crc32(file);
      expect(new Set(watched.map((digests) => digests.get(name) ?? digest))).toEqual(new Set([digest]));
    }
    const requests = asked().slice(before);
    for (const name of names) expect(requests.filter((line) => line === `200 /hls/${name}`).length).toBe(1);
    const looks = requests.filter((line) => line.endsWith(PLAYLIST)).length;
    // One look every half second, and one at either end.
    expect(looks).toBeLessThanOrEqual(LOOKS + 4);
    expect(looks).toBeGreaterThan(2);
  }, 60_000);

  test("is played by ffprobe through the edge, with ranges and conditions answered from memory", async () => {
    const probe = Bun.spawnSync([
      FFPROBE ?? "",
      ..."-v error -show_entries stream=codec_name,width,height -of csv=p=0".split(" "),
      base + PLAYLIST,
    ]);
    expect(probe.stdout.toString().trim().split("\n")[0]).toBe("h264,160,90");
    expect(probe.stderr.toString()).toBe("");
    const whole = await fetch(`${base}/hls/still.txt`);
    expect(await whole.text()).toBe("a file\n");
    const etag = whole.headers.get("etag") ?? "";
    const before = asked().length;
    const part = await fetch(`${base}/hls/still.txt`, { headers: { range: "bytes=2-5" } });
    expect([part.status, await part.text()]).toEqual([206, "file"]);
    expect((await fetch(`${base}/hls/still.txt`, { headers: { "if-none-match": etag } })).status).toBe(304);
    expect(
      asked()
        .slice(before)
        .filter((line) => line.includes("still")),
    ).toEqual([]);
  }, 60_000);

  test("is decoded through the edge by ffmpeg without an error", async () => {
    const strict = ["-xerror", "-err_detect", "explode", "-i", base + PLAYLIST, "-t", "5"];
    const player = Bun.spawn([FFMPEG ?? "", "-v", "error", ...strict, "-f", "null", "-"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    const text = await new Response(player.stderr).text();
    expect([await player.exited, text]).toEqual([0, ""]);
  }, 60_000);

  test("passes errors and directories on as they are", async () => {
    expect((await fetch(`${base}/hls/none.ts`)).status).toBe(404);
    const redirect = await fetch(`${base}/hls`, { redirect: "manual" });
    expect([redirect.status, redirect.headers.get("location")]).toEqual([301, "/hls/"]);
  });
});
