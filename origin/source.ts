/**
 * Where frames come from. Every kind of source speaks to the origin through these few calls and outlives its
 * failures: it opens itself anew until it is closed.
 */
import type { CanvasFigures, EncodedFrame, Run } from "#common/formats/frame.ts";

/** What a source tells. After a break the same run may come again, with frames that were told before. */
export interface SourceHandlers {
  /** Which run the frames after it belong to. */
  onRun(run: Run): void;
  onFrame(frame: EncodedFrame): void;
  onFigures(figures: CanvasFigures): void;
  /** The source was a finite one, and it is over: nothing follows, ever. */
  onEnd(): void;
}

/**
 * `connecting`: nothing has come yet. `waiting`: something comes, but nothing that can be shown. `live`: frames come.
 * `lost`: it broke, and is opened anew. `ended`: it was finite.
 */
export const SOURCE_STATES = ["connecting", "waiting", "live", "lost", "ended"] as const;
export type SourceState = (typeof SOURCE_STATES)[number];

/** How a source is doing, for `/readyz` and metrics. */
export interface SourceStatus {
  readonly state: SourceState;
  /** Why nothing is to be seen of it, in words; `undefined` while it is live or has not been tried. */
  readonly failure: string | undefined;
  /** Attempts to open it after the first one. */
  readonly reconnects: number;
  /** Connections that ended because of bytes that could not be read. */
  readonly unreadable: number;
  /** Bytes received since start. */
  readonly receivedBytes: number;
  /** What an MPEG-TS source brought that is not shown: packets of sound, and pictures. */
  readonly audioPackets: number;
  readonly droppedPictures: number;
  /** Packets that were missing in an MPEG-TS source. */
  readonly continuityErrors: number;
}

/** A source that has been opened. */
export interface Source {
  /** Where it is, fit to be shown: without query. */
  readonly shownUrl: string;
  readonly status: SourceStatus;
  /** Stops for good; no handler is called afterwards. */
  close(): Promise<void>;
}
