/** A source that is a canvas server's feed. The server sends its history first, so after a break nothing is missing. */
import { FeedReader } from "#common/formats/feed.ts";
import type { Run } from "#common/formats/frame.ts";
import { FeedFormatError } from "#common/formats/mp4-boxes.ts";
import { unitsToMs } from "#common/units.ts";
import type { SourceFormat, SourceReading } from "./http-source.ts";
import { Pacer } from "./pacer.ts";

/** The history that a server sends at once, and some room. */
const LEAD_MS = 60_000;

/** Reads the feed. */
export const feedFormat: SourceFormat = {
  name: "feed",
  open({ clock, handlers }: SourceReading) {
    const pacer = new Pacer({ clock, leadMs: LEAD_MS });
    let run: Run | undefined;
    const reader = new FeedReader({
      onRun(next) {
        run = next;
        pacer.add(undefined, () => handlers.onRun(next));
      },
      onFrame(frame) {
        const mediaMs =
          run === undefined ? undefined : run.startTimeMs + unitsToMs(frame.decodeUnits, run.timescale);
        pacer.add(mediaMs, () => handlers.onFrame(frame));
      },
      onFigures: (figures) => pacer.add(undefined, () => handlers.onFigures(figures)),
    });
    return {
      push: (chunk) => reader.push(chunk),
      drain: (signal) => pacer.drain(signal),
      finish: () => {},
    };
  },
  isUnreadable: (error) => error instanceof FeedFormatError,
};
