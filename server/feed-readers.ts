/**
 * Endless responses: the same chunks to every reader, each at once. What a reader cannot take waits in a queue of its
 * own, by reference; one that stays behind for too long is cut off and nobody else notices. Under both feeds.
 */
import type { Log } from "#common/log.ts";
import { MEBIBYTE } from "#common/units.ts";

/** Live bytes that may wait for one reader, beyond what it got at the start: 20 s of a 6 Mbit/s feed. */
export const READER_QUEUE_BYTES_MAX = 16 * MEBIBYTE;
/** More readers are refused with 503. A feed has a handful: its origins. */
export const READERS_MAX = 64;

export interface FeedReadersOptions {
  /** Name of the stream in log lines, such as `/feed.mp4`. */
  readonly name: string;
  readonly contentType: string;
  readonly log: Log;
  /** For tests. Default {@link READER_QUEUE_BYTES_MAX}. */
  readonly queueBytesMax?: number;
}

/** One response being written. */
interface Reader {
  readonly controller: ReadableStreamDirectController;
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
  readonly #queueBytesMax: number;
  readonly #readers = new Set<Reader>();
  #droppedReaders = 0;
  #sentBytes = 0;

  constructor(options: FeedReadersOptions) {
    this.#options = options;
    this.#queueBytesMax = options.queueBytesMax ?? READER_QUEUE_BYTES_MAX;
  }

  /** Open now. */
  get count(): number {
    return this.#readers.size;
  }

  /** Cut off for being slow, since start. */
  get droppedReaders(): number {
    return this.#droppedReaders;
  }

  /** Handed to the sockets of all readers, since start. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** A response that begins with the chunks of `opening`, taken when its body starts, and goes on with every {@link FeedReaders.send}. */
  serve(opening: () => readonly Uint8Array[]): Response {
    if (this.#readers.size >= READERS_MAX) return refusal("too many readers");
    let reader: Reader | undefined;
    const source: Bun.DirectUnderlyingSource<Uint8Array> = {
      type: "direct",
      pull: (controller) => {
        reader = this.#add(controller, opening());
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

  #add(controller: ReadableStreamDirectController, opening: readonly Uint8Array[]): Reader {
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
    const result = reader.controller.write(chunk);
    if (result === 0) {
      this.#remove(reader);
      return;
    }
    this.#sentBytes += chunk.length;
    void reader.controller.flush();
    if (typeof result === "number") return;
    reader.isBlocked = true;
    result.then(
      () => this.#drain(reader),
      () => this.#remove(reader),
    );
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
    void reader.controller.end();
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
