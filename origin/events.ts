/** `/live/<stream>/events`: the figures of canvas and stream, once a second, to everyone who listens. */
// HTML Living Standard 9.2 (server-sent events)
import type { Clock } from "#common/clock.ts";
import { DirectStream } from "#common/direct-stream.ts";
import { encodeFigures, type StreamFigures } from "#common/formats/events.ts";
import { MILLISECONDS_PER_SECOND } from "#common/units.ts";
import { EVENTS_BLOCKED_MS_MAX } from "./config.ts";
import type { EdgeRegistry } from "./edges.ts";
import type { LiveStream } from "./live-stream.ts";

/** The figures now. Before the first run the canvas is 0 by 0. */
export function streamFigures(stream: LiveStream, registry: EdgeRegistry, clock: Clock): StreamFigures {
  const { figures, isLive } = stream;
  const size = stream.run?.renditions[0];
  return {
    timeMs: Math.round(clock.wallMs()),
    canvas: {
      width: size?.width ?? 0,
      height: size?.height ?? 0,
      pixelflutPort: figures?.pixelflutPort ?? 0,
      pixels: figures?.pixels ?? 0,
      pixelsPerSecond: isLive ? (figures?.pixelsPerSecond ?? 0) : 0,
      bitsPerSecond: isLive ? (figures?.bitsPerSecond ?? 0) : 0,
      players: isLive ? (figures?.connections ?? 0) : 0,
    },
    stream: { viewers: registry.viewers, edges: registry.count, isLive },
  };
}

interface Reader {
  readonly stream: DirectStream;
  /** When it last took an event. */
  takenMs: number;
}

/** Sends one event a second to all readers. A slow one misses events; one that takes nothing for long is dropped. */
export class EventFeed {
  readonly #clock: Clock;
  readonly #figures: () => StreamFigures;
  readonly #readers = new Set<Reader>();
  readonly #counters = { sentBytes: 0 };
  #cancel: (() => void) | undefined;
  /** Readers dropped because they took nothing. */
  droppedReaders = 0;

  constructor({ clock, figures }: { readonly clock: Clock; readonly figures: () => StreamFigures }) {
    this.#clock = clock;
    this.#figures = figures;
  }

  get readers(): number {
    return this.#readers.size;
  }

  /** Sent to all readers. */
  get sentBytes(): number {
    return this.#counters.sentBytes;
  }

  /** The body of one reader's response: an event at once, then one a second. It ends with `signal`, the request's. */
  open(signal?: AbortSignal): ReadableStream<Uint8Array> {
    let reader: Reader | undefined;
    const stream: DirectStream = new DirectStream({
      counters: this.#counters,
      onDrain: () => {
        if (reader !== undefined) return;
        reader = { stream, takenMs: this.#clock.monotonicMs() };
        this.#readers.add(reader);
        stream.write(encodeFigures(this.#figures()));
        this.#cancel ??= this.#clock.after(MILLISECONDS_PER_SECOND, () => this.#tick());
      },
      onClose: () => {
        if (reader !== undefined) this.#readers.delete(reader);
      },
      ...(signal === undefined ? {} : { signal }),
    });
    return stream.body;
  }

  /** Ends all readers. */
  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    for (const { stream } of this.#readers) stream.close();
  }

  #tick(): void {
    this.#cancel = undefined;
    if (this.#readers.size === 0) return;
    this.#cancel = this.#clock.after(MILLISECONDS_PER_SECOND, () => this.#tick());
    const text = encodeFigures(this.#figures());
    const nowMs = this.#clock.monotonicMs();
    for (const reader of this.#readers) {
      if (reader.stream.canWrite) {
        reader.takenMs = nowMs;
        reader.stream.write(text);
      } else if (nowMs - reader.takenMs > EVENTS_BLOCKED_MS_MAX) {
        this.droppedReaders++;
        reader.stream.abort();
      }
    }
  }
}
