/** Origins in this process on sources of the `ffmpeg` program, or of bytes made before. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { commonOptions, readConfig } from "#common/config.ts";
import { Lifecycle } from "#common/lifecycle.ts";
import { type Log, silentLog } from "#common/log.ts";
import { originOptions } from "../origin/config.ts";
import { main } from "../origin/main.ts";

/** Arguments of `ffmpeg` for a test picture of `rate` frames a second. */
export function picture(rate: string, size = "160x90"): string[] {
  return ["-f", "lavfi", "-i", `testsrc2=size=${size}:rate=${rate}`];
}

/** Arguments for its encoding, a key frame each `group` frames. */
export function coding(group: number, ...more: readonly string[]): string[] {
  const x264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "ultrafast", "-sc_threshold", "0"];
  return [...x264, "-g", String(group), ...more, "-flush_packets", "1", "-f", "mpegts", "-"];
}

/** What `ffmpeg` makes of `args`, whole. */
export function makeStream(args: readonly string[]): Uint8Array {
  const { stdout, exitCode, stderr } = Bun.spawnSync(["ffmpeg", "-v", "error", ...args]);
  if (exitCode !== 0) throw new Error(`ffmpeg: ${stderr.toString()}`);
  return new Uint8Array(stdout);
}

/** A source over HTTP: each connection gets what `answer` says. */
export function openServer(
  answer: (request: Request) => Response | Promise<Response>,
): Bun.Server<undefined> {
  return Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 0, fetch: answer });
}

/** `ffmpeg` at its own pace, one for each connection. */
export function openLive(args: readonly string[]): Bun.Server<undefined> {
  return openServer((request) => {
    const program = Bun.spawn(["ffmpeg", "-v", "quiet", "-re", ...args], { stdout: "pipe" });
    request.signal.addEventListener("abort", () => program.kill(9));
    return new Response(program.stdout, { headers: { "content-type": "video/mp2t" } });
  });
}

/** An origin with its own folder, on free ports. */
export class TestOrigin implements AsyncDisposable {
  readonly url: string;
  readonly #lifecycle: Lifecycle;
  /** Removed at the end, if it is this one's own. */
  readonly #folder: string | undefined;

  private constructor(url: string, lifecycle: Lifecycle, folder: string | undefined) {
    this.url = url;
    this.#lifecycle = lifecycle;
    this.#folder = folder;
  }

  /** @param given `--data-dir`; default: a folder of its own */
  static async open(
    source: string,
    {
      args = [] as readonly string[],
      log = silentLog as Log,
      dataDir: given = undefined as string | undefined,
    } = {},
  ): Promise<TestOrigin> {
    const own = given === undefined ? mkdtempSync(join(tmpdir(), "spillway-origin-")) : undefined;
    const dataDir = given ?? own ?? "";
    const options = { ...commonOptions, ...originOptions };
    // What these tests pause is not to be filled.
    const all = ["--origin-port=0", "--slate=off", `--source=${source}`, `--data-dir=${dataDir}`, ...args];
    const lifecycle = new Lifecycle();
    let port = 0;
    await main({
      config: readConfig(options, { args: all, env: {}, known: options }),
      lifecycle,
      log,
      onListening: (ports) => void (port = ports["origin-port"] ?? 0),
    });
    return new TestOrigin(`http://127.0.0.1:${port}`, lifecycle, own);
  }

  /** URL of a file of the stream. */
  live(file: string): string {
    return `${this.url}/live/canvas/${file}`;
  }

  async text(file: string): Promise<string> {
    return (await fetch(this.live(file))).text();
  }

  /** A series' value, by its name with labels. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split("\n").find((one) => one.startsWith(`${name} `));
    return Number(line?.split(" ").at(-1) ?? Number.NaN);
  }

  async readiness(): Promise<string> {
    return (await (await fetch(`${this.url}/readyz`)).text()).trim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lifecycle.closeAll(silentLog);
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Waits for `condition`, up to half a minute. */
export async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const endMs = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > endMs) throw new Error(`Not within 30 s: ${what}`);
    await Bun.sleep(20);
  }
}
