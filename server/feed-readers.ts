/**
 * Endless responses: the same chunks to every reader, each at once. What a reader cannot take waits in a queue of its
 * own, by reference; one that stays behind for too long is cut off and nobody else notices. Under both feeds.
 */
import type { Log } from "#common/log.ts";
import { MEBIBYTE } from "#common/units.ts";

/** How much of the stream may wait for one reader, beyond what it got at the start, and the least that may. */
const READER_QUEUE_SECONDS = 20;
const READER_QUEUE_BYTES_MIN = 16 * MEBIBYTE;
/** More readers are refused with 503. A feed has a handful: its origins. */
export const READERS_MAX = 64;
const BITS_PER_BYTE = 8;

/** Bytes that may wait for one reader of a stream. Chunks wait by reference: many slow readers cost what one does. */
export function queueBytesFor(bitsPerSecond: number): number {
  return Math.max(READER_QUEUE_BYTES_MIN, (bitsPerSecond * READER_QUEUE_SECONDS) / BITS_PER_BYTE);
}

/** What is used of Bun's controller of a direct stream. Each may throw, or reject, where the peer has just gone. */
export type FeedController = Pick<ReadableStreamDirectController, "write" | "flush" | "end">;

export interface FeedReadersOptions {
  /** Name of the stream in log lines, such as `/feed.mp4`. */
  readonly name: string;
  readonly contentType: string;
  readonly log: Log;
  /** For tests. Default: what {@link queueBytesFor} gives for the bit rate of {@link FeedReaders.setBitRate}. */
  readonly queueBytesMax?: number;
}

/** One response being written. */
interface Reader {
  readonly controller: FeedController;
  /** Resolving it ends the response. */
  readonly done: PromiseWithResolvers<void>;
  readonly queue: Uint8Array[];
  /** Of the queue, without what is left of the opening. */
  liveBytes: number;
  /** Chunks of the opening that still stand at the front of the queue. */
  openingChunks: number;
  isBlocked: boolean;
}

/** All readers of one stream. */
export class FeedReaders {
  readonly #options: FeedReadersOptions;
  #queueBytesMax: number;
  readonly #readers = new Set<Reader>();
  #droppedReaders = 0;
  #refusedReaders = 0;
  #sentBytes = 0;

  constructor(options: FeedReadersOptions) {
    this.#options = options;
    this.#queueBytesMax = options.queueBytesMax ?? queueBytesFor(0);
  }

  /** The highest bit rate of the stream from here on: decides how much may wait for a reader. */
  setBitRate(bitsPerSecond: number): void {
    this.#queueBytesMax = this.#options.queueBytesMax ?? queueBytesFor(bitsPerSecond);
  }

  /** Open now. */
  get count(): number {
    return this.#readers.size;
  }

  /** Cut off for being slow, since start. */
  get droppedReaders(): number {
    return this.#droppedReaders;
  }

  /** Refused because there were too many, since start. */
  get refusedReaders(): number {
    return this.#refusedReaders;
  }

  /** Handed to the sockets of all readers, since start. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** A response that begins with the chunks of `opening`, taken when its body starts, and goes on with every {@link FeedReaders.send}. */
  serve(opening: () => readonly Uint8Array[]): Response {
    if (this.#readers.size >= READERS_MAX) {
      this.#refusedReaders++;
      return refusal("too many readers");
    }
    let reader: Reader | undefined;
    const source: Bun.DirectUnderlyingSource<Uint8Array> = {
      type: "direct",
      pull: (controller) => {
        reader = this.#open(controller, opening());
        return reader.done.promise;
      },
      cancel: () => {
        if (reader !== undefined) this.#remove(reader);
      },
    };
    // The DOM's types, which stand before Bun's, know no direct streams.
    const body = new ReadableStream(source as unknown as UnderlyingSource<Uint8Array>);
    return new Response(body, {
      headers: { "content-type": this.#options.contentType, "cache-control": "no-store" },
    });
  }

  /** Adds what {@link FeedReaders.serve} adds, without a response around it. Resolves when it has ended, however it did. */
  add(controller: FeedController, opening: readonly Uint8Array[]): Promise<void> {
    return this.#open(controller, opening).done.promise;
  }

  /** Gives `chunk` to every reader. It must not change afterwards. */
  send(chunk: Uint8Array): void {
    for (const reader of this.#readers) {
      if (!reader.isBlocked) {
        this.#write(reader, chunk);
        continue;
      }
      reader.queue.push(chunk);
      reader.liveBytes += chunk.length;
      if (reader.liveBytes > this.#queueBytesMax) this.#drop(reader);
    }
  }

  /** Ends every response. */
  endAll(): void {
    for (const reader of this.#readers) this.#end(reader);
  }

  #open(controller: FeedController, opening: readonly Uint8Array[]): Reader {
    const reader: Reader = {
      controller,
      done: Promise.withResolvers<void>(),
      queue: [...opening],
      liveBytes: 0,
      openingChunks: opening.length,
      isBlocked: false,
    };
    this.#readers.add(reader);
    this.#drain(reader);
    return reader;
  }

  #drain(reader: Reader): void {
    reader.isBlocked = false;
    let taken = 0;
    while (taken < reader.queue.length && !reader.isBlocked && this.#readers.has(reader)) {
      const chunk = reader.queue[taken++];
      if (chunk === undefined) break;
      if (reader.openingChunks > 0) reader.openingChunks--;
      else reader.liveBytes -= chunk.length;
      this.#write(reader, chunk);
    }
    reader.queue.splice(0, taken);
  }

  /** Every chunk leaves at once: a frame that waited for the next would be late by a frame. */
  #write(reader: Reader, chunk: Uint8Array): void {
    const result = this.#attempt(reader, ({ controller }) => controller.write(chunk));
    // 0 tells that the stream is closed; undefined, that the peer went a moment ago.
    if (result === 0 || result === undefined) {
      this.#remove(reader);
      return;
    }
    this.#sentBytes += chunk.length;
    this.#attempt(reader, ({ controller }) => controller.flush());
    if (typeof result === "number") return;
    reader.isBlocked = true;
    result.then(
      () => this.#drain(reader),
      () => this.#remove(reader),
    );
  }

  /** Bun throws or rejects where the peer went a moment ago, which is an end like any other: the reader goes. */
  #attempt(
    reader: Reader,
    act: (reader: Reader) => number | Promise<number>,
  ): number | Promise<number> | undefined {
    try {
      const result = act(reader);
      if (typeof result === "object") result.catch(() => this.#remove(reader));
      return result;
    } catch {
      this.#remove(reader);
      return undefined;
    }
  }

  #drop(reader: Reader): void {
    this.#droppedReaders++;
    this.#options.log.warn(`A reader of ${this.#options.name} was too slow and is cut off`, {
      waitingBytes: reader.liveBytes,
    });
    this.#end(reader);
  }

  #end(reader: Reader): void {
    this.#remove(reader);
    this.#attempt(reader, ({ controller }) => controller.end());
  }

  #remove(reader: Reader): void {
    if (!this.#readers.delete(reader)) return;
    reader.queue.length = 0;
    reader.done.resolve();
  }
}

/** The answer where a stream cannot be had now. */
export function refusal(reason: string): Response {
  return new Response(`${reason}\n`, {
    status: 503,
    headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store", "retry-after": "1" },
  });
}
