/** Waiting that ends by the clock or by a signal. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { pause } from "#common/pause.ts";

/** All that needs no time has run by then. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test.each([
  ["without a signal", undefined],
  ["with one that does not end", new AbortController().signal],
])("pause() %s lasts as long as it is told to", async (_, signal) => {
  const clock = new FakeClock();
  let isOver = false;
  void pause(clock, 1_000, signal).then(() => (isOver = true));
  clock.advance(999);
  await turn();
  expect(isOver).toBe(false);
  clock.advance(1);
  await turn();
  expect(isOver).toBe(true);
});

test("pause() ends with its signal, before it or during it", async () => {
  const clock = new FakeClock();
  const leaving = new AbortController();
  const during = pause(clock, 1_000, leaving.signal);
  leaving.abort();
  await during;
  await pause(clock, 1_000, leaving.signal);
});
