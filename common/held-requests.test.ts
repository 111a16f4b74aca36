/** Held requests: woken in slices, bounded, freed when their client goes. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { HeldBudget, HeldRequests } from "#common/held-requests.ts";

function room(countMax = 100): { clock: FakeClock; budget: HeldBudget; held: HeldRequests } {
  const clock = new FakeClock();
  const budget = new HeldBudget(countMax);
  return { clock, budget, held: new HeldRequests({ clock, budget }) };
}

const never = new AbortController();
const told = <Outcome>(outcome: Outcome): Outcome => outcome;
const hold = { holdMsMax: 6000, client: never, answer: told };

describe("HeldRequests", () => {
  test("29: wakes at the position asked for or a later one, never before", async () => {
    const { held, budget } = room();
    const outcomes: string[] = [];
    for (const position of [3, 4, 5]) {
      void held.hold(position, hold).then((outcome) => outcomes.push(`${position} ${outcome}`));
    }
    held.publish(2);
    await Bun.sleep(0);
    expect(outcomes).toEqual([]);
    held.publish(4);
    await Bun.sleep(0);
    expect(outcomes).toEqual(["3 ready", "4 ready"]);
    expect(budget.count).toBe(1);
    expect(await held.hold(1, hold)).toBe("ready");
  });

  test("34: gives up after the longest hold, each at its own time", async () => {
    const { held, clock, budget } = room();
    const first = held.hold(1, hold);
    clock.advance(1000);
    const second = held.hold(1, hold);
    const third = held.hold(2, hold);
    clock.advance(5000);
    expect(await first).toBe("overdue");
    expect(budget.count).toBe(2);
    clock.advance(1000);
    expect(await Promise.all([second, third])).toEqual(["overdue", "overdue"]);
    expect(budget).toMatchObject({ count: 0, overdue: 3 });
  });

  test("38: a client that leaves frees its place, and past the bound others are refused", async () => {
    const { held, budget } = room(2);
    const leaving = new AbortController();
    const first = held.hold(1, { holdMsMax: 6000, client: leaving, answer: told });
    const second = held.hold(1, hold);
    expect(await held.hold(1, hold)).toBe("full");
    leaving.abort();
    expect(await first).toBe("gone");
    const third = held.hold(1, hold);
    held.publish(1);
    expect(await Promise.all([second, third])).toEqual(["ready", "ready"]);
    expect(budget).toMatchObject({ count: 0, refused: 1 });
  });

  test("38: ten thousand are woken once each, in the order in which they came", async () => {
    const { held, budget } = room(10_000);
    const order: number[] = [];
    const waits = Array.from({ length: 10_000 }, (_, number) =>
      held.hold(1, hold).then(() => order.push(number)),
    );
    held.publish(1);
    expect(budget.count).toBe(0);
    await Promise.all(waits);
    expect(order).toEqual(Array.from({ length: 10_000 }, (_, number) => number));
    expect(budget.wakes.counts[0]).toBe(10_000);
  });

  test("an answer that cannot be made is the failure of one wait alone", async () => {
    const { held } = room();
    const answer = (): never => {
      throw new Error("unwritable");
    };
    const failing = held.hold(1, { ...hold, answer });
    const next = held.hold(1, hold);
    held.publish(1);
    await expect(failing).rejects.toThrow("unwritable");
    expect(await next).toBe("ready");
    await expect(held.hold(1, { ...hold, answer })).rejects.toThrow("unwritable");
  });

  test("38: answers are made a slice at a time, each slice handed over before the next", async () => {
    const { held } = room(200);
    let made = 0;
    const madeAtHandover: number[] = [];
    const answer = (): number => ++made;
    const waits = Array.from({ length: 200 }, () =>
      held.hold(1, { ...hold, answer }).then(() => madeAtHandover.push(made)),
    );
    held.publish(1);
    expect(made).toBe(0);
    await Promise.all(waits);
    expect(madeAtHandover[0]).toBeLessThan(100);
    expect(made).toBe(200);
  });

  test("reset() tells everyone that it will not come; positions may begin anew", async () => {
    const { held } = room();
    held.publish(50);
    const wait = held.hold(51, hold);
    held.reset();
    expect(await wait).toBe("gone");
    const again = held.hold(3, hold);
    held.publish(3);
    expect(await again).toBe("ready");
    held.close();
  });
});
