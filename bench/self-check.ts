/**
 * Watches the load script itself: where its own event loop is late or its core is full, delays and stalls that it
 * measures may be its own.
 */
import type { Clock } from "#common/clock.ts";
import type { AddMeasurement } from "./report.ts";
import { Distribution } from "./statistics.ts";

/** Time between two looks. Milliseconds. */
const LOOK_MS = 20;
/** More than this and the note is given: lateness at the 95th percentile in milliseconds, and share of one core. */
const LATE_MS_MAX = 30;
const CORE_SHARE_MAX = 0.9;

/** Runs from its creation until {@link SelfCheck.stop}. */
export class SelfCheck {
  readonly #clock: Clock;
  readonly #late = new Distribution();
  readonly #startUsage = process.cpuUsage();
  readonly #startMs: number;
  #cancel: () => void;
  #coreShare = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startMs = clock.monotonicMs();
    this.#cancel = this.#schedule();
  }

  stop(): void {
    this.#cancel();
    const { user, system } = process.cpuUsage(this.#startUsage);
    const durationMs = this.#clock.monotonicMs() - this.#startMs;
    this.#coreShare = durationMs === 0 ? 0 : (user + system) / 1000 / durationMs;
  }

  add(add: AddMeasurement): void {
    add("ownCores", "this script's own use", this.#coreShare, "cores");
    add("ownLatenessP95", "its event loop late, p95", this.#late.percentile(0.95), "ms");
    add("ownLatenessMax", "its event loop late, max", this.#late.max, "ms");
  }

  /** A sentence if the figures may be this process's own doing. */
  get notes(): readonly string[] {
    if (this.#late.percentile(0.95) <= LATE_MS_MAX && this.#coreShare <= CORE_SHARE_MAX) return [];
    return [
      "This script was itself short of processor time: delays and stalls may be its own. Spread the viewers over more processes or machines.",
    ];
  }

  #schedule(): () => void {
    const dueMs = this.#clock.monotonicMs() + LOOK_MS;
    return this.#clock.after(LOOK_MS, () => {
      this.#late.add(Math.max(0, this.#clock.monotonicMs() - dueMs));
      this.#cancel = this.#schedule();
    });
  }
}
