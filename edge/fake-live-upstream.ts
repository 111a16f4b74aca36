/**
 * For the tests of playlist tails: an upstream without sockets, on a clock moved by hand, that goes on, stalls, hangs,
 * fails and begins anew when told. It notes what it was asked and when each text was its newest.
 */
import type { FakeClock } from "#common/clock.ts";
import { readDirectives } from "#common/delivery-directives.ts";
import { pause } from "#common/pause.ts";
import { standingOf } from "#common/playlist-reach.ts";
import { FakeLivePlaylist } from "./fake-origin.ts";
import { readPlaylistFacts } from "./playlist-facts.ts";
import { type UpstreamAnswer, UpstreamError } from "./upstream.ts";

/** What may be wrong with it. `stalled`: nothing new comes. `hung`: no answer. `down`: no connection. */
export type UpstreamMode = "well" | "stalled" | "hung" | "busy" | "down";

export const TARGET_MS = 2_000;
export const PART_MS = 200;
const LOW_LATENCY_LINES = /#EXT-X-(?:SERVER-CONTROL|PART|PART-INF|PRELOAD-HINT):.*\n/g;
const HOLD_MS_MAX = 3 * TARGET_MS;

interface Waiting {
  /** Answers if it is time. */
  readonly look: () => void;
  readonly fail: () => void;
}

export class FakeLiveUpstream {
  #mode: UpstreamMode = "well";
  /** From request to answer, in milliseconds. */
  latencyMs = 1;
  /** False for one that lists whole segments and holds nothing. */
  canBlock = true;
  /** Parts that it publishes whenever it is asked, beside those of their time. */
  partsPerRequest = 0;
  /** `Age` of its answers in seconds, which it is behind then. */
  ageSeconds = 0;
  /** Requests for the playlist, as asked. */
  readonly asked: string[] = [];
  /** The most held requests, and the most plain ones, that were under way at once. */
  readonly most = { held: 0, plain: 0 };
  /** When each text was last the newest. */
  readonly newestAtMs = new Map<string, number>();
  readonly #clock: FakeClock;
  readonly #under = { held: 0, plain: 0 };
  readonly #waiting = new Set<Waiting>();
  #live: FakeLivePlaylist;
  #runs = 0;

  constructor(clock: FakeClock, parts = 45) {
    this.#clock = clock;
    this.#live = new FakeLivePlaylist(parts);
    this.#tick();
  }

  get mode(): UpstreamMode {
    return this.#mode;
  }

  /** One that fails lets go of those whom it holds, too. */
  set mode(mode: UpstreamMode) {
    this.#mode = mode;
    if (mode === "busy" || mode === "down") this.#failAll();
  }

  get parts(): number {
    return this.#live.parts;
  }

  get text(): string {
    const text = this.#live.text().replaceAll("aabbccdd", `run${this.#runs}`);
    return this.canBlock ? text : text.replaceAll(LOW_LATENCY_LINES, "");
  }

  /** Requests that have no answer yet. */
  get pending(): number {
    return this.#under.held + this.#under.plain;
  }

  /** Begins anew at a place of its own: whoever is held loses the connection. */
  restart(parts: number): void {
    this.#runs++;
    this.#live = new FakeLivePlaylist(parts);
    this.newestAtMs.set(this.text, this.#clock.monotonicMs());
    this.#failAll();
  }

  #failAll(): void {
    for (const { fail } of this.#waiting) fail();
  }

  async fetch(path: string, timeoutMs: number): Promise<UpstreamAnswer> {
    this.asked.push(path);
    const kind = path.includes("_HLS_") ? "held" : "plain";
    this.#under[kind]++;
    this.most[kind] = Math.max(this.most[kind], this.#under[kind]);
    try {
      return await this.#answer(path.split("?")[1] ?? "", timeoutMs);
    } finally {
      this.#under[kind]--;
    }
  }

  async #answer(query: string, timeoutMs: number): Promise<UpstreamAnswer> {
    await this.#after(this.latencyMs);
    if (this.mode === "down") throw new UpstreamError("down", { status: 502, isReached: false });
    if (this.mode === "busy") return this.#respond(503, "busy");
    for (let part = 0; part < this.partsPerRequest; part++) this.#live.publish();
    const directives = this.canBlock ? readDirectives(query) : undefined;
    if (directives === "malformed") return this.#respond(400, "malformed");
    const startMs = this.#clock.monotonicMs();
    return new Promise((resolve, reject) => {
      const end = (): void => void this.#waiting.delete(waiting);
      const waiting: Waiting = {
        look: () => {
          const waitedMs = this.#clock.monotonicMs() - startMs;
          const answer = this.mode === "hung" ? undefined : this.#answerNow(directives, waitedMs);
          if (answer !== undefined) end();
          if (answer !== undefined) resolve(answer);
          if (waitedMs < timeoutMs) return;
          end();
          reject(new UpstreamError("no answer", { status: 504, isReached: true }));
        },
        fail: () => {
          end();
          reject(new UpstreamError("broken off", { status: 502, isReached: true }));
        },
      };
      this.#waiting.add(waiting);
      waiting.look();
    });
  }

  #answerNow(
    directives: Exclude<ReturnType<typeof readDirectives>, "malformed">,
    waitedMs: number,
  ): UpstreamAnswer | undefined {
    const reach = readPlaylistFacts(this.text)?.reach;
    const standing =
      directives === undefined || reach === undefined ? "listed" : standingOf(reach, directives);
    if (standing === "listed") return this.#respond(200, this.text);
    if (standing === "far") return this.#respond(400, "too far");
    return waitedMs >= HOLD_MS_MAX ? this.#respond(503, "overdue") : undefined;
  }

  #respond(status: number, text: string): UpstreamAnswer {
    const nowMs = this.#clock.monotonicMs();
    return {
      status,
      headers: new Headers({
        "content-type": "application/vnd.apple.mpegurl",
        "cache-control": "max-age=1, stale-while-revalidate=30",
        age: String(this.ageSeconds),
      }),
      requestedMs: nowMs,
      receivedMs: nowMs,
      receivedWallMs: this.#clock.wallMs(),
      body: new TextEncoder().encode(text),
    };
  }

  /** Publishes a part every {@link PART_MS}, unless it may not. */
  #tick(): void {
    this.newestAtMs.set(this.text, this.#clock.monotonicMs());
    if (this.mode === "well") this.#live.publish();
    this.newestAtMs.set(this.text, this.#clock.monotonicMs());
    for (const { look } of this.#waiting) look();
    this.#clock.after(PART_MS, () => this.#tick());
  }

  #after(delayMs: number): Promise<void> {
    return pause(this.#clock, delayMs);
  }
}

/** Lets everything run that needs no time. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
