/** What passes through to slow clients, and the places and memory of everybody else, with an upstream made by hand. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { MEBIBYTE } from "#common/units.ts";
import type { BodyReader } from "./fill-body.ts";
import type { Asker, Fill } from "./fill.ts";
import type { Wanted } from "./wanted.ts";
import { FillRefusedError, Fills } from "./fills.ts";
import { Store } from "./store.ts";
import type { Upstream, UpstreamResponse } from "./upstream.ts";

/** Fills at once that are no one client's, and beside them those that are. */
const FILLS_MAX = 384;
const PLACES_MAX = 1_024;
const CHUNK = new Uint8Array(256 * 1024);

type Kind = "waiting" | "endless" | "large" | "small";

/** An edge's fills before an upstream that answers `/<kind>/…`: not at all, with a head alone, with more than is kept, with a byte. */
class Bench {
  readonly clock = new FakeClock();
  readonly store: Store;
  readonly fills: Fills;
  #asked = 0;

  constructor(cacheMib = 16) {
    this.store = new Store({ bytesMax: cacheMib * MEBIBYTE, clock: this.clock });
    const upstream = { isClosed: false, request: (path: string) => this.#answer(path) };
    // Of an upstream they need no more.
    this.fills = new Fills({
      upstream: upstream as unknown as Upstream,
      store: this.store,
      clock: this.clock,
    });
  }

  /** Asks for another thing of a kind, from a byte on; what the asker makes of it is the fill, with a reader that stays. */
  async ask(kind: Kind, start = 0): Promise<SlowReader> {
    const wanted = wantedOf(`/${kind}/${++this.#asked}`, kind !== "endless");
    const asker: Asker<SlowReader> = { answer: (fill) => new SlowReader(fill, start) };
    const [reader] = await Promise.all([this.fills.share(wanted, asker), this.#settle()]);
    return reader;
  }

  /** Begins a fill that nobody waits for the answer of. */
  begin(kind: Kind): void {
    const wanted = wantedOf(`/${kind}/${++this.#asked}`, true);
    this.fills.share(wanted, { answer: () => undefined }).catch(() => {});
  }

  /** Lets what has come be handed on, and the time pass until it is streamed. */
  async #settle(): Promise<void> {
    await Bun.sleep(0);
    this.clock.advance(10);
    await Bun.sleep(0);
  }

  async #answer(path: string): Promise<UpstreamResponse> {
    const [, kind] = path.split("/");
    if (kind === "waiting") await new Promise(() => {});
    const lengths: Record<string, string> = { large: String(1_048_576 * MEBIBYTE), small: "1" };
    const nowMs = this.clock.monotonicMs();
    return {
      head: {
        status: 200,
        headers: new Headers({ "content-length": lengths[kind ?? ""] ?? "" }),
        requestedMs: nowMs,
        receivedMs: nowMs,
        receivedWallMs: this.clock.wallMs(),
      },
      chunks: chunksOf(kind),
      discard: () => {},
    };
  }
}

async function* chunksOf(kind: string | undefined): AsyncGenerator<Uint8Array> {
  if (kind === "endless") await new Promise(() => {});
  if (kind === "small") yield new Uint8Array(1);
  if (kind === "large") for (;;) yield CHUNK.slice();
}

function wantedOf(path: string, isShared: boolean): Wanted {
  return { key: path, path, judge: () => ({ isShared, isStored: isShared }) };
}

/** Takes so much of a body when it is told to, and else nothing. */
class SlowReader implements BodyReader {
  readonly cursor;
  isDropped = false;
  readonly #fill: Fill;

  constructor(fill: Fill, start: number) {
    if (fill.body === undefined) throw new Error("A fill without a body");
    this.#fill = fill;
    this.cursor = fill.body.cursorAt(start);
    fill.retain();
    fill.body.readers.add(this);
  }

  /** Resolves when as much has come behind it. */
  async take(bytes: number): Promise<void> {
    this.#fill.body?.take(this.cursor, bytes);
    this.#fill.body?.onTaken();
    await Bun.sleep(0);
  }

  onChange(): void {}

  drop(): void {
    this.isDropped = true;
    this.#fill.body?.readers.delete(this);
    this.#fill.release();
  }
}

async function many<T>(count: number, make: () => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  for (let index = 0; index < count; index++) made.push(await make());
  return made;
}

describe("places", () => {
  test("what is one client's own, or too large to be kept, takes none of the others'", async () => {
    const bench = new Bench(4_096);
    await many(FILLS_MAX / 2, () => bench.ask("endless"));
    await many(FILLS_MAX / 2, () => bench.ask("large"));
    expect([bench.fills.running, bench.fills.passing]).toEqual([FILLS_MAX, FILLS_MAX]);
    const reader = await bench.ask("small");
    expect(reader.isDropped).toBe(false);
    for (let count = 0; count < FILLS_MAX; count++) bench.begin("waiting");
    expect(bench.fills.running).toBe(2 * FILLS_MAX);
    await expect(bench.ask("small")).rejects.toBeInstanceOf(FillRefusedError);
  });

  test("are bounded all together: past it the slowest client gives way, and where none is slow, who comes is refused", async () => {
    const bench = new Bench(4_096);
    await many(PLACES_MAX + FILLS_MAX - 2, () => bench.ask("endless"));
    const [first, second] = await many(2, () => bench.ask("large"));
    await expect(bench.ask("small")).rejects.toBeInstanceOf(FillRefusedError);
    bench.clock.advance(1_000);
    await first?.take(100 * 1024);
    await second?.take(200 * 1024);
    await bench.ask("small");
    expect([first?.isDropped, second?.isDropped]).toEqual([true, false]);
    expect(bench.fills.running).toBe(PLACES_MAX + FILLS_MAX - 1);
    await bench.ask("endless");
    await bench.ask("small");
    expect(second?.isDropped).toBe(true);
    await bench.ask("endless");
    await expect(bench.ask("small")).rejects.toBeInstanceOf(FillRefusedError);
  });
});

describe("memory", () => {
  test("who asks for a later part is not taken for fast", async () => {
    const bench = new Bench(16);
    const late = await bench.ask("large", 4 * MEBIBYTE);
    const others = await many(15, () => bench.ask("large"));
    bench.clock.advance(1_000);
    await late.take(1024);
    for (const reader of others) await reader.take(2 * 1024);
    expect(bench.fills.reserve(MEBIBYTE)).toBe(true);
    expect([late, ...others].map(({ isDropped }) => isDropped)).toEqual([true, ...others.map(() => false)]);
  });

  test("beyond their quarter goes to whoever needs it, the slowest clients' first", async () => {
    const bench = new Bench(16);
    const readers = await many(16, () => bench.ask("large"));
    expect(bench.store.reservedBytes).toBe(bench.store.bytesMax);
    expect(bench.fills.reserve(MEBIBYTE)).toBe(false);
    bench.clock.advance(1_000);
    for (const [index, reader] of readers.entries()) await reader.take((1 + ((index * 5) % 16)) * 1024);
    const dropped = (): number[] =>
      readers
        .flatMap(({ isDropped }, index) => (isDropped ? [(index * 5) % 16] : []))
        .toSorted((a, b) => a - b);
    expect(bench.fills.reserve(1)).toBe(true);
    expect(dropped()).toEqual([0]);
    expect(bench.fills.reserve(3 * MEBIBYTE)).toBe(true);
    expect(dropped()).toEqual([0, 1, 2, 3]);
    // More than they can give: nobody goes in vain.
    expect(bench.fills.reserve(9 * MEBIBYTE)).toBe(false);
    expect(dropped()).toEqual([0, 1, 2, 3]);
    expect(bench.fills.reserve(8 * MEBIBYTE)).toBe(true);
    expect(bench.fills.reserve(MEBIBYTE)).toBe(false);
    expect(dropped()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(bench.fills.passing).toBe(4);
  });
});
