/** The loop that follows a playlist, on a clock moved by hand: what the upstream is asked, and what viewers get meanwhile. */
import { describe, expect, test } from "bun:test";
import { FakeLiveUpstream, PART_MS, TARGET_MS } from "./fake-live-upstream.ts";
import { ASKED_PLAIN, type TailAnswer } from "./tail-answer.ts";
import { ask, KEY, pass, PLAIN_AGE_MS_MAX, reload, setup, STEP_MS, textOf } from "./tail-fixture.ts";
import { IDLE_MS_MIN } from "./tail-loop.ts";

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

  test("E18: taken up again right after it was given up: the next viewers begin with what has come since, asked for once", async () => {
    const made = setup();
    void ask(made, ASKED_PLAIN);
    await pass(made, IDLE_MS_MIN - 100);
    while (made.playlists.running > 0) await pass(made, STEP_MS);
    await pass(made, 3 * PART_MS);
    const before = made.upstream.asked.length;
    const next = [ask(made, ASKED_PLAIN), ask(made, ASKED_PLAIN)];
    await pass(made, STEP_MS);
    const newest = made.upstream.text;
    expect(await Promise.all(next.map(async (answer) => textOf(await answer)))).toEqual([newest, newest]);
    expect(made.upstream.asked.slice(before).filter((path) => !path.includes("_HLS_"))).toHaveLength(1);
    made.playlists.close();
  });

  test("of an upstream that says an Age: asking too far makes nobody look more than twice a second", async () => {
    const made = setup();
    made.upstream.ageSeconds = 1;
    void ask(made, ASKED_PLAIN);
    await pass(made, 50);
    const before = made.upstream.asked.length;
    const statuses: Promise<TailAnswer>[] = [];
    for (let asked = 0; asked < 100; asked++) {
      statuses.push(ask(made, reload(made, 40)));
      await pass(made, STEP_MS);
    }
    expect(new Set((await Promise.all(statuses)).map(({ status }) => status))).toEqual(new Set([400]));
    const plain = made.upstream.asked.slice(before).filter((path) => !path.includes("_HLS_"));
    expect(plain.length).toBeLessThanOrEqual(2);
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

  test("E17: with nothing new for three target durations: reloads get 503, and who wants it as it is has it", async () => {
    const made = setup();
    void ask(made, ASKED_PLAIN);
    await pass(made, 50);
    made.upstream.mode = "stalled";
    // The upstream's own hold is over first.
    await pass(made, 2 * PART_MS);
    const statuses: number[] = [];
    void ask(made, reload(made)).then((answer) => statuses.push(answer.status));
    while (statuses.length === 0) await pass(made, STEP_MS);
    expect(statuses).toEqual([503]);
    const plain = ask(made, ASKED_PLAIN);
    const reloading = ask(made, reload(made));
    await pass(made, 20);
    expect([(await plain).status, (await reloading).status]).toEqual([200, 503]);
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
    expect(await stale).toMatchObject({ status: 200, result: "stale", forwarded: 503 });
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
    expect([...made.fetched].filter((name) => name.includes("edge"))).toEqual([]);
    made.playlists.close();
  });

  test.each([1, 100])(
    "that does not block is looked at as its segments come, for %d viewers",
    async (count) => {
      const made = setup();
      made.upstream.canBlock = false;
      void ask(made, ASKED_PLAIN);
      await pass(made, 50);
      const before = made.upstream.asked.length;
      let oldMs = 0;
      for (let step = 0; step < 100; step++) {
        await pass(made, PART_MS);
        for (let viewer = 0; viewer < count; viewer++) {
          const text = await textOf(await ask(made, viewer % 2 === 0 ? ASKED_PLAIN : reload(made, 5)));
          oldMs = Math.max(oldMs, made.clock.monotonicMs() - (made.upstream.newestAtMs.get(text) ?? 0));
        }
      }
      // Ten segments: each is seen within an eighth of its length, by two or three looks.
      expect(made.upstream.asked.length - before).toBeLessThanOrEqual(30);
      expect(made.upstream.asked.some((path) => path.includes("_HLS_"))).toBe(false);
      expect(oldMs).toBeLessThanOrEqual(TARGET_MS / 8 + PART_MS);
      made.playlists.close();
    },
  );

  test("that is new at every request is asked for four times a part", async () => {
    const made = setup();
    made.upstream.partsPerRequest = 1;
    void ask(made, ASKED_PLAIN);
    await pass(made, 50);
    const before = made.upstream.asked.length;
    await pass(made, 10 * PART_MS);
    expect(made.upstream.asked.length - before).toBeLessThanOrEqual(41);
    expect(made.upstream.asked.length - before).toBeGreaterThan(20);
    made.playlists.close();
  });

  test("that was fetched elsewhere is followed from then on, if its upstream holds requests", async () => {
    const made = setup();
    const answer = made.upstream.fetch(KEY, 1_000);
    await pass(made, 10);
    expect([made.playlists.offer(KEY, await answer), made.playlists.has(KEY)]).toEqual([true, true]);
    await pass(made, 2 * PART_MS);
    expect(await textOf(await ask(made, ASKED_PLAIN))).toBe(made.upstream.text);
    expect(made.upstream.asked.filter((path) => !path.includes("_HLS_"))).toHaveLength(1);
    made.upstream.canBlock = false;
    const plain = made.upstream.fetch("/plain.m3u8", 1_000);
    await pass(made, 10);
    expect(made.playlists.offer("/plain.m3u8", await plain)).toBe(false);
    expect(made.playlists.has("/plain.m3u8")).toBe(false);
    made.playlists.close();
  });

  test("whose media may not be kept: no more of them are fetched ahead", async () => {
    const made = setup();
    made.source.areKept = false;
    void ask(made, ASKED_PLAIN);
    await pass(made, 5_000);
    const names = [...made.fetched];
    await pass(made, 2_000);
    expect([...made.fetched]).toEqual(names);
    made.playlists.close();
  });

  test("counts what was fetched ahead by whether a viewer came for it", async () => {
    const made = setup();
    void ask(made, ASKED_PLAIN);
    await pass(made, 1_000);
    expect(made.playlists.prefetches.judged).toEqual({ used: 0, unused: 0, dropped: 0 });
    const fetched = [...made.fetched];
    await pass(made, 20_000);
    const unused = fetched.filter((name) => name.includes("init")).length;
    expect(made.playlists.prefetches.judged).toMatchObject({ unused, dropped: 0 });
    expect(made.playlists.prefetches.judged.used).toBeGreaterThanOrEqual(fetched.length - unused);
    made.playlists.close();
  });
});
