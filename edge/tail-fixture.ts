/** What tests of playlist tails stand on: playlists in front of an upstream without sockets, on a clock moved by hand. */
import { FakeClock } from "#common/clock.ts";
import { HeldBudget } from "#common/held-requests.ts";
import { MEBIBYTE } from "#common/units.ts";
import { FakeLiveUpstream, settle, TARGET_MS } from "./fake-live-upstream.ts";
import { Store } from "./store.ts";
import { Playlists } from "./playlists.ts";
import type { Asked, TailAnswer } from "./tail-answer.ts";

export const KEY = "/live/canvas/720p/index.m3u8";
export const STEP_MS = 10;
const STORE_BYTES = 16 * MEBIBYTE;
/** Half a target duration fresh, 1.5 stale. */
export const PLAIN_AGE_MS_MAX = 1_000 + 1.5 * TARGET_MS;

export interface Fixture {
  readonly clock: FakeClock;
  readonly upstream: FakeLiveUpstream;
  /** Who answers: {@link Fixture.upstream} unless changed; and whether media may be kept. */
  readonly source: { current: FakeLiveUpstream; areKept: boolean };
  readonly playlists: Playlists;
  /** Whose memory the playlists take. */
  readonly store: Store;
  /** What was fetched ahead, and stays in memory. */
  readonly fetched: Set<string>;
}

export function setup(rewrite?: (text: string) => string): Fixture {
  const clock = new FakeClock();
  const upstream = new FakeLiveUpstream(clock);
  const source = { current: upstream, areKept: true };
  const fetched = new Set<string>();
  const store = new Store({ bytesMax: STORE_BYTES, clock });
  const playlists = new Playlists({
    fetch: (path, holdMsMax) => source.current.fetch(path, holdMsMax),
    clock,
    budget: new HeldBudget(10_000),
    bytes: store,
    keeper: store.lending,
    media: {
      resolve: (_key, uri) => uri,
      fetch(key) {
        if (fetched.has(key)) return undefined;
        fetched.add(key);
        return Promise.resolve(source.areKept);
      },
      wasAnswered: (key) => key.includes(".m4s"),
    },
    ...(rewrite && { rewrite }),
  });
  return { clock, upstream, source, playlists, store, fetched };
}

/** Lets `ms` pass, in steps small enough for whatever reacts. */
export async function pass({ clock }: Fixture, ms: number): Promise<void> {
  await settle();
  for (let passed = 0; passed < ms; passed += STEP_MS) {
    clock.advance(STEP_MS);
    await settle();
  }
}

export async function textOf({ stored }: TailAnswer): Promise<string> {
  return (await stored?.body.text()) ?? "";
}

function asIs(answer: TailAnswer): TailAnswer {
  return answer;
}

/** As `live.ts` asks. */
export function ask(
  { playlists }: Fixture,
  asked: Asked,
  signal = new AbortController().signal,
): Promise<TailAnswer> {
  const now = playlists.answerNow(KEY, asked);
  if (now !== undefined) return Promise.resolve(now);
  return (
    playlists.hold(KEY, asked, { client: { signal }, answer: asIs }) ?? playlists.ask(KEY, asked, signal)
  );
}

/** The reload that asks for what comes `ahead` parts after the newest part. */
export function reload({ upstream }: Fixture, ahead = 1): Asked {
  const place = upstream.parts + ahead - 1;
  return { directives: { segmentNumber: 100 + Math.floor(place / 10), part: place % 10 }, isDelta: false };
}
