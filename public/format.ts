/**
 * How the page writes figures: short enough for a tile and the same width from second to second.
 * First of all of the page's text; no state, no document.
 */
import { msToSeconds } from "#common/units.ts";

/** Stands where a figure is not known yet. */
export const UNKNOWN = "–";

const LANGUAGE = "en";
const DEFAULT_STREAM = "canvas";
const STREAM_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/i;
const BIT_RATE_UNITS = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];
const BIT_RATE_STEP = 1000;
/** From here on a delay is shown without its tenths: they say nothing any more. Milliseconds. */
const WHOLE_SECONDS_FROM_MS = 9_950;

const compact = new Intl.NumberFormat(LANGUAGE, { notation: "compact", maximumFractionDigits: 1 });
const threeDigits = new Intl.NumberFormat(LANGUAGE, { maximumSignificantDigits: 3, useGrouping: false });

/** A count in at most five characters: `987`, `1.2K`, `34M`. */
export function formatCount(count: number): string {
  return compact.format(count);
}

/** A rate in the decimal unit that suits it: `0 bit/s`, `3.4 Mbit/s`. */
export function formatBitRate(bitsPerSecond: number): string {
  let value = bitsPerSecond;
  let unit = 0;
  // What would be rounded up to four digits already belongs to the next unit.
  while (value >= BIT_RATE_STEP - 0.5 && unit < BIT_RATE_UNITS.length - 1) {
    value /= BIT_RATE_STEP;
    unit += 1;
  }
  return `${threeDigits.format(value)} ${BIT_RATE_UNITS[unit]}`;
}

/** A delay in seconds with tenths. Below zero, where two clocks disagree by a little, it is zero. */
export function formatDelay(delayMs: number): string {
  const seconds = msToSeconds(Math.max(0, delayMs));
  return `${seconds.toFixed(delayMs < WHOLE_SECONDS_FROM_MS ? 1 : 0)} s`;
}

/**
 * The command that paints a red pixel.
 *
 * @param hostname as `location` has it: an IPv6 address in brackets, which `nc` does not take
 */
export function formatPaintLine({
  hostname,
  port,
}: {
  readonly hostname: string;
  readonly port: number;
}): string {
  return `echo "PX 10 10 ff0000" | nc -w 1 ${hostname.replace(/^\[(.*)\]$/, "$1")} ${port}`;
}

/** The stream named by the query (`?stream=name`); the default one where it is missing or no possible name. */
export function readStreamName(search: string): string {
  const name = new URLSearchParams(search).get("stream") ?? DEFAULT_STREAM;
  return STREAM_NAME.test(name) ? name : DEFAULT_STREAM;
}
