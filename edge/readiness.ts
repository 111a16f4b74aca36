/**
 * Whether this edge can serve, and why not: asks its upstream's `/readyz` over and over, so that an edge that was
 * started before its origin waits and says so.
 */
import type { Clock } from "#common/clock.ts";
import { describeError } from "#common/errors.ts";
import type { Log } from "#common/log.ts";
import type { PeerState } from "./upstream-peer.ts";
import { isReadyStatus, READINESS_PATH } from "./upstream-probe.ts";
import type { Upstream } from "./upstream.ts";

const PROBE_MS_READY = 1_000;
const PROBE_MS_WAITING = 250;
/** A busy machine may hold an upstream up for three seconds: two probes, and the pause between them, take longer. */
const PROBE_ANSWER_MS_MAX = 1_500;
/** Probes that must fail one after the other before an edge that served calls itself unable. */
const FAILURES_MAX = 2;
/** An edge that finds no upstream at its start says so after this long: all of a cluster may be starting. */
const UNTOLD_MS_MAX = 5_000;
const REASON_CHARACTERS_MAX = 200;

/** What everybody may read: an edge is open to all, and addresses behind it are nobody's business. */
const WAITING = "waiting for the upstream";
const NOT_READY = "the upstream is not ready";

/** What is probed, and told what was found. */
type ProbedUpstream = Pick<Upstream, "request" | "urls" | "tellState">;

interface Finding {
  readonly state: PeerState;
  readonly reason: string;
  /** Names addresses, maybe. */
  readonly details: string;
}

/** The upstream's state, as last probed. */
export class UpstreamProbe {
  readonly #upstream: ProbedUpstream;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #onChange: () => void;
  #reason: string | undefined;
  #failures = FAILURES_MAX;
  readonly #startedMs: number;
  /** As the log has it. */
  #isToldReady: boolean | undefined;
  #cancelTimer: (() => void) | undefined;
  #isClosed = false;

  /** Begins to probe at once. */
  constructor(options: {
    readonly upstream: ProbedUpstream;
    readonly clock: Clock;
    readonly log: Log;
    /** Called when the edge becomes able or unable to serve. */
    readonly onChange: () => void;
  }) {
    this.#upstream = options.upstream;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#onChange = options.onChange;
    this.#reason = WAITING;
    this.#startedMs = options.clock.monotonicMs();
    void this.#probe();
  }

  /** Why nothing can be served, or `undefined`. */
  get reason(): string | undefined {
    return this.#reason;
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTimer?.();
  }

  /** Never rejects. */
  async #probe(): Promise<void> {
    const found = await this.#ask();
    if (this.#isClosed) return;
    this.#failures = found === undefined ? 0 : this.#failures + 1;
    if (found === undefined || this.#failures >= FAILURES_MAX) this.#become(found);
    this.#cancelTimer = this.#clock.after(
      found === undefined ? PROBE_MS_READY : PROBE_MS_WAITING,
      () => void this.#probe(),
    );
  }

  #become(found: Finding | undefined): void {
    const isChange = (found === undefined) !== (this.#reason === undefined);
    this.#reason = found?.reason;
    this.#upstream.tellState(found?.state ?? "up");
    this.#tell(found);
    if (isChange) this.#onChange();
  }

  #tell(found: Finding | undefined): void {
    const isReady = found === undefined;
    if (isReady === this.#isToldReady) return;
    const isStarting = this.#clock.monotonicMs() - this.#startedMs < UNTOLD_MS_MAX;
    if (!isReady && this.#isToldReady === undefined && isStarting) return;
    this.#isToldReady = isReady;
    const upstream = this.#upstream.urls.join(" ");
    if (isReady) this.#log.info("Upstream is ready", { upstream });
    else this.#log.warn(`Not ready: ${found.reason}: ${found.details}`, { upstream });
  }

  /** Why not, in words for everybody, and for the log. `undefined` where it is ready. */
  async #ask(): Promise<Finding | undefined> {
    try {
      const options = { holdMsMax: PROBE_ANSWER_MS_MAX };
      const { head, chunks, discard } = await this.#upstream.request(READINESS_PATH, options);
      if (isReadyStatus(head.status)) {
        discard();
        return undefined;
      }
      return { state: "unready", reason: NOT_READY, details: await readWords(chunks) };
    } catch (error) {
      return { state: "down", reason: WAITING, details: describeError(error) };
    }
  }
}

/** The begin of a text. */
async function readWords(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let words = "";
  for await (const chunk of chunks) {
    words += decoder.decode(chunk, { stream: true });
    if (words.length > REASON_CHARACTERS_MAX) break;
  }
  return words.trim().slice(0, REASON_CHARACTERS_MAX);
}
