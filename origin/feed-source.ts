/** The source that reads a canvas server's feed. The server sends its history first, so after a break nothing is missing. */
import { proveSecret } from "#common/cluster-auth.ts";
import { FeedReader } from "#common/formats/feed.ts";
import { FeedFormatError } from "#common/formats/mp4-boxes.ts";
import { HttpSource, type HttpSourceOptions } from "./http-source.ts";
import type { Source } from "./source.ts";

export interface FeedSourceOptions extends HttpSourceOptions {
  /** The cluster's secret, or empty. */
  readonly secret: string;
}

/** Opens the feed at `options.url` and keeps it open. */
export function openFeedSource(options: FeedSourceOptions): Source {
  const { secret, clock } = options;
  return new HttpSource(options, {
    name: "feed",
    headers: () =>
      secret === ""
        ? {}
        : { authorization: proveSecret({ secret, purpose: "feed", wallMs: clock.wallMs() }) },
    open: (handlers) => new FeedReader(handlers),
    isUnreadable: (error) => error instanceof FeedFormatError,
  });
}
