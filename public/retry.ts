/**
 * How long to wait before the next try after a failure: longer after each one, never long, and different for every
 * viewer, so that a thousand of them do not come back to a restarted edge in the same instant.
 */

/** Bounds of a wait, milliseconds. */
export const RETRY_MS_MIN = 500;
export const RETRY_MS_MAX = 3_000;

/**
 * @param options.failures how many tries failed in a row, at least 1
 * @param options.random a number from 0 to below 1
 */
export function retryDelayMs({
  failures,
  random,
}: {
  readonly failures: number;
  readonly random: number;
}): number {
  const ceilingMs = Math.min(RETRY_MS_MIN * 2 ** failures, RETRY_MS_MAX);
  return RETRY_MS_MIN + random * (ceilingMs - RETRY_MS_MIN);
}
