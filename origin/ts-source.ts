/** A source that is MPEG-TS with H.264: from packets to runs and frames, at the pace of its own times. */
import { SpillwayError } from "#common/errors.ts";
import { type DemuxCounts, TsDemuxer, type VideoPes } from "#common/formats/mpegts-demuxer.ts";
import { MEBIBYTE, TICKS_PER_SECOND, unitsToMs } from "#common/units.ts";
import type { SourceFormat, SourceReader, SourceReading } from "./http-source.ts";
import { Pacer } from "./pacer.ts";
import { type RunNumbers, TsRuns } from "./ts-runs.ts";

/** So much without a packet is no MPEG-TS. */
const SKIPPED_BYTES_MAX = MEBIBYTE / 4;
/** What servers send at once to whoever joins: the pictures since a key frame or two. */
const LEAD_MS = 3_000;

export class TsFormatError extends SpillwayError {
  override readonly name = "TsFormatError";
}

export interface TsFormatOptions {
  readonly targetDurationSeconds: number;
  readonly partDurationMs: number;
  /** Opened with the first run. */
  readonly numbers: RunNumbers;
}

/** Reads MPEG-TS; each connection begins another run. Their pace is one: what is opened again is no faster for it. */
export function tsFormat(options: TsFormatOptions): SourceFormat {
  let pacer: Pacer | undefined;
  return {
    name: "MPEG-TS",
    open(reading) {
      pacer ??= new Pacer({ clock: reading.clock, leadMs: LEAD_MS });
      pacer.beginLine();
      return openReader(options, reading, pacer);
    },
    isUnreadable: (error) => error instanceof TsFormatError,
  };
}

function openReader(options: TsFormatOptions, reading: SourceReading, pacer: Pacer): SourceReader {
  const { clock, handlers, onTrouble, onAlive } = reading;
  const runs = new TsRuns({ ...options, handlers, onTrouble, wallMs: () => clock.wallMs() });
  let hasVideo = false;
  const demuxer = new TsDemuxer({
    onPes: (pes) => {
      onAlive();
      pacer.add(mediaMsOf(pes), () => {
        // It may have waited for its time.
        onAlive();
        runs.onPes(pes);
      });
    },
    onLoss: () => pacer.add(undefined, () => runs.breakOff("packets are missing")),
    onVideo: () => {
      if (hasVideo) pacer.add(undefined, () => runs.breakOff("the tables name another stream"));
      hasVideo = true;
    },
  });
  const counted = { ...demuxer.counts, droppedPictures: 0 };
  onTrouble("waiting for a key frame");
  return {
    push(chunk) {
      demuxer.push(chunk);
      checkPackets(demuxer.counts);
      const { otherStreams } = demuxer;
      if (otherStreams !== undefined) onTrouble(`the programme has no H.264: ${typesIn(otherStreams)}`);
    },
    async drain(signal) {
      await pacer.drain(signal);
      const { audioPackets, continuityErrors } = demuxer.counts;
      reading.count({
        audioPackets: audioPackets - counted.audioPackets,
        continuityErrors: continuityErrors - counted.continuityErrors,
        droppedPictures: runs.droppedPictures - counted.droppedPictures,
      });
      Object.assign(counted, demuxer.counts, { droppedPictures: runs.droppedPictures });
    },
    finish() {
      if (demuxer.counts.packets === 0) throw noPackets();
      demuxer.finish();
      pacer.add(undefined, () => runs.finish());
    },
  };
}

/** Where 33 bits wrap, the pacer takes it for another time line. */
function mediaMsOf({ dtsTicks }: VideoPes): number | undefined {
  return dtsTicks === undefined ? undefined : unitsToMs(dtsTicks, TICKS_PER_SECOND);
}

function checkPackets({ packets, skippedBytes }: DemuxCounts): void {
  if (packets === 0 && skippedBytes > SKIPPED_BYTES_MAX) throw noPackets();
}

function noPackets(): TsFormatError {
  return new TsFormatError("source-format", "what it sends is neither a feed nor MPEG-TS");
}

function typesIn(types: readonly number[]): string {
  if (types.length === 0) return "nothing at all";
  return `stream types ${types.map((type) => `0x${type.toString(16).padStart(2, "0")}`).join(", ")}`;
}
