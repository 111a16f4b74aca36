/**
 * Server-sent events of `/live/<stream>/events`: what the page shows beside the picture. The origin writes them,
 * edges pass on the latest of each kind, the page reads them.
 */
// HTML Living Standard 9.2 (server-sent events)

/** Once a second: the state of canvas and stream. Sent as `event: figures`. */
export interface StreamFigures {
  /** The origin's clock when it wrote this, milliseconds since 1970; viewers set theirs by it. */
  readonly timeMs: number;
  readonly canvas: {
    readonly width: number;
    readonly height: number;
    /** Port of the Pixelflut server; its host is the one that the operator announces. */
    readonly pixelflutPort: number;
    /** Pixels set since the server started, and over the last second. */
    readonly pixels: number;
    readonly pixelsPerSecond: number;
    /** Received from players over the last second. */
    readonly bitsPerSecond: number;
    /** Player connections open now. */
    readonly players: number;
  };
  readonly stream: {
    /** Viewers on all edges. */
    readonly viewers: number;
    /** Live edges. */
    readonly edges: number;
    /** False while no frames arrive: viewers wait. */
    readonly isLive: boolean;
  };
}

/** Content type of the response that carries events. */
export const EVENTS_CONTENT_TYPE = "text/event-stream";

/** One `figures` event, ready to send. */
export function encodeFigures(figures: StreamFigures): string {
  return `event: figures\ndata: ${JSON.stringify(figures)}\n\n`;
}
