/** Viewers that ask at random, of an upstream that stalls, hangs, fails and begins anew at random. */
import { expect, test } from "bun:test";
import { standingOf } from "#common/playlist-reach.ts";
import { createRandom } from "#common/random.ts";
import { TARGET_MS, type UpstreamMode } from "./fake-live-upstream.ts";
import { readPlaylistFacts } from "./playlist-facts.ts";
import { type Asked, ASKED_PLAIN, type TailAnswer } from "./tail-answer.ts";
import { ask, pass, PLAIN_AGE_MS_MAX, reload, setup, STEP_MS, textOf } from "./tail-fixture.ts";

const WAIT_MS_MAX = 3 * TARGET_MS + 500;
const MODES: readonly UpstreamMode[] = ["well", "well", "well", "stalled", "hung", "busy", "down"];
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];
/** After this long of health nothing is left of what was before. */
const RECOVERED_MS = 3 * TARGET_MS + 3_000;

/** Viewers that ask at random, of an upstream whose state changes at random; each answer is held against the rules. */
class Storm {
  readonly made = setup();
  readonly problems: string[] = [];
  answers = 0;
  readonly #random: () => number;
  #wellSinceMs = 0;
  #pending = 0;

  constructor(seed: number) {
    this.#random = createRandom(seed);
    this.#wellSinceMs = this.#nowMs();
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      if (this.#random() < 0.004) this.#change();
      if (this.#random() < 0.25) void this.#visit();
      await pass(this.made, STEP_MS * (1 + Math.floor(this.#random() * 6)));
    }
    await pass(this.made, WAIT_MS_MAX + 10_000);
    if (this.#pending > 0) this.problems.push(`${this.#pending} viewers never got an answer`);
    this.made.playlists.close();
  }

  #change(): void {
    const { upstream } = this.made;
    upstream.latencyMs = this.#random() < 0.3 ? 30 : 1;
    if (this.#random() < 0.3) {
      upstream.restart(20 + Math.floor(this.#random() * 60));
      this.#wellSinceMs = this.#nowMs();
    }
    upstream.mode = MODES[Math.floor(this.#random() * MODES.length)] ?? "well";
    if (upstream.mode !== "well") this.#wellSinceMs = Number.POSITIVE_INFINITY;
    else if (this.#wellSinceMs === Number.POSITIVE_INFINITY) this.#wellSinceMs = this.#nowMs();
  }

  async #visit(): Promise<void> {
    const isPlain = this.#random() < 0.4;
    const ahead = Math.floor(this.#random() * 14) - 3;
    const asked = { ...(isPlain ? ASKED_PLAIN : reload(this.made, ahead)), isDelta: this.#random() < 0.3 };
    const startMs = this.#nowMs();
    this.#pending++;
    const answer = await ask(this.made, asked);
    this.#pending--;
    this.answers++;
    this.#check({ asked, answer, startMs, text: await textOf(answer) });
  }

  #check(seen: { asked: Asked; answer: TailAnswer; startMs: number; text: string }): void {
    const { asked, answer, startMs, text } = seen;
    const nowMs = this.#nowMs();
    const said = `${answer.status} ${answer.result} to ${JSON.stringify(asked.directives)} after ${nowMs - startMs}`;
    if (nowMs - startMs > WAIT_MS_MAX + TARGET_MS) this.problems.push(`too late: ${said}`);
    if (answer.status === 400 && nowMs - startMs > 200) this.problems.push(`waited for a refusal: ${said}`);
    if (answer.status !== 200) {
      if (startMs - this.#wellSinceMs > RECOVERED_MS) this.problems.push(`of a well upstream: ${said}`);
      return;
    }
    const reach = readPlaylistFacts(text)?.reach;
    if (reach === undefined) this.problems.push(`no playlist: ${said}`);
    else if (asked.directives === undefined) {
      const ageMs = nowMs - (this.made.upstream.newestAtMs.get(text) ?? 0);
      if (ageMs > PLAIN_AGE_MS_MAX + 100) this.problems.push(`${ageMs} ms old: ${said}`);
    } else if (standingOf(reach, asked.directives) !== "listed") this.problems.push(`not in it: ${said}`);
    else if (answer.result === "stale") this.problems.push(`stale reload: ${said}`);
  }

  #nowMs(): number {
    return this.made.clock.monotonicMs();
  }
}

test.each(SEEDS)(
  "E6, E17, E23: random versions, restarts and failures (seed %d): nobody waits in vain, nobody gets what he did not ask for",
  async (seed) => {
    const storm = new Storm(seed);
    await storm.run(2_000);
    expect(storm.problems).toEqual([]);
    expect(storm.answers).toBeGreaterThan(400);
    expect(storm.made.upstream.most).toEqual({ held: 1, plain: 1 });
    expect(storm.made.upstream.pending).toBe(0);
  },
);
