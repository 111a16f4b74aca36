/** The modelled player against a scripted origin: what it fetches, when it stalls, which breaches it reports. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import type { HttpResponse } from "./http-client.ts";
import { HttpFailure } from "./http-connection.ts";
import { HlsPlayer } from "./hls-player.ts";
import { PlaylistReader } from "./playlist-reader.ts";
import { ViewerFigures } from "./viewer-figures.ts";

const PART_MS = 200;
const PARTS_PER_SEGMENT = 5;

/** A stream whose parts appear when the test says so, and a player that watches it; time is a fake clock. */
class Script {
  readonly clock = new FakeClock();
  readonly figures = new ViewerFigures(this.clock);
  readonly requests: string[] = [];
  /** Parts published so far. */
  parts = 12;
  /** False while the server gives nothing. */
  isUp = true;
  readonly player: HlsPlayer;
  readonly #startWallMs = this.clock.wallMs() - 12 * PART_MS;
  readonly #held = new Map<() => boolean, () => void>();

  constructor(options: { readonly isLowLatency?: boolean; readonly ignoresHints?: boolean } = {}) {
    this.player = new HlsPlayer({
      url: "http://host/index.m3u8",
      isLowLatency: options.isLowLatency ?? true,
      ignoresHints: options.ignoresHints ?? false,
      client: { get: (url) => this.#get(url) },
      reader: new PlaylistReader(this.figures.protocolErrors),
      figures: this.figures,
      clock: this.clock,
    });
  }

  /** Moves time on in steps of 10 ms; a part appears each `PART_MS` while `isPublishing`. */
  async pass(durationMs: number, isPublishing = true): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += 10) {
      this.clock.advance(10);
      const due = Math.floor((this.clock.wallMs() - this.#startWallMs) / PART_MS);
      if (isPublishing && due > this.parts) this.parts += 1;
      for (const [isReady, release] of this.#held) {
        if (!isReady()) continue;
        this.#held.delete(isReady);
        release();
      }
      await settle();
    }
  }

  stalls(isOver = false): readonly [number, number] {
    const { buffer } = this.player;
    buffer?.advance(this.clock.monotonicMs(), isOver);
    return [buffer?.stalls ?? -1, buffer?.stalledMs ?? -1];
  }

  async #get(address: string): Promise<HttpResponse> {
    const url = new URL(address);
    this.requests.push(`${url.pathname}${url.search}`);
    if (!this.isUp) throw new HttpFailure("ECONNREFUSED");
    const answer = (text: string): HttpResponse => {
      const body = new TextEncoder().encode(text);
      return { url: address, status: 200, field: () => undefined, body, bytes: body.length };
    };
    if (url.pathname === "/index.m3u8") return answer("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nmedia.m3u8\n");
    const msn = url.searchParams.get("_HLS_msn");
    const part = /^\/p(\d+)\.m4s$/.exec(url.pathname)?.[1];
    if (msn !== null) {
      await this.#hold(Number(msn) * PARTS_PER_SEGMENT + Number(url.searchParams.get("_HLS_part")));
    } else if (part !== undefined) {
      await this.#hold(Number(part));
    }
    return answer(url.pathname === "/media.m3u8" ? this.#playlist() : "media");
  }

  async #hold(part: number): Promise<void> {
    const isReady = (): boolean => this.parts > part;
    if (!isReady()) await new Promise<void>((resolve) => this.#held.set(isReady, resolve));
  }

  #playlist(): string {
    const segments = Math.floor(this.parts / PARTS_PER_SEGMENT);
    const first = Math.max(0, segments - 6);
    let text = `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6\n#EXT-X-PART-INF:PART-TARGET=0.2\n#EXT-X-MEDIA-SEQUENCE:${first}\n`;
    for (let msn = first; msn <= segments; msn += 1) {
      const startMs = this.#startWallMs + msn * PARTS_PER_SEGMENT * PART_MS;
      text += `#EXT-X-PROGRAM-DATE-TIME:${new Date(startMs).toISOString()}\n`;
      for (let part = msn * PARTS_PER_SEGMENT; part < (msn + 1) * PARTS_PER_SEGMENT; part += 1) {
        if (part >= this.parts) break;
        text += `#EXT-X-PART:DURATION=0.2,URI="p${part}.m4s"${part % PARTS_PER_SEGMENT === 0 ? ",INDEPENDENT=YES" : ""}\n`;
      }
      if (msn < segments) text += `#EXTINF:1.00000,\ns${msn}.m4s\n`;
    }
    return `${text}#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p${this.parts}.m4s"\n`;
  }
}

/** Lets everything that waits for promises run. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe("HlsPlayer", () => {
  test("begins at the part hold-back and follows with held reloads and hinted parts", async () => {
    const script = new Script();
    const run = script.player.run();
    await script.pass(400);
    expect(script.requests.slice(0, 10)).toEqual([
      "/index.m3u8",
      "/media.m3u8",
      "/media.m3u8?_HLS_msn=2&_HLS_part=2",
      // 12 parts: the end less 0.6 s lies in segment 1, whose key frame is part 5.
      "/p5.m4s",
      "/p6.m4s",
      "/p7.m4s",
      "/p8.m4s",
      "/p9.m4s",
      "/p10.m4s",
      "/p11.m4s",
    ]);
    expect(script.requests.slice(10)).toEqual([
      "/p12.m4s",
      "/p13.m4s",
      "/media.m3u8?_HLS_msn=2&_HLS_part=3",
      "/p14.m4s",
      "/media.m3u8?_HLS_msn=2&_HLS_part=4",
    ]);
    await script.pass(4_000);
    expect(script.stalls()).toEqual([0, 0]);
    expect(new Set(script.requests).size).toBe(script.requests.length);
    expect(script.figures.protocolErrors.toString()).toBe("none");
    expect(script.figures.mediaDelay.max).toBeLessThanOrEqual(10);
    script.player.stop();
    await script.pass(300);
    await run;
  });

  test("asks for listed parts only where hints are ignored", async () => {
    const script = new Script({ ignoresHints: true });
    const run = script.player.run();
    await script.pass(2_000);
    expect(script.stalls()).toEqual([0, 0]);
    expect(script.requests.filter((path) => path.startsWith("/p")).length).toBe(script.parts - 5);
    script.player.stop();
    await script.pass(300);
    await run;
  });

  test("stalls when parts stop, for exactly as long as the buffer is dry, and goes on", async () => {
    const script = new Script();
    const run = script.player.run();
    await script.pass(1_000);
    const aheadMs = script.player.buffer?.aheadMs(script.clock.monotonicMs()) ?? 0;
    await script.pass(2_000, false);
    expect(script.stalls(true)).toEqual([1, 2_000 - aheadMs]);
    await script.pass(1_000);
    expect(script.player.buffer?.isStalled).toBeFalse();
    expect(script.stalls()[0]).toBe(1);
    script.player.stop();
    await script.pass(300);
    await run;
  });

  test("plays whole segments without low latency and reloads each target duration", async () => {
    const script = new Script({ isLowLatency: false });
    script.parts = 30;
    const run = script.player.run();
    await settle();
    await script.pass(50, false);
    expect(script.requests).toEqual(["/index.m3u8", "/media.m3u8", "/s3.m4s", "/s4.m4s", "/s5.m4s"]);
    await script.pass(1_000, false);
    expect(script.requests.slice(5)).toEqual(["/media.m3u8"]);
    // Nothing was new: half a target duration later it asks again.
    await script.pass(500, false);
    expect(script.requests.slice(5)).toEqual(["/media.m3u8", "/media.m3u8"]);
    script.player.stop();
    await run;
  });

  test("counts failures and comes back when the server does", async () => {
    const script = new Script();
    script.isUp = false;
    const run = script.player.run();
    await script.pass(3_000);
    expect(script.player.buffer).toBeUndefined();
    expect(script.figures.errors.get("multivariant ECONNREFUSED")).toBe(4);
    script.isUp = true;
    await script.pass(3_000);
    expect(script.player.buffer?.hasBegun).toBeTrue();
    script.player.stop();
    await script.pass(300);
    await run;
  });
});
