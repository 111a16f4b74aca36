/** The loop that follows a playlist, on a clock moved by hand: what the upstream is asked, and what viewers get meanwhile. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { HeldBudget } from "#common/held-requests.ts";
import { standingOf } from "#common/playlist-reach.ts";
import { createRandom } from "../bench/statistics.ts";
import { FakeLiveUpstream, PART_MS, settle, TARGET_MS, type UpstreamMode } from "./fake-live-upstream.ts";
import { readPlaylistFacts } from "./playlist-facts.ts";
import { Playlists } from "./playlists.ts";
import { type Asked, ASKED_PLAIN, type TailAnswer } from "./tail-answer.ts";
import { IDLE_MS_MIN } from "./tail-loop.ts";

const KEY = "/live/canvas/720p/index.m3u8";
const STEP_MS = 10;
/** Half a target duration fresh, 1.5 stale. */
const PLAIN_AGE_MS_MAX = 1_000 + 1.5 * TARGET_MS;
const WAIT_MS_MAX = 3 * TARGET_MS + 500;

interface Fixture {
  readonly clock: FakeClock;
  readonly upstream: FakeLiveUpstream;
  /** Who answers: {@link Fixture.upstream} unless changed. */
  readonly source: { current: FakeLiveUpstream };
  readonly playlists: Playlists;
  /** How often each thing was fetched ahead. */
  readonly fetched: Map<string, number>;
}

function setup(rewrite?: (text: string) => string): Fixture {
  const clock = new FakeClock();
  const upstream = new FakeLiveUpstream(clock);
  const source = { current: upstream };
  const fetched = new Map<string, number>();
  const playlists = new Playlists({
    fetch: (path, holdMsMax) => source.current.fetch(path, holdMsMax),
    clock,
    budget: new HeldBudget(10_000),
    media: {
      resolve: (_key, uri) => uri,
      fetch(key) {
        if (fetched.has(key)) return undefined;
        fetched.set(key, 1);
        return Promise.resolve();
      },
      wasAnswered: (key) => key.includes(".m4s"),
    },
    ...(rewrite && { rewrite }),
  });
  return { clock, upstream, source, playlists, fetched };
}

/** Lets `ms` pass, in steps small enough for whatever reacts. */
async function pass({ clock }: Fixture, ms: number): Promise<void> {
  await settle();
  for (let passed = 0; passed < ms; passed += STEP_MS) {
    clock.advance(STEP_MS);
    await settle();
  }
}

async function textOf({ stored }: TailAnswer): Promise<string> {
  return (await stored?.body.text()) ?? "";
}

/** As `live.ts` asks. */
function ask(
  { playlists }: Fixture,
  asked: Asked,
  signal = new AbortController().signal,
): Promise<TailAnswer> {
  const now = playlists.answerNow(KEY, asked);
  if (now !== undefined) return Promise.resolve(now);
  const answer = (tail: TailAnswer): TailAnswer => tail;
  return playlists.hold(KEY, asked, { client: { signal }, answer }) ?? playlists.ask(KEY, asked, signal);
}

/** The reload that asks for what comes `ahead` parts after the newest part. */
function reload({ upstream }: Fixture, ahead = 1): Asked {
  const place = upstream.parts + ahead - 1;
  return { directives: { segmentNumber: 100 + Math.floor(place / 10), part: place % 10 }, isDelta: false };
}

describe("a followed playlist", () => {
  for (const count of [1, 100, 2_000]) {
    test(`E2: ${count} viewers: the upstream is asked once a part, whoever asks for what`, async () => {
      const made = setup();
      const first = ask(made, ASKED_PLAIN);
      await pass(made, 50);
      expect((await first).status).toBe(200);
      const before = made.upstream.asked.length;
      const parts = made.upstream.parts;
      let answers = 0;
      for (let round = 0; round < 20; round++) {
        for (let viewer = 0; viewer < count; viewer++) {
          const asked = viewer % 3 === 0 ? ASKED_PLAIN : reload(made, 1 + (viewer % 3));
          void ask(made, asked).then(({ status }) => (answers += status === 200 ? 1 : 0));
        }
        await pass(made, PART_MS);
      }
      await pass(made, 2 * PART_MS);
      expect(answers).toBe(20 * count);
      expect(made.upstream.asked.length - before).toBe(made.upstream.parts - parts);
      expect(made.upstream.most).toEqual({ held: 1, plain: 1 });
      expect(new Set(made.fetched.values())).toEqual(new Set([1]));
      made.playlists.close();
    });
  }

  test("E18: is given up a while after the last viewer, and taken up again by the next one with the newest version", async () => {
    const made = setup();
    void ask(made, ASKED_PLAIN);
    await pass(made, IDLE_MS_MIN - 100);
    expect(made.playlists.running).toBe(1);
    await pass(made, 100 + 2 * PART_MS);
    expect([made.playlists.running, made.upstream.pending]).toEqual([0, 0]);
    const before = made.upstream.asked.length;
    await pass(made, 5_000);
    expect(made.upstream.asked.length).toBe(before);
    const next = ask(made, ASKED_PLAIN);
    await pass(made, 50);
    expect(await textOf(await next)).toBe(made.upstream.text);
    expect((await next).cacheControl).toBe("max-age=1");
    expect([made.playlists.running, made.upstream.asked.length - before]).toEqual([1, 2]);
    expect(made.playlists.ageMs).toBeLessThanOrEqual(50);
    made.playlists.close();
  });

  test("E7, E22: is held for 5 s on one request, and all who wait are answered", async () => {
    const made = setup();
    void ask(made, ASKED_PLAIN);
    await pass(made, 50);
    made.upstream.mode = "stalled";
    const held: Promise<TailAnswer>[] = [];
    for (let waitedMs = 0; waitedMs < 5_000; waitedMs += 500) {
      held.push(ask(made, reload(made)));
      await pass(made, 500);
    }
    expect(made.upstream.asked.length).toBe(2);
    made.upstream.mode = "well";
    await pass(made, PART_MS);
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual(held.map(() => 200));
    made.playlists.close();
  });

  test.each([0, 1, 3, 5])(
    "E16: that is %d s behind by its Age: a player that asks ahead by that is held, and has what it asked for",
    async (ageSeconds) => {
      const made = setup();
      made.upstream.ageSeconds = ageSeconds;
      void ask(made, ASKED_PLAIN);
      // Until a segment has just begun: then what is asked for is as many parts ahead as can be.
      while (made.upstream.parts % 10 !== 2) await pass(made, PART_MS);
      const place = made.upstream.parts;
      // What hls.js does: as many whole segments and parts as the age, less a part, has; 1.5 target durations at most.
      const goalMs = Math.max(0, Math.min(1_000 * ageSeconds - PART_MS, 1.5 * TARGET_MS));
      const segments = Math.floor(goalMs / TARGET_MS);
      const parts = Math.round((goalMs % TARGET_MS) / PART_MS);
      const asked = reload(made, 1);
      const { segmentNumber = 0, part = 0 } = asked.directives ?? {};
      const ahead = { segmentNumber: segmentNumber + segments, part: part + parts };
      const answer = ask(made, { ...asked, directives: ahead });
      await pass(made, PART_MS * (2 + 10 * segments + parts));
      expect((await answer).status).toBe(200);
      expect(made.upstream.parts - place).toBeGreaterThanOrEqual(10 * segments + parts);
      made.playlists.close();
    },
  );

  test("E17: is given out stale for 1.5 target durations while its upstream fails, and then not at all; a reload never", async () => {
    const made = setup();
    void ask(made, ASKED_PLAIN);
    await pass(made, 50);
    made.upstream.mode = "busy";
    const reloading = ask(made, reload(made));
    await pass(made, 1_500);
    expect((await reloading).status).toBe(503);
    const stale = ask(made, ASKED_PLAIN);
    await pass(made, 50);
    expect(await stale).toMatchObject({ status: 200, result: "stale" });
    const delta = ask(made, { ...ASKED_PLAIN, isDelta: true });
    const held = ask(made, reload(made));
    await pass(made, 500);
    expect([(await delta).status, (await held).status]).toEqual([200, 503]);
    await pass(made, 2_500);
    const late = ask(made, ASKED_PLAIN);
    await pass(made, 50);
    expect((await late).status).toBe(503);
    expect(made.playlists.ageMs).toBeGreaterThan(PLAIN_AGE_MS_MAX);
    made.upstream.mode = "well";
    await pass(made, 1_000);
    const well = ask(made, reload(made));
    await pass(made, PART_MS);
    expect((await well).status).toBe(200);
    made.playlists.close();
  });

  test("E23: of an upstream that lags behind another one is not taken back, of one that began anew it is", async () => {
    const made = setup();
    void ask(made, ASKED_PLAIN);
    await pass(made, 50);
    const newest = made.upstream.text;
    made.source.current = new FakeLiveUpstream(made.clock, made.upstream.parts - 3);
    made.source.current.mode = "stalled";
    made.upstream.mode = "down";
    await pass(made, 1_200);
    const lagging = ask(made, ASKED_PLAIN);
    await pass(made, 20);
    expect(await textOf(await lagging)).toBe(newest);
    made.source.current.mode = "well";
    await pass(made, 4 * PART_MS);
    expect(await textOf(await ask(made, ASKED_PLAIN))).toBe(made.source.current.text);
    made.source.current.restart(5 + 40);
    await pass(made, 1_000);
    const restarted = ask(made, ASKED_PLAIN);
    await pass(made, 50);
    expect(await textOf(await restarted)).toContain("run1-");
    made.playlists.close();
  });

  test("E23: that began anew behind what is asked for: nobody is told that he asked too far", async () => {
    const made = setup();
    void ask(made, ASKED_PLAIN);
    await pass(made, 50);
    made.upstream.latencyMs = 30;
    const before = made.upstream.asked.length;
    while (made.upstream.asked.length === before) await pass(made, STEP_MS);
    const held = ask(made, reload(made, 1));
    made.upstream.restart(15);
    await pass(made, 200);
    expect((await held).status).toBe(503);
    const next = ask(made, reload(made, 1));
    await pass(made, 400);
    expect((await next).status).toBe(200);
    made.playlists.close();
  });

  test("E33: is rewritten once a version, before its delta update and its tag are made", async () => {
    let rewrites = 0;
    const made = setup((text) => {
      rewrites++;
      return text.replaceAll("aabbccdd-1", "//edge/1").replaceAll("run0-", "//edge/run0-");
    });
    void ask(made, ASKED_PLAIN);
    await pass(made, 50);
    const answers = await Promise.all([ask(made, ASKED_PLAIN), ask(made, { ...ASKED_PLAIN, isDelta: true })]);
    for (const { stored } of answers) {
      expect(await stored?.body.text()).toContain('URI="//edge/run0-104.0.m4s"');
      expect(stored?.etag).toMatch(/^"\w+"$/);
    }
    expect(rewrites).toBe(1);
    expect([...made.fetched.keys()].filter((name) => name.includes("edge"))).toEqual([]);
    made.playlists.close();
  });

  test("counts what was fetched ahead by whether a viewer came for it", async () => {
    const made = setup();
    void ask(made, ASKED_PLAIN);
    await pass(made, 1_000);
    expect(made.playlists.prefetches.judged).toEqual({ used: 0, unused: 0, dropped: 0 });
    const fetched = [...made.fetched.keys()];
    await pass(made, 20_000);
    const unused = fetched.filter((name) => name.includes("init")).length;
    expect(made.playlists.prefetches.judged).toMatchObject({ unused, dropped: 0 });
    expect(made.playlists.prefetches.judged.used).toBeGreaterThanOrEqual(fetched.length - unused);
    made.playlists.close();
  });
});

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
