/**
 * What `player.ts` asks of whatever decodes HLS: hls.js (`hls-engine.ts`) or the browser (`native-engine.ts`). An
 * engine plays one source into one video element and reports; it decides nothing about trying again.
 */

/** A failure that the engine does not overcome by itself. */
export interface EngineFailure {
  readonly kind: "network" | "media" | "other";
  /** HTTP status; 0 where no answer came, or none was asked for. */
  readonly status: number;
}

/** What arrived. A multivariant playlist shows that the edge is there, the rest that it has the stream. */
export type EngineAnswer = "multivariant" | "stream";

/** What an engine reports. */
export interface EngineEvents {
  /** A playlist or a piece of media arrived. */
  readonly onAnswer: (answer: EngineAnswer) => void;
  /** A request failed, and the engine tries again by itself. `status` as in {@link EngineFailure}. */
  readonly onTrouble: (status: number) => void;
  readonly onFailure: (failure: EngineFailure) => void;
}

export interface Engine {
  /** Opens a multivariant playlist at its live edge. Called once. */
  load(url: string): void;
  /** Rebuilds the decoder and keeps the source. */
  recoverMedia(): void;
  /** Seeks to where playback should be now. Does nothing while that is not known. */
  jumpToLive(): void;
  /** How far playback is behind where it means to be, in seconds. */
  behindSeconds(): number | undefined;
  /** When the frame on the screen was captured, by the origin's clock: milliseconds since 1970. */
  captureMs(): number | undefined;
  close(): void;
}

export type CreateEngine = (events: EngineEvents) => Engine;
