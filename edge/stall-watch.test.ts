/** Who is let go for taking nothing, by a clock and a queue that the test moves. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { StallWatch } from "./stall-watch.ts";

class Rig {
  unsentBytes: number | undefined = 4_000_000;
  stalls = 0;
  timesKeptOpen = 0;
  readonly #clock = new FakeClock();
  readonly watch = new StallWatch({
    clock: this.#clock,
    connection: {
      unsentBytes: () => Promise.resolve(this.unsentBytes),
      keepOpen: () => void this.timesKeptOpen++,
    },
    onStall: () => void this.stalls++,
  });

  /** Lets seconds pass, each with a turn for what is asked. */
  async pass(seconds: number): Promise<number> {
    for (let second = 0; second < seconds; second++) {
      this.#clock.advance(1_000);
      await Promise.resolve();
      await Promise.resolve();
    }
    return this.stalls;
  }
}

describe("StallWatch", () => {
  test.each([4_000_000, 0, undefined])(
    "tells after 30 s of a peer that takes nothing, with %p bytes unsent",
    async (bytes) => {
      const rig = new Rig();
      rig.unsentBytes = bytes;
      rig.watch.begin();
      expect([await rig.pass(29), await rig.pass(1), await rig.pass(600)]).toEqual([0, 1, 1]);
      expect(rig.timesKeptOpen).toBe(0);
    },
  );

  test("waits for one that takes a little, and tells within 45 s after it has stopped", async () => {
    const rig = new Rig();
    rig.watch.begin();
    for (let look = 0; look < 10; look++) {
      rig.unsentBytes = 4_000_000 - look;
      expect(await rig.pass(15)).toBe(0);
    }
    // The runtime, which sees nothing of that, must not close the connection either.
    expect(rig.timesKeptOpen).toBe(9);
    rig.unsentBytes = 3_000_000;
    expect([await rig.pass(44), await rig.pass(1)]).toEqual([0, 1]);
  });

  test("tells after 5 min of one whose connection moves and whose socket stays full", async () => {
    const rig = new Rig();
    rig.watch.begin();
    for (let look = 1; look < 20; look++) {
      rig.unsentBytes = look;
      expect(await rig.pass(15)).toBe(0);
    }
    rig.unsentBytes = 0;
    expect(await rig.pass(15)).toBe(1);
  });

  test("begins anew with each time that the socket is full, and tells nothing once it is not", async () => {
    const rig = new Rig();
    rig.watch.begin();
    await rig.pass(29);
    rig.watch.begin();
    expect(await rig.pass(29)).toBe(0);
    rig.watch.end();
    expect(await rig.pass(60)).toBe(0);
  });

  test("an answer about a time that is over changes nothing", async () => {
    const clock = new FakeClock();
    const answers: ((bytes: number) => void)[] = [];
    let stalls = 0;
    const watch = new StallWatch({
      clock,
      connection: { unsentBytes: () => new Promise((resolve) => void answers.push(resolve)), keepOpen() {} },
      onStall: () => void stalls++,
    });
    watch.begin();
    clock.advance(30_000);
    watch.begin();
    for (const answer of answers) answer(1);
    await Promise.resolve();
    expect([answers.length, stalls]).toEqual([2, 0]);
    watch.end();
  });
});
