/**
 * A small Low-Latency HLS origin for the tests of the load scripts: a live playlist of tiny parts, held reloads,
 * preload hints, and an endless MPEG-TS stream. Its faults can be switched on.
 */
import type { Server } from "bun";

const PARTS_PER_SEGMENT = 5;
const WINDOW_SEGMENTS = 6;
const PACKET_BYTES = 188;
const PID_PMT = 0x1000;
const PID_VIDEO = 0x100;

/** Which of its promises it breaks. */
export interface FakeOriginFaults {
  /** Answers held reloads at once. */
  readonly answersEarly?: boolean;
  /** Lists parts and segments that it does not have. */
  readonly losesMedia?: boolean;
  /** Leaves out every tenth packet of `stream.ts`. */
  readonly losesPackets?: boolean;
}

/** An origin on a free port of 127.0.0.1 that publishes a part each `partMs`. */
export class FakeHlsOrigin {
  readonly #partMs: number;
  readonly #faults: FakeOriginFaults;
  readonly #startWallMs: number;
  readonly #server: Server<undefined>;
  readonly #timer: Timer;
  #waiters: (() => void)[] = [];
  /** Parts published so far; some at once at the start. */
  #parts = PARTS_PER_SEGMENT * 4;
  readonly #streams = new Set<TsStream>();
  requests = 0;

  constructor(partMs: number, faults: FakeOriginFaults = {}) {
    this.#partMs = partMs;
    this.#faults = faults;
    this.#startWallMs = Date.now() - this.#parts * partMs;
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 30,
      fetch: (request) => this.#answer(new URL(request.url)),
    });
    this.#timer = setInterval(() => this.#publish(), partMs);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#publish();
    await this.#server.stop(true);
  }

  #publish(): void {
    this.#parts += 1;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
    for (const stream of this.#streams) stream.push();
  }

  async #answer(url: URL): Promise<Response> {
    this.requests += 1;
    if (url.pathname === "/index.m3u8")
      return new Response("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nmedia.m3u8\n");
    if (url.pathname === "/media.m3u8") return this.#answerPlaylist(url);
    if (url.pathname === "/stream.ts") return this.#answerStream();
    const index = Number(/^\/part(\d+)\.m4s$/.exec(url.pathname)?.[1] ?? Number.NaN);
    if (this.#faults.losesMedia === true) return new Response(null, { status: 404 });
    if (!Number.isNaN(index)) await this.#until(() => this.#parts > index);
    return new Response(new Uint8Array(1_000));
  }

  async #answerPlaylist(url: URL): Promise<Response> {
    const msn = url.searchParams.get("_HLS_msn");
    if (msn !== null && this.#faults.answersEarly !== true) {
      const index = Number(msn) * PARTS_PER_SEGMENT + Number(url.searchParams.get("_HLS_part") ?? 0);
      await this.#until(() => this.#parts > index);
    }
    return new Response(Bun.gzipSync(this.#playlist()), {
      headers: { "Content-Encoding": "gzip", "Content-Type": "application/vnd.apple.mpegurl" },
    });
  }

  async #until(isDone: () => boolean): Promise<void> {
    while (!isDone()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  #playlist(): string {
    const part = this.#partMs;
    const segments = Math.floor(this.#parts / PARTS_PER_SEGMENT);
    const first = Math.max(0, segments - WINDOW_SEGMENTS);
    const lines = [
      "#EXTM3U",
      "#EXT-X-VERSION:9",
      "#EXT-X-TARGETDURATION:1",
      `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${seconds(part * 3)}`,
      `#EXT-X-PART-INF:PART-TARGET=${seconds(part)}`,
      `#EXT-X-MEDIA-SEQUENCE:${first}`,
      '#EXT-X-MAP:URI="init.mp4"',
    ];
    for (let msn = first; msn <= segments; msn += 1) {
      const startMs = this.#startWallMs + msn * PARTS_PER_SEGMENT * part;
      lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(startMs).toISOString()}`);
      for (let index = msn * PARTS_PER_SEGMENT; index < (msn + 1) * PARTS_PER_SEGMENT; index += 1) {
        if (index >= this.#parts) break;
        const independent = index % PARTS_PER_SEGMENT === 0 ? ",INDEPENDENT=YES" : "";
        lines.push(`#EXT-X-PART:DURATION=${seconds(part)},URI="part${index}.m4s"${independent}`);
      }
      if (msn < segments) lines.push(`#EXTINF:${seconds(part * PARTS_PER_SEGMENT)},`, `segment${msn}.m4s`);
    }
    lines.push(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="part${this.#parts}.m4s"`);
    return `${lines.join("\n")}\n`;
  }

  #answerStream(): Response {
    const streams = this.#streams;
    let stream: TsStream | undefined;
    const losesPackets = this.#faults.losesPackets === true;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        stream = new TsStream((packets) => controller.enqueue(packets), losesPackets);
        streams.add(stream);
        stream.push();
      },
      cancel() {
        if (stream !== undefined) streams.delete(stream);
      },
    });
    return new Response(body, { headers: { "Content-Type": "video/mp2t" } });
  }
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(5);
}

/** PAT, PMT, then video packets with running counters. */
class TsStream {
  readonly #enqueue: (packets: Uint8Array) => void;
  readonly #losesPackets: boolean;
  #packets = 0;

  constructor(enqueue: (packets: Uint8Array) => void, losesPackets: boolean) {
    this.#enqueue = enqueue;
    this.#losesPackets = losesPackets;
  }

  push(): void {
    const packets: Uint8Array[] = [];
    for (let count = 0; count < 7; count += 1) {
      const index = this.#packets;
      this.#packets += 1;
      if (!this.#losesPackets || index % 10 !== 9) packets.push(tsPacket(index));
    }
    this.#enqueue(Buffer.concat(packets));
  }
}

/** Packet `index` of a stream that begins with PAT, PMT and a key frame. */
export function tsPacket(index: number): Uint8Array {
  const packet = new Uint8Array(PACKET_BYTES).fill(0xff);
  const pid = index === 0 ? 0 : index === 1 ? PID_PMT : PID_VIDEO;
  const counter = index < 2 ? 0 : (index - 2) & 0x0f;
  packet.set([0x47, (index < 3 ? 0x40 : 0) | (pid >> 8), pid & 0xff, 0x10 | counter]);
  // Pointer, table id, length, transport stream id, version, section numbers, program 1, PID of the PMT.
  if (index === 0)
    packet.set([0, 0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xe0 | (PID_PMT >> 8), PID_PMT & 0xff], 4);
  // An adaptation field with the random access indicator, then the start of a PES packet of video.
  if (index === 2) packet.set([0x30, 1, 0x40, 0, 0, 1, 0xe0], 3);
  return packet;
}
