/** `bench check`: the rules of HLS against a live stream, and what it breaks. */
import { StartError } from "#common/errors.ts";
import type { CheckConfig } from "./config.ts";
import type { BenchContext } from "./context.ts";
import { checkHls, type HlsCheckResult } from "./hls-check.ts";
import { collectMeasurements, type Findings } from "./report.ts";

/** Checks until the time is over. Throws StartError where there is nothing to check. */
export async function runCheck({ config, clock, signal }: BenchContext<CheckConfig>): Promise<Findings> {
  const { url, seconds, insecure: isInsecure } = config;
  let result: HlsCheckResult;
  try {
    result = await checkHls({ url, seconds, isInsecure, clock, signal });
  } catch (error) {
    throw new StartError("cannot-check", `Cannot check ${url} (--url)`, { cause: error });
  }
  const { measurements, add } = collectMeasurements();
  add("playlists", "Media playlists", result.playlists);
  add("requests", "Requests", result.requests);
  add("versions", "Versions followed", result.versions);
  add("segmentGap", "Longest time between two segments", result.segmentGapMs, "ms");
  add("bursts", "Versions with several new parts", result.bursts);
  const late =
    result.segmentGapMs > result.segmentGapMsMax
      ? [{ item: 11, text: `${Math.round(result.segmentGapMs)} ms between two segments, here` }]
      : [];
  const broken = [...result.findings, ...late];
  add("broken", "Rules broken", broken.length);
  return { measurements, notes: broken.map(({ item, text }) => `rule ${item}: ${text}`) };
}
