/** For the tests of this folder: several upstreams in front of an edge, and a clock that waits for their probes. */
import { FakeClock } from "#common/clock.ts";
import { until } from "./fake-origin.ts";
import { Store } from "./store.ts";
import { Upstream } from "./upstream.ts";

/** The time that a probe has, and what is asked where an answer is overdue. Nothing else waits for just the first. */
const PROBE_MS = 350;
export const OVERDUE_MS = 2_000;
const STEP_MS = 10;

/** Knows when a probe is under way, so that none of them takes a moment of its time, however busy the machine. */
export class ProbeClock extends FakeClock {
  /** Waits of this length are those of probes. */
  readonly awaited = new Set([PROBE_MS]);
  readonly #probes = new Set<symbol>();

  override after(delayMs: number, callback: () => void): () => void {
    const probe = Symbol();
    if (this.awaited.has(delayMs)) this.#probes.add(probe);
    const cancel = super.after(delayMs, callback);
    return () => {
      this.#probes.delete(probe);
      cancel();
    };
  }

  /** Lets time pass until `isOver`, but not while a probe is under way. */
  async passUntil(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      await until(() => this.#probes.size === 0);
      this.advance(STEP_MS);
      await Bun.sleep(0);
    }
    await until(() => this.#probes.size === 0);
  }
}

export interface SeveralUpstreams {
  readonly upstream: Upstream;
  readonly clock: ProbeClock;
  /** The log's lines. */
  readonly lines: readonly string[];
  /** Resolves with what the answer to `path` says. Default: a path of a folder. */
  readonly ask: (path?: string, holdMsMax?: number) => Promise<string>;
  /** Lets time pass; all probes are answered in no time. */
  readonly pass: (ms: number) => Promise<void>;
  readonly passUntil: (isOver: () => boolean) => Promise<void>;
}

/** Asks `urls`, with `weights` if given. */
export function startUpstreams(urls: readonly string[], weights: readonly number[] = []): SeveralUpstreams {
  const clock = new ProbeClock();
  const lines: string[] = [];
  const note = (line: string): void => void lines.push(line);
  const log = { debug() {}, info: note, warn: note, error: note };
  const budget = new Store({ bytesMax: 1_000_000, clock });
  const upstream = new Upstream({ urls, weights, clock, log, budget });
  const passUntil = (isOver: () => boolean): Promise<void> => clock.passUntil(isOver);
  return {
    upstream,
    clock,
    lines,
    ask: async (path = "/live/x", holdMsMax = 5_000) =>
      new TextDecoder().decode((await upstream.fetch(path, { holdMsMax })).body),
    pass: (ms) => {
      const endMs = clock.monotonicMs() + ms;
      return passUntil(() => clock.monotonicMs() >= endMs);
    },
    passUntil,
  };
}
