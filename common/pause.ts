/** Waiting for a time, and no longer than wanted. */
import type { Clock } from "#common/clock.ts";

/** Waits `delayMs`, or until `signal` ends. */
export async function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = clock.after(delayMs, resolve);
  const onAbort = (): void => resolve();
  signal?.addEventListener("abort", onAbort);
  await promise;
  cancel();
  signal?.removeEventListener("abort", onAbort);
}
