/** When an endless stream that breaks off is asked for again, on a clock moved by hand. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { silentLog } from "#common/log.ts";
import { SharedStream } from "./shared-stream.ts";
import { Store } from "./store.ts";
import { Upstream } from "./upstream.ts";

test("a stream that breaks off is asked for at once, however long the upstream had been away before", async () => {
  const clock = new FakeClock();
  let lastsMs = 1_000;
  async function* brokenBody(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(188);
    clock.advance(lastsMs);
    throw new Error("the other side closed");
  }
  const upstream = new Upstream({
    urls: [],
    clock,
    log: silentLog,
    budget: new Store({ bytesMax: 1_000_000, clock }),
  });
  let isUp = false;
  let tries = 0;
  let tried = Promise.withResolvers<void>();
  upstream.open = () => {
    tries++;
    tried.resolve();
    return isUp
      ? Promise.resolve({ status: 200, chunks: brokenBody() })
      : Promise.reject(new Error("refused"));
  };
  let ended = Promise.withResolvers<number>();
  let chunks = 0;
  const stream = new SharedStream({
    path: "/live/canvas/stream.ts",
    upstream,
    clock,
    log: silentLog,
    silenceMsMax: 1_000,
    onOpen: () => {},
    onChunk: () => void chunks++,
    onEnd: (status) => ended.resolve(status),
  });
  /** Of the connection at hand; the next one is tried after exactly `pauseMs`. */
  const nextEnd = async (pauseMs: number): Promise<number> => {
    const status = await ended.promise;
    ended = Promise.withResolvers();
    const before = tries;
    clock.advance(pauseMs - 1);
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    expect(tries).toBe(before);
    tried = Promise.withResolvers();
    clock.advance(1);
    await tried.promise;
    return status;
  };
  for (const pauseMs of [100, 200, 400, 800, 1_000]) expect(await nextEnd(pauseMs)).toBe(503);
  isUp = true;
  for (const pauseMs of [1_000, 100, 100, 100]) await nextEnd(pauseMs);
  expect([await ended.promise, chunks]).toEqual([503, 4]);
  // One that breaks off as it begins is not.
  lastsMs = 10;
  for (const pauseMs of [100, 200, 400]) await nextEnd(pauseMs);
  expect([await ended.promise, chunks]).toEqual([503, 7]);
  stream.stop();
});
