/** Which outages a soak makes, and when: the same for one seed. And what they excuse. */
import { createRandom } from "#common/random.ts";
import { secondsToMs } from "#common/units.ts";
import type { SegmentGap } from "./hls-check.ts";

/** `kill`: ended without warning and started anew. `term`: the same, asked to. `stop`: stands still, and goes on. */
export const OUTAGE_KINDS = ["kill", "term", "stop"] as const;

/** Longest time that a server is away or stands still. Milliseconds. */
const OUTAGE_MS_MAX = 10_000;
/** Nothing is broken in this part of the time between two, so that each is seen for itself. */
const CALM_SHARE = 0.5;

/** One outage; times are from the start of the soak, in milliseconds. */
export interface Outage {
  readonly kind: (typeof OUTAGE_KINDS)[number];
  readonly atMs: number;
  /** From the blow to the moment in which the server is started again, or goes on. */
  readonly lastsMs: number;
}

/** One outage about every `everySeconds`, the first not at once. */
export function planOutages({
  seed,
  seconds,
  everySeconds,
}: {
  readonly seed: number;
  readonly seconds: number;
  readonly everySeconds: number;
}): readonly Outage[] {
  if (everySeconds === 0) return [];
  const random = createRandom(seed);
  const everyMs = secondsToMs(everySeconds);
  const count = Math.max(0, Math.floor(seconds / everySeconds));
  return Array.from({ length: count }, (_, index) => ({
    kind: OUTAGE_KINDS[Math.floor(random() * OUTAGE_KINDS.length)] ?? "kill",
    atMs: Math.round(everyMs * (index + CALM_SHARE * (0.5 + random()))),
    lastsMs: Math.round(Math.min(OUTAGE_MS_MAX, (everyMs * CALM_SHARE) / 2) * random()),
  }));
}

/** The gaps that no time in which the source was away, or came back, explains. */
export function unexcused(
  gaps: readonly SegmentGap[],
  excuses: readonly SegmentGap[],
): readonly SegmentGap[] {
  return gaps.filter(
    ({ startMs, endMs }) => !excuses.some((excuse) => startMs < excuse.endMs && endMs > excuse.startMs),
  );
}
