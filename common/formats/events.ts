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

/** Sent by an edge that is about to end, as `event: move`: pages are to go on at another one. */
export interface Move {
  /** Each page leaves at a moment of its own within this time, so that not all come to the others at once. */
  readonly withinMs: number;
}

/** Kind of {@link Move} events. */
export const MOVE_KIND = "move";

/** One `move` event, ready to send. */
export function encodeMove(move: Move): string {
  return `event: ${MOVE_KIND}\ndata: ${JSON.stringify(move)}\n\n`;
}

/** Reads the data of one `move` event, or `undefined` where it is not one. */
export function decodeMove(data: string): Move | undefined {
  const value = parseJson(data);
  return isMove(value) ? value : undefined;
}

function isMove(value: unknown): value is Move {
  return hasNumbers(value, ["withinMs"]);
}

/** Content type of the response that carries events. */
export const EVENTS_CONTENT_TYPE = "text/event-stream";

/** One `figures` event, ready to send. */
export function encodeFigures(figures: StreamFigures): string {
  return `event: figures\ndata: ${JSON.stringify(figures)}\n\n`;
}

/** Reads the data of one `figures` event, or `undefined` where it is not one. */
export function decodeFigures(data: string): StreamFigures | undefined {
  const value = parseJson(data);
  return isFigures(value) ? value : undefined;
}

/** `undefined` for what is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isFigures(value: unknown): value is StreamFigures {
  if (!hasNumbers(value, ["timeMs"]) || !("canvas" in value) || !("stream" in value)) return false;
  const { canvas, stream } = value;
  return hasNumbers(canvas, CANVAS_NUMBERS) && hasNumbers(stream, STREAM_NUMBERS) && hasLiveness(stream);
}

const CANVAS_NUMBERS = [
  "width",
  "height",
  "pixelflutPort",
  "pixels",
  "pixelsPerSecond",
  "bitsPerSecond",
  "players",
] as const satisfies readonly (keyof StreamFigures["canvas"])[];
const STREAM_NUMBERS = ["viewers", "edges"] as const satisfies readonly (keyof StreamFigures["stream"])[];

function hasNumbers(value: unknown, names: readonly string[]): value is object {
  if (typeof value !== "object" || value === null) return false;
  const fields: Readonly<Record<string, unknown>> = { ...value };
  return names.every((name) => Number.isFinite(fields[name]));
}

function hasLiveness(stream: object): boolean {
  return "isLive" in stream && typeof stream.isLive === "boolean";
}
