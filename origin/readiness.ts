/** Why an origin cannot serve, for `/readyz`: which source, and what is wrong with it. */
import { msToSeconds } from "#common/units.ts";
import type { LiveStream } from "./live-stream.ts";
import type { Source } from "./source.ts";

/** `undefined` while viewers are served. */
export function whyNotReady(stream: LiveStream, { status, shownUrl }: Source): string | undefined {
  const cause = status.failure === undefined ? "" : `: ${status.failure}`;
  const from = `the source ${shownUrl}${cause}`;
  if (stream.run === undefined) return `No video yet from ${from}`;
  if (stream.isCatchingUp) return `Catching up with ${from}`;
  if (!stream.isListed) return `Waiting for the first whole segment of ${from}`;
  if (stream.isEnded || stream.isLive) return undefined;
  return `No frame for ${Math.round(msToSeconds(stream.silenceMs()))} s from ${from}`;
}
