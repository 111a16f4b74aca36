/**
 * What a held reload costs an origin without sockets: many wait for the next part, and for each the time from its
 * publication to its answer is taken; a checksum of the answers says that the work was done.
 * `bun bench/micro/held-reload.bench.ts [waiters]`.
 */
import { systemClock } from "#common/clock.ts";
import { TESTSRC_FIGURES, testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { HeldBudget } from "#common/held-requests.ts";
import { silentLog } from "#common/log.ts";
import { createLiveAnswers, emptyCounts, readLiveRequest } from "../../origin/live-answers.ts";
import { LiveStream } from "../../origin/live-stream.ts";

/** The result of one size. */
export interface HeldReloadFigures {
  /** From publication to the answer of one waiter, milliseconds: over the waiters of all rounds. */
  readonly wakeMsMedian: number;
  readonly wakeMsP99: number;
  /** To take one request, microseconds: median over the rounds. */
  readonly askUsMedian: number;
  /** CRC-32 of all answers' entity tags. */
  readonly checksum: string;
}

const FRAMES_PER_PART = 6;
/** `rounds` parts, for each of which `waiters` requests wait. */
export async function benchHeldReload({
  waiters,
  rounds,
}: {
  readonly waiters: number;
  readonly rounds: number;
}): Promise<HeldReloadFigures> {
  const budget = new HeldBudget(waiters);
  const stream = new LiveStream({
    partDurationMs: 200,
    windowSeconds: 24,
    clock: systemClock,
    log: silentLog,
    budget,
  });
  const counts = { requests: emptyCounts(), sent: emptyCounts() };
  const answer = createLiveAnswers({ stream, streamName: "canvas", ...counts });
  const run = testsrcRun();
  stream.onRun(run);
  stream.onFigures(TESTSRC_FIGURES);
  let next = 0;
  const play = (count: number): void => {
    for (const end = next + count; next < end; next++) stream.onFrame(testsrcFrame(run, next));
  };
  play(60);
  const wakesMs: number[] = [];
  const asksUs: number[] = [];
  let tags = "";
  for (let round = 0; round < rounds; round++) {
    const segment = Math.floor((run.startFrame + next) / 60);
    const part = (next % 60) / FRAMES_PER_PART;
    const url = `http://origin/live/canvas/64p/index.m3u8?_HLS_msn=${segment}&_HLS_part=${part}`;
    const headers = { "accept-encoding": "gzip, deflate, br" };
    const asked = Array.from({ length: waiters }, () => new Request(url, { headers }));
    let startMs = performance.now();
    const answers = asked.map(async (request) => {
      const response = await answer(readLiveRequest(request));
      return { endMs: performance.now(), tag: response?.headers.get("etag") ?? "" };
    });
    asksUs.push(((performance.now() - startMs) * 1000) / waiters);
    startMs = performance.now();
    play(FRAMES_PER_PART);
    for (const { endMs, tag } of await Promise.all(answers)) {
      wakesMs.push(endMs - startMs);
      tags += tag;
    }
  }
  stream.close();
  return {
    wakeMsMedian: quantile(wakesMs, 0.5),
    wakeMsP99: quantile(wakesMs, 0.99),
    askUsMedian: quantile(asksUs, 0.5),
    checksum: Bun.hash.crc32(tags).toString(16).padStart(8, "0"),
  };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
}

if (import.meta.main) {
  const waiters = Number(process.argv[2] ?? 1_000);
  console.table([{ waiters, ...(await benchHeldReload({ waiters, rounds: 50 })) }]);
}
