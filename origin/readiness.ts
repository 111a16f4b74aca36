/** Why an origin cannot serve, for `/readyz`: which source, and what is wrong with it. */
import { msToSeconds } from "#common/units.ts";
import type { LiveStream } from "./live-stream.ts";
import type { Source } from "./source.ts";

type ShownSource = Pick<Source, "status" | "shownUrl">;

/** `undefined` while viewers are served. */
export function whyNotReady(stream: LiveStream, { status, shownUrl }: ShownSource): string | undefined {
  const from = nameOf({ status, shownUrl });
  if (stream.run === undefined) return `No video yet from ${from}`;
  if (stream.isCatchingUp) return `Catching up with ${from}`;
  if (!stream.isListed) return `Waiting for the first whole segment of ${from}`;
  if (stream.isEnded || stream.isLive) return undefined;
  return `No frame for ${Math.round(msToSeconds(stream.silenceMs()))} s from ${from}`;
}

/** What the slate stands for, while it is shown: viewers are served all the same. */
export function whySlate({ status, shownUrl }: ShownSource): string {
  return `slate: no frames from ${nameOf({ status, shownUrl })}`;
}

function nameOf({ status: { failure }, shownUrl }: ShownSource): string {
  return `the source ${shownUrl}${failure === undefined ? "" : `: ${failure}`}`;
}
