/** Series of the way from capture to publication. */
import type { Registry } from "prom-client";
import type { DurationHistogram } from "#common/histogram.ts";
import { observedHistogram } from "#common/metrics.ts";
import type { CutTimes } from "./cut-times.ts";

/** Declares the series. */
export function declareCutMetrics(registry: Registry, times: CutTimes): void {
  const series: readonly (readonly [name: string, help: string, histogram: DurationHistogram])[] = [
    [
      "spillway_origin_frame_lag_seconds",
      "From the capture of a frame to its arrival, by the clocks of both machines.",
      times.frameLag,
    ],
    [
      "spillway_origin_publication_seconds",
      "From the arrival of the last frame of a part, or of a segment of MPEG-TS, to its publication.",
      times.publication,
    ],
    [
      "spillway_origin_part_jitter_seconds",
      "Time between the publications of two parts: distance from their duration.",
      times.partJitter,
    ],
    [
      "spillway_origin_segment_jitter_seconds",
      "Time between the publications of two segments: distance from their duration.",
      times.segmentJitter,
    ],
  ];
  for (const [name, help, histogram] of series) {
    observedHistogram({ registry, name, help, read: () => histogram });
  }
}
