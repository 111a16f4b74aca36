/** The figures' connection through silence, nonsense and a browser that gives up, by a clock moved by hand. */
import { beforeEach, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import type { Move, StreamFigures } from "#common/formats/events.ts";
import { FiguresFeed } from "./figures-feed.ts";

const figures: StreamFigures = {
  timeMs: 1,
  canvas: {
    width: 8,
    height: 4,
    pixelflutPort: 1234,
    pixels: 9,
    pixelsPerSecond: 3,
    bitsPerSecond: 24,
    players: 2,
  },
  stream: { viewers: 5, edges: 1, isLive: true },
};

/** An `EventSource` moved by hand. */
class FakeSource extends EventTarget {
  readyState = 1;
  isClosed = false;

  close(): void {
    this.isClosed = true;
  }

  say(data: string, kind = "figures"): void {
    this.dispatchEvent(new MessageEvent(kind, { data }));
  }
}

let clock: FakeClock;
let sources: FakeSource[];
let heard: StreamFigures[];
let stale: boolean[];
let moves: Move[];
let feed: FiguresFeed;

beforeEach(() => {
  clock = new FakeClock();
  sources = [];
  heard = [];
  stale = [];
  moves = [];
  feed = new FiguresFeed({
    clock,
    random: () => 0,
    connect() {
      const source = new FakeSource();
      sources.push(source);
      return source;
    },
    onFigures: (one) => heard.push(one),
    onMove: (move) => moves.push(move),
    onStale: (isStale) => stale.push(isStale),
  });
  feed.open("http://edge.example/live/canvas/events");
});

test("FiguresFeed passes figures on and drops what is none", () => {
  sources[0]?.say("nonsense");
  sources[0]?.say(JSON.stringify(figures));
  expect(heard).toEqual([figures]);
  expect(stale).toEqual([false]);
});

test("FiguresFeed calls figures stale after five silent seconds, and fresh again with the next", () => {
  sources[0]?.say(JSON.stringify(figures));
  clock.advance(5_000);
  expect(stale).toEqual([false]);
  clock.advance(500);
  expect(stale).toEqual([false, true]);
  expect(feed.silentMs).toBe(5_500);
  sources[0]?.say(JSON.stringify(figures));
  expect(stale).toEqual([false, true, false]);
});

test("FiguresFeed opens a new connection where the browser has given up", () => {
  const [first] = sources;
  if (first !== undefined) first.readyState = 2;
  clock.advance(1_500);
  expect(sources).toHaveLength(2);
  expect(first?.isClosed).toBe(true);
});

test("FiguresFeed replaces a connection that says nothing, at most once in ten seconds", () => {
  clock.advance(60_000);
  expect(sources.length).toBeGreaterThanOrEqual(5);
  expect(sources.length).toBeLessThanOrEqual(6);
});

test("FiguresFeed.open() moves to another URL and hears no more from the old one", () => {
  feed.open("http://other.example/live/canvas/events");
  sources[0]?.say(JSON.stringify(figures));
  expect(heard).toEqual([]);
  expect(sources[0]?.isClosed).toBe(true);
  sources[1]?.say(JSON.stringify(figures));
  expect(heard).toEqual([figures]);
});

test("FiguresFeed.close() hangs up for good, until open() begins anew", () => {
  feed.close();
  expect(sources[0]?.isClosed).toBe(true);
  clock.advance(60_000);
  expect(sources).toHaveLength(1);
  feed.open("http://edge.example/live/canvas/events");
  clock.advance(11_500);
  expect(sources.length).toBeGreaterThan(2);
});

test("FiguresFeed passes on that its edge ends, of the present connection alone", () => {
  feed.open("http://one.example/events");
  const one = sources.at(-1);
  one?.say('{"withinMs":1500}', "move");
  one?.say("nonsense", "move");
  feed.open("http://two.example/events");
  one?.say('{"withinMs":9}', "move");
  expect(moves).toEqual([{ withinMs: 1_500 }]);
});
