/**
 * One viewer of a relayed `.ts`: a queue of shared blocks in front of a socket. Blocks are never copied for a
 * viewer; a queue past its bound is thrown away whole, and the viewer goes on at the next key frame with the
 * discontinuity marked.
 */
import { DirectStream } from "#common/direct-stream.ts";
import type { Counters } from "./counters.ts";
import type { Block } from "./gop-cutter.ts";
import { discontinuityPackets } from "./ts-packets.ts";

/** Resumption prefixes, made once for all viewers who go on with the same block. */
const prefixes = new WeakMap<Block, Uint8Array>();

export interface RelayViewerOptions {
  readonly signal: AbortSignal;
  readonly counters: Counters;
  readonly onGopLost: () => void;
  readonly onClose: () => void;
}

export interface OfferOptions {
  /** On the monotonic clock. */
  readonly nowMs: number;
  /** What may wait for one viewer. Past it, everything up to the next key frame is lost. */
  readonly queueBytesMax: number;
}

/** One viewer of a relayed path. */
export class RelayViewer {
  readonly #options: RelayViewerOptions;
  readonly #stream: DirectStream;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  /** True from a loss to the next key frame. */
  #isSkipping = false;
  /** Since when the socket has taken nothing although there was something, on the monotonic clock. */
  #stalledSinceMs: number | undefined;

  constructor(options: RelayViewerOptions) {
    this.#options = options;
    const { signal, counters, onClose } = options;
    this.#stream = new DirectStream({ signal, counters, onClose, onDrain: () => this.#drain() });
  }

  get body(): ReadableStream<Uint8Array> {
    return this.#stream.body;
  }

  /** Queues what a newcomer begins with. Nothing to begin with: the next key frame will do. */
  begin(gop: readonly Block[]): void {
    const [first] = gop;
    if (first === undefined) {
      this.#isSkipping = true;
      return;
    }
    this.#push(first.tables);
    for (const block of gop) this.#push(block.bytes);
    this.#drain();
  }

  /** Queues the next block, or drops it when the viewer is behind. */
  offer(block: Block, { nowMs, queueBytesMax }: OfferOptions): void {
    if (this.#isSkipping) {
      if (!block.isGopStart) return;
      this.#isSkipping = false;
      this.#push(resumption(block));
    }
    this.#push(block.bytes);
    this.#drain();
    if (this.#queue.length === 0) this.#stalledSinceMs = undefined;
    else this.#stalledSinceMs ??= nowMs;
    if (this.#queuedBytes <= queueBytesMax) return;
    this.#options.onGopLost();
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#isSkipping = true;
  }

  /** Sends a packet that says nothing, if nothing else is on its way. */
  fill(packet: Uint8Array): void {
    if (this.#queue.length === 0) this.#stream.write(packet);
  }

  /** What comes next does not join on to what is queued: the viewer goes on at the next key frame. */
  skipToKey(): void {
    this.#isSkipping = true;
  }

  /** For how long the socket has taken nothing, in milliseconds. */
  stalledMs(nowMs: number): number {
    return this.#stalledSinceMs === undefined ? 0 : nowMs - this.#stalledSinceMs;
  }

  close(): void {
    this.#stream.close();
  }

  #push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
  }

  #drain(): void {
    while (this.#stream.canWrite) {
      const bytes = this.#queue.shift();
      if (bytes === undefined) return;
      this.#queuedBytes -= bytes.length;
      this.#stalledSinceMs = undefined;
      this.#stream.write(bytes);
    }
  }
}

/** What goes before a block for those who missed what came before it: the marks, then tables where it has none. */
function resumption(block: Block): Uint8Array {
  const known = prefixes.get(block);
  if (known !== undefined) return known;
  const marked = new Uint8Array(block.tables.length + block.bytes.length);
  marked.set(block.tables);
  marked.set(block.bytes, block.tables.length);
  const marks = discontinuityPackets(marked);
  const prefix = new Uint8Array(marks.length + block.tables.length);
  prefix.set(marks);
  prefix.set(block.tables, marks.length);
  prefixes.set(block, prefix);
  return prefix;
}
