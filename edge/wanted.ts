/** What is wanted of an upstream, and what may be done with the answer: a fill is begun with it. */
import type { ResponseHead } from "./response-head.ts";
import type { Stored, WholeAnswer } from "./stored.ts";
import type { RequestOptions } from "./upstream.ts";

/** One thing that can be had from upstream. */
export interface Wanted {
  /** What the same thing is called by all who ask for it. */
  readonly key: string;
  /** With its query. */
  readonly path: string;
  /** Host name that the viewer used, where the answer depends on it. */
  readonly host?: string | undefined;
  /** Default: GET. */
  readonly method?: RequestOptions["method"];
  /** Sent upstream beside our own headers, which they replace. Those of whoever asks first are sent for all. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Longest time until the answer begins, in milliseconds. Default: 20 s. */
  readonly holdMsMax?: number | undefined;
  /** As in {@link RequestOptions}. */
  readonly isHeld?: boolean | undefined;
  /**
   * Whether a 5xx, or no answer, is asked for once more where nobody else waits. Default: true. With false a lone
   * asker hears what the upstream said, and nothing is asked twice for it.
   */
  readonly retriesAlone?: boolean | undefined;
  /**
   * What the next who ask hear of: a failure, for a moment, and that the thing is not for everyone (`all`, the default),
   * only the latter (`unshared`), or `nothing`, where a request is so much one client's own that it says nothing.
   */
  readonly remembers?: "all" | "unshared" | "nothing" | undefined;
  /** Called once, with the head of the answer that will be given. May throw {@link UpstreamError} to have none. */
  readonly judge: (head: ResponseHead) => Verdict;
}

/** What may be done with an answer. */
export interface Verdict {
  /** False: only who began the fill gets it; the others ask for themselves, at once. */
  readonly isShared: boolean;
  /** Whether the whole is put into the store. What breaks off or is too large to be kept never is. */
  readonly isStored: boolean;
  /** False: it ends with the last who waits for it, and at its head where nobody does. Default: {@link isStored}. */
  readonly mayOutlive?: boolean | undefined;
  /** What it is called in the store, where that is known by its head alone. Default: {@link Wanted.key}. */
  readonly storeKey?: string | undefined;
  /** What is made of the whole. Default: nothing, where it is only passed on. */
  readonly toStored?: ((whole: WholeAnswer) => Stored) | undefined;
}
