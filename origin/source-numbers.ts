/**
 * Numbers for the runs of a source that has none of its own: kept in the origin's folder of `--data-dir`, so that they go on
 * after a restart. The folder is opened, and locked, with the first run: an origin of a feed needs none.
 */
import { RunStore, type RunStart, type RunStoreOptions } from "#common/run-store.ts";
import type { RunNumbers } from "./ts-runs.ts";

export class SourceNumbers implements RunNumbers {
  readonly #options: Omit<RunStoreOptions, "role">;
  #opened: RunStore | undefined;

  constructor(options: Omit<RunStoreOptions, "role">) {
    this.#options = options;
  }

  /** Throws `StartError` where the folder cannot be used or is in use. */
  beginRun(fps: number): RunStart {
    this.#opened ??= new RunStore({ ...this.#options, role: "origin" });
    return this.#opened.beginRun(fps);
  }

  reserveSegment(segment: number, dates: { readonly startMs: number; readonly shownEndMs: number }): void {
    this.#opened?.reserveSegment(segment, dates);
  }

  /** Gives the folder free. */
  close(): void {
    this.#opened?.close();
  }
}
