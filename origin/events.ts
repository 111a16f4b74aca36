/** `/live/<stream>/events`: the figures of canvas and stream, once a second, to everyone who listens. */
// HTML Living Standard 9.2 (server-sent events)
import type { Clock } from "#common/clock.ts";
import { encodeFigures, type StreamFigures } from "#common/formats/events.ts";
import { MILLISECONDS_PER_SECOND } from "#common/units.ts";
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

/** What Bun hands to the `pull` of a direct stream. */
interface DirectController {
  write(text: string): number | Promise<number>;
  flush(): unknown;
  close(): unknown;
}

interface Reader {
  readonly controller: DirectController;
  isBlocked: boolean;
}

/** Sends one event a second to all readers. A slow one misses events and never has more than one waiting. */
export class EventFeed {
  readonly #clock: Clock;
  readonly #figures: () => StreamFigures;
  readonly #readers = new Set<Reader>();
  #cancel: (() => void) | undefined;

  constructor({ clock, figures }: { readonly clock: Clock; readonly figures: () => StreamFigures }) {
    this.#clock = clock;
    this.#figures = figures;
  }

  get readers(): number {
    return this.#readers.size;
  }

  /** The body of one reader's response: an event at once, then one a second. */
  open(): ReadableStream {
    let reader: Reader | undefined;
    const source = {
      type: "direct" as const,
      pull: (controller: DirectController) => {
        if (reader !== undefined) return;
        reader = { controller, isBlocked: false };
        this.#readers.add(reader);
        this.#send(reader, encodeFigures(this.#figures()));
        this.#cancel ??= this.#clock.after(MILLISECONDS_PER_SECOND, () => this.#tick());
      },
      cancel: () => {
        if (reader !== undefined) this.#readers.delete(reader);
      },
    };
    // Bun's direct streams are no part of the standard's types.
    return new ReadableStream(source as unknown as UnderlyingDefaultSource);
  }

  /** Ends all readers. */
  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    for (const reader of this.#readers) reader.controller.close();
    this.#readers.clear();
  }

  #tick(): void {
    this.#cancel = undefined;
    if (this.#readers.size === 0) return;
    this.#cancel = this.#clock.after(MILLISECONDS_PER_SECOND, () => this.#tick());
    const text = encodeFigures(this.#figures());
    for (const reader of this.#readers) if (!reader.isBlocked) this.#send(reader, text);
  }

  #send(reader: Reader, text: string): void {
    const written = reader.controller.write(text);
    reader.controller.flush();
    if (written === 0) this.#readers.delete(reader);
    if (typeof written === "number") return;
    reader.isBlocked = true;
    const goOn = (): void => {
      reader.isBlocked = false;
    };
    void written.then(goOn, () => this.#readers.delete(reader));
  }
}
