/**
 * What the edge wants from upstream for the URL contract, and the contract's own rules of what may be kept: media as
 * long as they say, multivariant playlists and API answers for a second at least, failures for a moment.
 */
import type { Verdict, Wanted } from "./wanted.ts";
import type { ResponseHead } from "./response-head.ts";
import { readHead, storedOf } from "./stored.ts";
import { STATUS_MAX, unexpectedStatus } from "./upstream.ts";

/** Multivariant playlists and API answers are shared this long at least: an upstream writes them per request. */
const SHARED_FRESH_MS_MIN = 1_000;

/** No upstream holds these on purpose: past it an old one, or a failure, before players give up (hls.js: 10 s). */
const UNHELD_MS_MAX = 5_000;

export interface LiveThing {
  readonly path: string;
  readonly kind: "media" | "multivariant" | "api";
  /** Longest time until the answer begins, in milliseconds: a part may be held. Default for media: that of fills. */
  readonly holdMsMax?: number;
  /** As in {@link Wanted}. */
  readonly isHeld?: boolean;
  /** Host name that the viewer used, where the answer depends on it: passed on, and part of the key. */
  readonly host?: string | undefined;
}

/** The request for a thing of the contract. The key is its path, which is what the hot path looks up. */
export function wantedOf(thing: LiveThing): Wanted {
  const { path, host, kind, isHeld } = thing;
  const holdMsMax = thing.holdMsMax ?? (kind === "media" ? undefined : UNHELD_MS_MAX);
  const key = host === undefined ? path : `${path} ${host}`;
  return { key, path, host, holdMsMax, isHeld, judge: (head) => judge(head, thing) };
}

function judge(head: ResponseHead, { kind, path }: LiveThing): Verdict {
  const { status, headers } = head;
  if (status > STATUS_MAX || (status !== 200 && status < 400)) throw unexpectedStatus(path, status);
  const freshMsMin = kind === "media" ? 0 : SHARED_FRESH_MS_MIN;
  // The others are the same for all, whatever they say.
  const isPrivate = kind === "media" && /\b(?:no-store|private)\b/i.test(headers.get("cache-control") ?? "");
  return {
    isShared: status !== 200 || !isPrivate,
    isStored: status < 500 && readHead(head, freshMsMin).freshMs > 0,
    toStored: (whole) => storedOf(whole, freshMsMin),
  };
}
