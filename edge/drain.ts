/**
 * The last seconds of an edge that is asked to end: nobody new is sent here any more, everybody who is here is still
 * answered, and pages are told to go to another edge while there is time.
 */
import type { Clock } from "#common/clock.ts";
import type { Lifecycle } from "#common/lifecycle.ts";
import type { Log } from "#common/log.ts";
import { pause } from "#common/pause.ts";
import { secondsToMs } from "#common/units.ts";
import type { Streams } from "./streams.ts";
import type { Viewers } from "./viewers.ts";

/** Pages leave spread over this part of the time, so that the other edges do not get all of them at once. */
const LEAVING_SHARE = 0.5;

export interface DrainOptions {
  readonly drainSeconds: number;
  readonly lifecycle: Lifecycle;
  readonly streams: Pick<Streams, "sendAway">;
  readonly viewers: Pick<Viewers, "total">;
  readonly clock: Clock;
  readonly log: Log;
}

/** Has the process wait when it ends, before what was opened until now is closed. */
export function drainAtEnd({ drainSeconds, lifecycle, streams, viewers, clock, log }: DrainOptions): void {
  if (drainSeconds === 0) return;
  const drainMs = secondsToMs(drainSeconds);
  lifecycle.allowClosing(drainMs);
  lifecycle.onClose("drain", async () => {
    log.info("Draining: another signal ends it at once", { seconds: drainSeconds, viewers: viewers.total });
    streams.sendAway(drainMs * LEAVING_SHARE);
    await pause(clock, drainMs);
  });
}
