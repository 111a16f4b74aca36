/** One flood from its first connection to the last answer, as `bench pixels` and `bench compare` run it. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { Clock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { FloodState, type FloodTotals } from "./flood-state.ts";
import type { SentByConnection } from "./pixel-sender.ts";
import { planThreads, SenderThread, type FloodPlan } from "./pixel-threads.ts";

/** Connections that flood a server until {@link PixelFlood.finish}. */
export class PixelFlood {
  readonly #threads: readonly SenderThread[];
  readonly #state: FloodState;
  readonly #clock: Clock;
  #startMs = 0;

  private constructor(threads: readonly SenderThread[], state: FloodState, clock: Clock) {
    this.#threads = threads;
    this.#state = state;
    this.#clock = clock;
  }

  /** Opens all connections. Those that fail show in the totals; throws {@link StartError} for an unknown host. */
  static async connect(plan: FloodPlan, clock: Clock): Promise<PixelFlood> {
    const target = { ...plan.target, host: await numericAddress(plan.target.host) };
    const state = FloodState.create(plan.connections);
    const threads = planThreads({ ...plan, target }, state).map((threadPlan) => new SenderThread(threadPlan));
    const flood = new PixelFlood(threads, state, clock);
    try {
      await Promise.all(threads.map((thread) => thread.connect()));
      return flood;
    } catch (error) {
      flood.close();
      throw error;
    }
  }

  start(): void {
    this.#startMs = this.#clock.monotonicMs();
    for (const thread of this.#threads) thread.start();
  }

  get totals(): FloodTotals {
    return this.#state.totals();
  }

  /**
   * Ends each connection on a whole command and waits until the server has answered behind it, at most `msMax`.
   * The duration is from the first byte until the last connection was answered or given up.
   */
  async finish(
    msMax: number,
  ): Promise<{ readonly sent: readonly SentByConnection[]; readonly durationMs: number }> {
    this.#state.end();
    const sent = await Promise.all(this.#threads.map((thread) => thread.finish(msMax)));
    const durationMs = this.#clock.monotonicMs() - this.#startMs;
    return { sent: sent.flat().sort((a, b) => a.connection - b.connection), durationMs };
  }

  close(): void {
    this.#state.end();
    for (const thread of this.#threads) thread.close();
  }
}

async function numericAddress(host: string): Promise<string> {
  if (isIP(host) !== 0) return host;
  try {
    return (await lookup(host)).address;
  } catch (cause) {
    throw new StartError("unknown-host", `Cannot find the address of ${host}`, { cause });
  }
}
