/** Readers whose connection breaks in the middle of a write: they go, and nobody else notices. */
import { describe, expect, test } from "bun:test";
import { silentLog } from "#common/log.ts";
import { MEBIBYTE } from "#common/units.ts";
import { type FeedController, FeedReaders, queueBytesFor, READERS_MAX } from "./feed-readers.ts";

const CHUNK = new Uint8Array(10);

/** A socket that takes everything until it is told to break in one of its ways. */
class FakeController implements FeedController {
  breaksAt: "write" | "flush" | "end" | undefined;
  /** True: it breaks by rejecting, not by throwing. */
  isAsync = false;
  written = 0;

  write(chunk: Uint8Array): number {
    void this.#maybeBreak("write");
    this.written += chunk.length;
    return chunk.length;
  }
  flush(): number | Promise<number> {
    return this.#maybeBreak("flush");
  }
  end(): number | Promise<number> {
    return this.#maybeBreak("end");
  }

  #maybeBreak(at: "write" | "flush" | "end"): number | Promise<number> {
    if (this.breaksAt !== at) return 0;
    const error = new TypeError("the peer has gone");
    if (this.isAsync && at !== "write") return Promise.reject(error);
    throw error;
  }
}

function createReaders() {
  return new FeedReaders({ name: "/feed", contentType: "video/mp4", log: silentLog });
}

describe("FeedReaders", () => {
  test.each([
    ["write", false],
    ["flush", false],
    ["flush", true],
  ] as const)("send() lets a reader go whose %s() fails (async: %p)", async (breaksAt, isAsync) => {
    const readers = createReaders();
    const [broken, good] = [new FakeController(), new FakeController()];
    const ended = readers.add(broken, []);
    void readers.add(good, []);
    Object.assign(broken, { breaksAt, isAsync });
    readers.send(CHUNK);
    await ended;
    expect(readers.count).toBe(1);
    readers.send(CHUNK);
    expect(good.written).toBe(2 * CHUNK.length);
  });

  test.each([false, true])("endAll() ends the others where end() fails (async: %p)", async (isAsync) => {
    const readers = createReaders();
    const broken = new FakeController();
    Object.assign(broken, { breaksAt: "end", isAsync });
    const ended = Promise.all([readers.add(broken, []), readers.add(new FakeController(), [])]);
    readers.endAll();
    await ended;
    expect(readers.count).toBe(0);
  });

  test("serve() refuses and counts one too many", async () => {
    const readers = createReaders();
    for (let count = 0; count < READERS_MAX; count++) void readers.add(new FakeController(), []);
    expect(readers.serve(() => []).status).toBe(503);
    expect(readers.refusedReaders).toBe(1);
    readers.endAll();
  });

  test("add() survives a reader that breaks at its opening", async () => {
    const readers = createReaders();
    const broken = new FakeController();
    broken.breaksAt = "write";
    await readers.add(broken, [CHUNK, CHUNK]);
    expect(readers.count).toBe(0);
  });
});

test.each([
  [6_000_000, 16 * MEBIBYTE],
  [100_000_000, 250_000_000],
])("queueBytesFor(%d) is 20 s of the stream, and 16 MiB at least", (bitsPerSecond, bytes) => {
  expect(queueBytesFor(bitsPerSecond)).toBe(bytes);
});
