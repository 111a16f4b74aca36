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
}

/** How a source is doing, for `/readyz` and metrics. */
export interface SourceStatus {
  readonly isConnected: boolean;
  /** Why it is not connected, in words; `undefined` while it is or has not been tried. */
  readonly failure: string | undefined;
  /** Attempts to open it after the first one. */
  readonly reconnects: number;
  /** Connections that ended because of bytes that could not be read. */
  readonly unreadable: number;
  /** Bytes received since start. */
  readonly receivedBytes: number;
}

/** A source that has been opened. */
export interface Source {
  readonly status: SourceStatus;
  /** Stops for good; no handler is called afterwards. */
  close(): Promise<void>;
}
