/** Waiting that ends early: when a run is interrupted, or when there is nothing left to wait for. */
import type { Clock } from "#common/clock.ts";

/** How often a condition is looked at. Milliseconds. */
const LOOK_MS = 50;

/** Resolves after `msMax`, when `signal` is aborted, or soon after `isDone` first returns true. */
export function waitFor(options: {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly msMax: number;
  readonly isDone?: () => boolean;
}): Promise<void> {
  const { clock, signal, msMax, isDone } = options;
  const done = Promise.withResolvers<void>();
  const endMs = clock.monotonicMs() + msMax;
  let cancel: (() => void) | undefined;
  const look = (): void => {
    const leftMs = endMs - clock.monotonicMs();
    if (leftMs <= 0 || signal.aborted || isDone?.() === true) {
      cancel?.();
      signal.removeEventListener("abort", look);
      done.resolve();
      return;
    }
    cancel = clock.after(isDone === undefined ? leftMs : Math.min(LOOK_MS, leftMs), look);
  };
  signal.addEventListener("abort", look);
  look();
  return done.promise;
}

/** How often those due join. Milliseconds. */
const JOIN_MS = 10;

/** Calls `join` with 0 to `count - 1`, spread evenly over `overMs`; ends early when `signal` is aborted. */
export async function joinEvenly(options: {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly count: number;
  readonly overMs: number;
  readonly join: (index: number) => void;
}): Promise<void> {
  const { clock, signal, count, overMs, join } = options;
  const startMs = clock.monotonicMs();
  let joined = 0;
  while (joined < count && !signal.aborted) {
    const share = overMs === 0 ? 1 : Math.min(1, (clock.monotonicMs() - startMs) / overMs);
    const due = Math.max(1, Math.ceil(count * share));
    for (; joined < due; joined += 1) join(joined);
    if (joined < count) await waitFor({ clock, signal, msMax: JOIN_MS });
  }
}
