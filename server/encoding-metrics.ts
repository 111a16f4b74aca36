/** All series of the server's encoder and feeds. Read at scrape time. */
import type { Registry } from "prom-client";
import type { DurationHistogram } from "#common/histogram.ts";
import { observedCounter, observedGauge, observedHistogram } from "#common/metrics.ts";
import type { EncodingFigures } from "./encoding.ts";
import type { FeedReaders } from "./feed-readers.ts";

export interface EncodingMetricsOptions {
  readonly registry: Registry;
  readonly encoding: {
    figures(): EncodingFigures;
    readonly encodeTimes: DurationHistogram;
    readonly captureLags: DurationHistogram;
  };
  readonly feeds: { readonly mp4: FeedReaders; readonly ts: FeedReaders };
  readonly history: { readonly historyBytes: number; readonly evictedBytes: number };
  /** Requests for a feed that could not prove the cluster secret. */
  readonly forbiddenRequests: () => number;
}

/** Declares the series. */
export function declareEncodingMetrics(options: EncodingMetricsOptions): void {
  declareEncoder(options);
  declareFeeds(options);
}

function declareEncoder({ registry, encoding }: EncodingMetricsOptions): void {
  observedCounter({
    registry,
    name: "spillway_server_frames_total",
    help: "Frames: captured and encoded; captures dropped because the encoder was late; numbers filled by repeating the picture before.",
    label: "result",
    read: () => encoding.figures().frames,
  });
  const totals: readonly (readonly [
    name: string,
    help: string,
    read: (figures: EncodingFigures) => number,
  ])[] = [
    ["encoded_bytes_total", "Encoded video, all renditions.", (f) => f.encodedBytes],
    ["encoder_runs_total", "Runs of the encoder begun.", (f) => f.runs],
    [
      "encoder_failures_total",
      "Runs of the encoder that failed, did not begin or fell too far behind.",
      (f) => f.failures,
    ],
  ];
  for (const [name, help, read] of totals) {
    observedCounter({
      registry,
      name: `spillway_server_${name}`,
      help,
      read: () => read(encoding.figures()),
    });
  }
  observedHistogram({
    registry,
    name: "spillway_server_encode_seconds",
    help: "Time spent on capturing and encoding a frame, all renditions.",
    read: () => encoding.encodeTimes,
  });
  observedHistogram({
    registry,
    name: "spillway_server_capture_lag_seconds",
    help: "How late a frame was captured.",
    read: () => encoding.captureLags,
  });
}

function declareFeeds({ registry, feeds, history, forbiddenRequests }: EncodingMetricsOptions): void {
  const perFeed = (read: (readers: FeedReaders) => number) => () => ({
    mp4: read(feeds.mp4),
    ts: read(feeds.ts),
  });
  observedGauge({
    registry,
    name: "spillway_server_feed_readers",
    help: "Readers of the feeds open now.",
    label: "feed",
    read: perFeed((readers) => readers.count),
  });
  observedCounter({
    registry,
    name: "spillway_server_feed_dropped_readers_total",
    help: "Readers of the feeds cut off for being slow.",
    label: "feed",
    read: perFeed((readers) => readers.droppedReaders),
  });
  observedCounter({
    registry,
    name: "spillway_server_feed_refused_readers_total",
    help: "Readers of the feeds refused because there were too many (503).",
    label: "feed",
    read: perFeed((readers) => readers.refusedReaders),
  });
  observedCounter({
    registry,
    name: "spillway_server_feed_sent_bytes_total",
    help: "Bytes of the feeds handed to readers.",
    label: "feed",
    read: perFeed((readers) => readers.sentBytes),
  });
  observedGauge({
    registry,
    name: "spillway_server_feed_history_bytes",
    help: "Bytes of the feed kept for new readers.",
    read: () => history.historyBytes,
  });
  observedCounter({
    registry,
    name: "spillway_server_feed_history_evicted_bytes_total",
    help: "Bytes of the feed that new readers should still get, dropped early because there were too many.",
    read: () => history.evictedBytes,
  });
  observedCounter({
    registry,
    name: "spillway_server_feed_forbidden_requests_total",
    help: "Requests for a feed from other hosts without a valid proof of the cluster secret (403).",
    read: forbiddenRequests,
  });
}
