/** The player's life through failures, with a fake engine and a clock moved by hand. */
import { beforeEach, describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import type { Engine, EngineEvents } from "./engine.ts";
import { Player, type PlayerStatus } from "./player.ts";

const URL_OF_STREAM = "http://edge.example/live/canvas/index.m3u8";

let clock: FakeClock;
let video: { currentTime: number; paused: boolean; play: () => Promise<void> };
let calls: string[];
let events: EngineEvents;
let statuses: PlayerStatus[];
let isHidden: boolean;
let player: Player;

beforeEach(() => {
  clock = new FakeClock();
  video = { currentTime: 0, paused: false, play: () => Promise.resolve() };
  calls = [];
  statuses = [];
  isHidden = false;
  player = new Player({
    video,
    clock,
    random: () => 0,
    isHidden: () => isHidden,
    onStatus: (status) => statuses.push(status),
    createEngine(given) {
      events = given;
      return createFakeEngine();
    },
  });
  player.open(URL_OF_STREAM);
});

function createFakeEngine(): Engine {
  return {
    load: (url) => calls.push(`load ${url}`),
    recoverMedia: () => calls.push("recover"),
    jumpToLive: () => calls.push("jump"),
    behindSeconds: () => 0,
    captureMs: () => 1_234,
    close: () => calls.push("close"),
  };
}

/** Lets the picture move for `durationMs`. */
function play(durationMs: number): void {
  for (let playedMs = 0; playedMs < durationMs; playedMs += 250) {
    video.currentTime += 0.25;
    clock.advance(250);
  }
}

const states = () => statuses.map(({ state }) => state);
const LOAD = `load ${URL_OF_STREAM}`;

test("Player opens the source and plays", () => {
  expect(player.captureMs()).toBeUndefined();
  play(1_000);
  expect(calls).toEqual([LOAD]);
  expect(states()).toEqual(["playing"]);
  expect(player.captureMs()).toBe(1_234);
});

test("Player does not take the jump to the live edge for a moving picture", () => {
  video.currentTime = 812;
  clock.advance(250);
  expect(player.status.state).toBe("waiting");
});

test("Player does not take a nudge for a moving picture", () => {
  play(1_000);
  clock.advance(2_000);
  expect(player.status.state).toBe("stalled");
  video.currentTime += 0.1;
  clock.advance(250);
  expect(player.status.state).toBe("stalled");
});

describe("Player waits and goes on by itself", () => {
  test.each([
    ["no-stream", 503],
    ["no-stream", 404],
    ["no-answer", 0],
  ] as const)("%s: status %p", (reason, status) => {
    events.onFailure({ kind: "network", status });
    expect(player.status).toEqual({ state: "waiting", reason });
    clock.advance(499);
    expect(calls).toEqual([LOAD]);
    clock.advance(1);
    expect(calls).toEqual([LOAD, "close", LOAD]);
    events.onAnswer("stream");
    play(500);
    expect(player.status).toEqual({ state: "playing", reason: undefined });
  });
});

test("Player answers one failure at a time, and none of an engine that it has closed", () => {
  const old = events;
  events.onFailure({ kind: "network", status: 0 });
  events.onFailure({ kind: "other", status: 0 });
  clock.advance(500);
  old.onFailure({ kind: "network", status: 0 });
  clock.advance(3_000);
  expect(calls).toEqual([LOAD, "close", LOAD]);
});

test("Player rebuilds the decoder after one media failure and everything after a second", () => {
  play(500);
  events.onFailure({ kind: "media", status: 0 });
  expect(calls).toEqual([LOAD, "recover"]);
  events.onFailure({ kind: "media", status: 0 });
  clock.advance(500);
  expect(calls).toEqual([LOAD, "recover", "close", LOAD]);
});

test("Player helps a picture that stands still: a jump, then a new engine", () => {
  play(1_000);
  clock.advance(3_500);
  expect(calls).toEqual([LOAD, "jump"]);
  expect(states()).toEqual(["playing", "stalled", "waiting"]);
  clock.advance(8_500);
  expect(calls).toEqual([LOAD, "jump", "close", LOAD]);
});

test("Player is no more patient with another source for having helped the one before", () => {
  const other = "http://other.example/live/canvas/index.m3u8";
  play(1_000);
  clock.advance(3_500 + 8_500);
  expect(calls.filter((call) => call === LOAD)).toHaveLength(2);
  player.open(other);
  clock.advance(8_500);
  expect(calls.filter((call) => call === `load ${other}`)).toHaveLength(2);
});

test("Player keeps its engine while the origin has no frames, and is patient when they come back", () => {
  play(1_000);
  player.setLive(false);
  clock.advance(60_000);
  expect(player.status).toEqual({ state: "waiting", reason: "no-stream" });
  player.setLive(true);
  expect(player.status.state).toBe("waiting");
  clock.advance(2_500);
  expect(calls).toEqual([LOAD]);
  play(500);
  expect(player.status.state).toBe("playing");
});

test("Player.silentMs grows while no request gets an answer", () => {
  expect(player.silentMs).toBe(0);
  events.onTrouble(0);
  clock.advance(700);
  events.onTrouble(0);
  clock.advance(300);
  expect(player.silentMs).toBe(1_000);
  events.onTrouble(503);
  expect(player.silentMs).toBe(0);
});

test("Player.silentMs counts a request that timed out from the answer before it, four seconds at most", () => {
  events.onAnswer("stream");
  clock.advance(1_600);
  events.onTrouble(0);
  expect(player.silentMs).toBe(1_600);
  events.onAnswer("stream");
  expect(player.silentMs).toBe(0);
  clock.advance(3_600_000);
  events.onTrouble(0);
  expect([player.silentMs, player.failingMs]).toEqual([4_000, 4_000]);
});

test("Player.failingMs grows until the stream comes, whatever else the edge has", () => {
  expect(player.failingMs).toBe(0);
  events.onTrouble(503);
  clock.advance(2_000);
  events.onAnswer("multivariant");
  events.onTrouble(0);
  clock.advance(1_000);
  expect(player.failingMs).toBe(3_000);
  events.onAnswer("stream");
  expect(player.failingMs).toBe(0);
});

test.each([
  ["a status that is the request's own fault", () => events.onTrouble(404)],
  ["another source", () => player.open("http://other.example/live/canvas/index.m3u8")],
])("Player.failingMs begins anew after %s", (_, happen) => {
  events.onTrouble(502);
  clock.advance(5_000);
  happen();
  expect([player.silentMs, player.failingMs]).toEqual([0, 0]);
});

test("Player.close() lets go of everything, and open() begins anew", () => {
  play(500);
  player.close();
  expect(calls).toEqual([LOAD, "close"]);
  clock.advance(60_000);
  expect(calls).toEqual([LOAD, "close"]);
  player.open(URL_OF_STREAM);
  play(500);
  expect(player.status.state).toBe("playing");
});

test("Player leaves a hidden tab alone", () => {
  play(1_000);
  isHidden = true;
  clock.advance(60_000);
  expect(calls).toEqual([LOAD]);
});

test("Player asks for a tap where the browser refuses to play, and plays after it", async () => {
  let isAllowed = false;
  video.paused = true;
  video.play = () =>
    isAllowed ? Promise.resolve() : Promise.reject(new DOMException("", "NotAllowedError"));
  clock.advance(250);
  await Promise.resolve().then(() => undefined);
  clock.advance(250);
  expect(player.status.reason).toBe("needs-tap");
  isAllowed = true;
  player.wake();
  video.paused = false;
  play(500);
  expect(player.status.state).toBe("playing");
});
