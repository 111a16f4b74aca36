/**
 * The server's figures for people: `/stats.json`, and once a second {@link CanvasFigures} for the feed. All of them are
 * sums of what the pixel threads count.
 */
import type { Clock } from "#common/clock.ts";
import type { CanvasFigures } from "#common/formats/frame.ts";
import { msToSeconds } from "#common/units.ts";
import { openConnections, sumCounter } from "./counters.ts";
import type { Framebuffer } from "./framebuffer.ts";
import type { ReceiveName } from "./receive-path.ts";

/** The body of `/stats.json`. Totals count from the start of the server. */
export interface ServerStats {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** Sets inside the canvas, any alpha, PXMULTI pixel by pixel. */
  readonly pixels: number;
  /** Bytes received from players. */
  readonly bytes: number;
  /** Player connections open now, and accepted since the start. */
  readonly connections: number;
  readonly connectionsAccepted: number;
  /** Threads that listen, and how they receive. */
  readonly threads: number;
  readonly receive: ReceiveName;
}

/** The figures of now. */
export function readStats(
  framebuffer: Framebuffer,
  threads: { readonly listening: number; readonly receive: ReceiveName },
): ServerStats {
  const { width, height, counters } = framebuffer;
  return {
    width,
    height,
    pixels: sumCounter(counters, "pixels"),
    bytes: sumCounter(counters, "receivedBytes"),
    connections: openConnections(counters),
    connectionsAccepted: sumCounter(counters, "accepted"),
    threads: threads.listening,
    receive: threads.receive,
  };
}

/** Makes {@link CanvasFigures}, with rates since the reading before. To be read about once a second, by one reader. */
export class FiguresReader {
  readonly #framebuffer: Framebuffer;
  readonly #clock: Clock;
  readonly #pixelflutPort: number;
  #readMs: number;
  #pixels: number;
  #bytes: number;

  constructor(options: {
    readonly framebuffer: Framebuffer;
    readonly clock: Clock;
    readonly pixelflutPort: number;
  }) {
    this.#framebuffer = options.framebuffer;
    this.#clock = options.clock;
    this.#pixelflutPort = options.pixelflutPort;
    this.#readMs = options.clock.monotonicMs();
    this.#pixels = sumCounter(options.framebuffer.counters, "pixels");
    this.#bytes = sumCounter(options.framebuffer.counters, "receivedBytes");
  }

  /** The figures of now. Rates are 0 where no time has passed. */
  read(): CanvasFigures {
    const { counters } = this.#framebuffer;
    const nowMs = this.#clock.monotonicMs();
    const pixels = sumCounter(counters, "pixels");
    const bytes = sumCounter(counters, "receivedBytes");
    const seconds = msToSeconds(nowMs - this.#readMs);
    const perSecond = (amount: number): number => (seconds > 0 ? Math.round(amount / seconds) : 0);
    const figures: CanvasFigures = {
      timeMs: this.#clock.wallMs(),
      pixels,
      bytes,
      connections: openConnections(counters),
      pixelsPerSecond: perSecond(pixels - this.#pixels),
      bitsPerSecond: perSecond((bytes - this.#bytes) * 8),
      pixelflutPort: this.#pixelflutPort,
    };
    this.#readMs = nowMs;
    this.#pixels = pixels;
    this.#bytes = bytes;
    return figures;
  }
}
