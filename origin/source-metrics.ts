/** Series of the source and of what it brings. */
import type { Registry } from "prom-client";
import { declareOn, observedCounter, observedGauge } from "#common/metrics.ts";
import { msToSeconds } from "#common/units.ts";
import type { LiveStream } from "./live-stream.ts";
import type { Slate } from "./slate.ts";
import { type Source, SOURCE_STATES } from "./source.ts";

/** Declares the series. */
export function declareSourceMetrics(
  registry: Registry,
  parts: { readonly source: Source; readonly stream: LiveStream; readonly slate: Slate },
): void {
  const { source, stream, slate } = parts;
  const { counter, gauge } = declareOn(registry);
  gauge("spillway_origin_source_connected", "1 while frames come from the source.", () =>
    Number(source.status.state === "live"),
  );
  gauge("spillway_origin_source_silence_seconds", "Time since the last new frame.", () =>
    msToSeconds(stream.silenceMs()),
  );
  observedGauge({
    registry,
    name: "spillway_origin_source_state",
    help: "1 for the state that the source is in.",
    label: "state",
    read: () =>
      Object.fromEntries(SOURCE_STATES.map((state) => [state, Number(state === source.status.state)])),
  });
  counter(
    "spillway_origin_source_reconnects_total",
    "Times the source was opened anew.",
    () => source.status.reconnects,
  );
  counter(
    "spillway_origin_source_received_bytes_total",
    "Received from the source.",
    () => source.status.receivedBytes,
  );
  counter(
    "spillway_origin_source_audio_packets_total",
    "Packets of sound in an MPEG-TS source, which are dropped.",
    () => source.status.audioPackets,
  );
  counter(
    "spillway_origin_source_continuity_errors_total",
    "Times that packets of an MPEG-TS source were missing.",
    () => source.status.continuityErrors,
  );
  counter(
    "spillway_origin_source_dropped_pictures_total",
    "Pictures of an MPEG-TS source that were not shown: damaged ones, and what follows until a key frame.",
    () => source.status.droppedPictures,
  );
  counter(
    "spillway_origin_frames_total",
    "Frames of all renditions, repeated ones left out.",
    () => stream.frames,
  );
  counter("spillway_origin_runs_total", "Runs of the encoder seen since start.", () => stream.runs);
  counter(
    "spillway_origin_unreadable_feeds_total",
    "Connections to the source that ended because of bytes that are neither a feed nor MPEG-TS.",
    () => source.status.unreadable,
  );
  observedCounter({
    registry,
    name: "spillway_origin_source_switches_total",
    help: "Times that the stream went over to the slate, and back to the source.",
    label: "to",
    read: () => slate.totals.switches,
  });
  counter(
    "spillway_origin_slate_frames_total",
    "Frames of the slate, all renditions.",
    () => slate.totals.frames,
  );
}
