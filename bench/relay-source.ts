/**
 * The upstream of a relay under measurement: an endless MPEG-TS of a constant rate, a key frame a second, whose packets
 * have true counters, clock references and time stamps. Frames go out at their times, as an encoder makes them.
 */
import type { Clock } from "#common/clock.ts";
import { DirectStream } from "#common/direct-stream.ts";
import { TESTSRC_FPS, testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { createTsMuxer, type TsMuxer } from "#common/formats/mpegts.ts";
import { BITS_PER_BYTE, framesToMs } from "#common/units.ts";

/** NAL unit of filler data (ISO/IEC 14496-10 table 7-1), which decoders throw away. */
const NAL_FILLER = 12;
const LENGTH_BYTES = 4;
/** Of a packet's 188 bytes 184 carry the frame. */
const PAYLOAD_SHARE = 184 / 188;

/** Answers every path with the stream, from the next key frame on. */
export class RelaySource {
  /** Bytes of the stream so far, whoever reads. */
  bytes = 0;
  readonly #clock: Clock;
  readonly #server: Bun.Server<undefined>;
  readonly #readers = new Map<DirectStream, "waiting" | "reading">();
  readonly #run = testsrcRun();
  readonly #muxer: TsMuxer;
  readonly #frameBytes: number;
  readonly #startMs: number;
  #index = 0;
  #cancel: (() => void) | undefined;

  constructor(options: { readonly clock: Clock; readonly port: number; readonly megabits: number }) {
    this.#clock = options.clock;
    const [rendition] = this.#run.renditions;
    if (rendition === undefined) throw new Error("the test picture has a rendition");
    this.#muxer = createTsMuxer({ rendition, fps: TESTSRC_FPS });
    this.#frameBytes = Math.round(((options.megabits * 1e6) / BITS_PER_BYTE / TESTSRC_FPS) * PAYLOAD_SHARE);
    this.#server = Bun.serve({
      port: options.port,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      fetch: (request) => this.#answer(request),
    });
    this.#startMs = this.#clock.monotonicMs();
    this.#send();
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  async close(): Promise<void> {
    this.#cancel?.();
    await this.#server.stop(true);
  }

  #answer(request: Request): Response {
    const { pathname } = new URL(request.url);
    if (!pathname.endsWith(".ts")) {
      return new Response("ready\n", { status: pathname === "/readyz" ? 200 : 404 });
    }
    const stream: DirectStream = new DirectStream({
      counters: { sentBytes: 0 },
      signal: request.signal,
      onDrain: () => void (this.#readers.has(stream) || this.#readers.set(stream, "waiting")),
      onClose: () => void this.#readers.delete(stream),
    });
    return new Response(stream.body, { headers: { "content-type": "video/mp2t" } });
  }

  /** All frames that are due, as one write for each reader. */
  #send(): void {
    const elapsedMs = this.#clock.monotonicMs() - this.#startMs;
    while (framesToMs(this.#index, TESTSRC_FPS) <= elapsedMs) this.#sendFrame();
    const dueMs = this.#startMs + framesToMs(this.#index, TESTSRC_FPS) - this.#clock.monotonicMs();
    this.#cancel = this.#clock.after(Math.max(0, dueMs), () => this.#send());
  }

  #sendFrame(): void {
    const { isKey, data } = testsrcFrame(this.#run, this.#index);
    const filler = new Uint8Array(Math.max(LENGTH_BYTES + 1, this.#frameBytes - data.length)).fill(0xff);
    new DataView(filler.buffer).setUint32(0, filler.length - LENGTH_BYTES);
    filler[LENGTH_BYTES] = NAL_FILLER;
    const bytes = this.#muxer.muxFrame({ index: this.#index, isKey, data: joinBytes([data, filler]) });
    this.#index++;
    this.bytes += bytes.length;
    for (const [reader, state] of this.#readers) {
      if (state === "waiting" && !isKey) continue;
      this.#readers.set(reader, "reading");
      // A reader that takes less than the stream is not what is measured: it loses its place.
      if (reader.canWrite) reader.write(bytes);
      else reader.abort();
    }
  }
}
