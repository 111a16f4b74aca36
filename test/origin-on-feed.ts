/** A whole origin in this process, on real sockets and a feed that the test plays: for tests of what clients do to it. */
import { commonOptions, readConfig } from "#common/config.ts";
import { encodeFeedFigures, encodeFeedFrame, encodeFeedHeader } from "#common/formats/feed.ts";
import type { Run } from "#common/formats/frame.ts";
import { TESTSRC_FIGURES, testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { Lifecycle } from "#common/lifecycle.ts";
import { silentLog, type Log } from "#common/log.ts";
import type { TlsSource } from "#common/tls.ts";
import { originOptions } from "../origin/config.ts";
import { main } from "../origin/main.ts";
import { getText, metric, waitFor } from "./harness.ts";

/** Frames that make an origin ready: a whole segment and a part. */
const FRAMES_READY = 75;

export interface OriginOnFeedOptions {
  readonly tls?: TlsSource;
  readonly log?: Log;
  /** Flags beside those that the test's feed needs. */
  readonly args?: readonly string[];
}

/** An origin that serves one rendition, `64p`, of whatever is played. */
export class OriginOnFeed implements AsyncDisposable {
  readonly run: Run = testsrcRun();
  readonly url: string;
  readonly port: number;
  readonly #lifecycle: Lifecycle;
  readonly #feed: Feed;

  private constructor(parts: {
    readonly scheme: string;
    readonly port: number;
    readonly lifecycle: Lifecycle;
    readonly feed: Feed;
  }) {
    this.port = parts.port;
    this.url = `${parts.scheme}://127.0.0.1:${parts.port}`;
    this.#lifecycle = parts.lifecycle;
    this.#feed = parts.feed;
  }

  /** Resolves when it is ready. */
  static async open({
    tls,
    log = silentLog,
    args: more = [],
  }: OriginOnFeedOptions = {}): Promise<OriginOnFeed> {
    const lifecycle = new Lifecycle();
    const feed = new Feed(testsrcRun());
    lifecycle.onClose("feed", () => feed.close());
    const options = { ...commonOptions, ...originOptions };
    // The feed has a pace of its own, and parts are of six frames whatever is the default.
    const args = ["--origin-port=0", "--slate=off", "--part-duration=0.2", `--source=${feed.url}`, ...more];
    const config = readConfig(options, { args, env: {}, known: options });
    let port = 0;
    const onListening = (ports: Readonly<Record<string, number>>): void =>
      void (port = ports["origin-port"] ?? 0);
    await main({ config, lifecycle, log, tls, onListening });
    const scheme = tls === undefined ? "http" : "https";
    const origin = new OriginOnFeed({ scheme, port, lifecycle, feed });
    await waitFor("the origin to read the feed", () => feed.hasReader);
    origin.play(FRAMES_READY);
    await waitFor("the origin to be ready", async () => (await origin.get("/readyz")).status === 200);
    return origin;
  }

  /** Plays the next frames at once. */
  play(frames: number, padding = 0): void {
    this.#feed.play(frames, padding);
  }

  /** A request of this process's own client, which takes any certificate. */
  get(path: string, init: BunFetchRequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, { tls: { rejectUnauthorized: false }, ...init });
  }

  /** The media playlist's path with directives for the part after the newest one. */
  get nextReload(): string {
    const part = this.#feed.played / 6;
    const msn = this.run.startFrame / 60 + Math.floor(part / 10);
    return `/live/canvas/64p/index.m3u8?_HLS_msn=${msn}&_HLS_part=${Math.floor(part % 10)}`;
  }

  /** The value of one series. */
  async metric(series: string): Promise<number> {
    return metric(await getText(`${this.url}/metrics`), series);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lifecycle.closeAll(silentLog);
  }
}

/** A feed over HTTP whose frames come when the test says so. */
class Feed {
  readonly #run: Run;
  readonly #readers = new Set<ReadableStreamDefaultController<Uint8Array>>();
  readonly #server: Bun.Server<undefined>;
  /** Frames played. */
  played = 0;

  constructor(run: Run) {
    this.#run = run;
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      fetch: () => new Response(this.#open()),
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}/feed.mp4`;
  }

  get hasReader(): boolean {
    return this.#readers.size > 0;
  }

  /** With `padding`, frames are as long as those of a busy canvas. */
  play(count: number, padding: number): void {
    const frames = Array.from({ length: count }, () => {
      const frame = testsrcFrame(this.#run, this.played++);
      return encodeFeedFrame(this.#run, { ...frame, data: joinBytes([frame.data, filler(padding)]) });
    });
    const bytes = joinBytes(frames);
    for (const reader of this.#readers) reader.enqueue(bytes);
  }

  async close(): Promise<void> {
    await this.#server.stop(true);
  }

  /** The body for one more reader. */
  #open(): ReadableStream<Uint8Array> {
    let reader: ReadableStreamDefaultController<Uint8Array>;
    return new ReadableStream({
      start: (controller) => {
        reader = controller;
        reader.enqueue(joinBytes([encodeFeedHeader(this.#run), encodeFeedFigures(TESTSRC_FIGURES)]));
        this.#readers.add(reader);
      },
      cancel: () => void this.#readers.delete(reader),
    });
  }
}

/** A NAL unit of type 12, which decoders skip, with its length before it; nothing for 0. */
function filler(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length).fill(0x0c);
  if (length > 4) new DataView(bytes.buffer).setUint32(0, length - 4);
  return bytes;
}
