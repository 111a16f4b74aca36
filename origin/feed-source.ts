/** A source that is a canvas server's feed. The server sends its history first, so after a break nothing is missing. */
import { FeedReader } from "#common/formats/feed.ts";
import type { Run } from "#common/formats/frame.ts";
import { FeedFormatError } from "#common/formats/mp4-boxes.ts";
import { unitsToMs } from "#common/units.ts";
import type { SourceFormat, SourceReading } from "./http-source.ts";
import { Pacer } from "./pacer.ts";

/** The history that a server sends at once, and some room. */
const LEAD_MS = 60_000;

/** Reads the feed. Of a rendition whose second begins without a key frame nothing is passed on up to the next one. */
export const feedFormat: SourceFormat = {
  name: "feed",
  open({ clock, handlers, onAlive, onTrouble }: SourceReading) {
    const pacer = new Pacer({ clock, leadMs: LEAD_MS });
    /** Tracks that wait for a key frame. */
    const keyless = new Set<number>();
    let run: Run | undefined;
    const reader = new FeedReader({
      onRun(next) {
        run = next;
        pacer.add(undefined, () => handlers.onRun(next));
      },
      onFrame(frame) {
        const present = run;
        if (present === undefined) return;
        const { fps, startFrame, startTimeMs, timescale } = present;
        if (frame.isKey && keyless.delete(frame.trackId) && keyless.size === 0) {
          pacer.add(undefined, () => handlers.onRun(present));
        }
        if (!frame.isKey && (frame.number - startFrame) % fps === 0) {
          keyless.add(frame.trackId);
          pacer.add(undefined, () => onTrouble("a second begins without a key frame"));
        }
        // Understood, if not shown.
        if (keyless.has(frame.trackId)) onAlive();
        else pacer.add(startTimeMs + unitsToMs(frame.decodeUnits, timescale), () => handlers.onFrame(frame));
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
