/** When an endless stream that breaks off is asked for again, on a clock moved by hand. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { silentLog } from "#common/log.ts";
import { SharedStream } from "./shared-stream.ts";
import { Store } from "./store.ts";
import { Upstream } from "./upstream.ts";

/** A body that breaks off behind one chunk. */
async function* brokenBody(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(188);
  throw new Error("the other side closed");
}

test("a stream that breaks off is asked for at once, however long the upstream had been away before", async () => {
  const clock = new FakeClock();
  const upstream = new Upstream({ urls: [], clock, log: silentLog, budget: new Store(1_000_000) });
  let isUp = false;
  upstream.open = () =>
    isUp ? Promise.resolve({ status: 200, chunks: brokenBody() }) : Promise.reject(new Error("refused"));
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
  const nextEnd = async (pauseMs: number): Promise<number> => {
    const status = await ended.promise;
    ended = Promise.withResolvers();
    clock.advance(pauseMs);
    return status;
  };
  for (const pauseMs of [100, 200, 400, 800, 1_000]) expect(await nextEnd(pauseMs)).toBe(503);
  isUp = true;
  for (const pauseMs of [1_000, 100, 100, 100]) await nextEnd(pauseMs);
  expect(await ended.promise).toBe(503);
  expect(chunks).toBe(4);
  stream.stop();
});
