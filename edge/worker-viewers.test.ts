/** Viewers whose connections are spread over two workers, counted once by the hub that adds up what both note. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { NO_USE } from "./guard.ts";
import { CountedViewers, VIEWER_WINDOW_MS } from "./viewers.ts";
import type { SessionNotes } from "./worker-messages.ts";
import { WorkerViewers } from "./worker-viewers.ts";

const SALT = 7n;

/** A hub's count and two workers, told of each other by `exchange` as reports do. */
class Edge {
  readonly clock = new FakeClock();
  readonly hub: CountedViewers;
  readonly workers: readonly WorkerViewers[];

  constructor(viewersMax = 0) {
    this.hub = new CountedViewers({ clock: this.clock, viewersMax });
    this.workers = [0, 1].map(() => new WorkerViewers({ clock: this.clock, salt: SALT, viewersMax }));
  }

  /** A playlist request that reaches worker `index`; true where it is answered. */
  ask(index: number, userAgent: string, address = "::1"): boolean | undefined {
    return this.workers[index]?.note({ address, userAgent, isBlocking: true, busyMs: 200 });
  }

  exchange(): void {
    for (const worker of this.workers) add(this.hub, worker.takeNotes());
    this.hub.ts = this.workers.reduce((sum, { ts }) => sum + ts, 0);
    for (const worker of this.workers) {
      worker.adopt({
        type: "totals",
        reason: "",
        viewers: this.hub.byKind,
        egressBitsPerSecond: 0,
        streamsElsewhere: new Map(),
        useElsewhere: NO_USE,
        streamsOff: [],
        sessionKeys: this.hub.sessionKeys,
        heavyPrefixes: this.hub.heavyPrefixes,
      });
    }
  }
}

function add(hub: CountedViewers, { keys, prefixes, busyMs }: SessionNotes): void {
  for (const [index, key] of keys.entries()) {
    const [blockingMs = 0, plainMs = 0] = busyMs.subarray(2 * index);
    hub.add({ key, prefix: prefixes[index] ?? 0n, blockingMs, plainMs });
  }
}

test("WorkerViewers: a player whose requests reach both workers is one viewer, and each request counts once", () => {
  const edge = new Edge();
  for (let request = 0; request < 25; request++) edge.ask(request % 2, "one player");
  for (let request = 0; request < 75; request++) edge.ask(request % 2, "three players");
  edge.exchange();
  edge.exchange();
  edge.clock.advance(VIEWER_WINDOW_MS);
  edge.hub.rotate();
  edge.exchange();
  expect(edge.hub.byKind).toEqual({ llhls: 4, hls: 0, ts: 0, events: 0 });
  expect(edge.workers.map(({ total }) => total)).toEqual([4, 4]);
});

test("WorkerViewers: the limit is that of all workers, and who is a viewer already may ask either", () => {
  const edge = new Edge(2);
  expect([edge.ask(0, "one"), edge.ask(1, "two")]).toEqual([true, true]);
  edge.exchange();
  expect([edge.ask(0, "three"), edge.ask(1, "three")]).toEqual([false, false]);
  expect([edge.ask(0, "two"), edge.ask(1, "one")]).toEqual([true, true]);
  expect(edge.workers.map(({ isFull }) => isFull)).toEqual([true, true]);
});

test("WorkerViewers counts viewers of stream.ts at once, and nothing twice when the hub has heard of them", () => {
  const edge = new Edge(3);
  const [first, second] = edge.workers;
  if (first === undefined || second === undefined) throw new Error("two workers");
  edge.ask(0, "one");
  edge.ask(1, "one");
  first.ts++;
  expect([first.total, second.total]).toEqual([1, 0]);
  edge.exchange();
  expect([first.total, second.total]).toEqual([2, 2]);
  first.ts--;
  second.ts++;
  expect([first.total, second.total]).toEqual([1, 3]);
  edge.exchange();
  expect([first.total, second.total, edge.hub.total]).toEqual([2, 2, 2]);
});

test("WorkerViewers: a crowd that comes to one worker between two reports meets the limit", () => {
  const edge = new Edge(3);
  const answers = ["one", "two", "three", "four"].map((player) => edge.ask(0, player));
  expect(answers).toEqual([true, true, true, false]);
});

test("WorkerViewers: one host that claims to be many, at all workers at once, leaves places for others", () => {
  const edge = new Edge(100);
  const taken = [0, 1].map((index) =>
    Array.from({ length: 200 }, (_, player) => edge.ask(index, `${index} ${player}`)).filter(Boolean),
  );
  expect(taken.map(({ length }) => length)).toEqual([75, 75]);
  edge.exchange();
  expect([edge.hub.total, ...edge.workers.map(({ total }) => total)]).toEqual([75, 75, 75]);
  // Who is known may ask either; who claims to be another viewer is refused by both.
  expect([edge.ask(0, "1 0"), edge.ask(1, "0 0"), edge.ask(0, "x"), edge.ask(1, "x")]).toEqual([
    true,
    true,
    false,
    false,
  ]);
  for (let player = 0; player < 24; player++) {
    expect(edge.ask(player % 2, "one", `192.0.2.${player}`)).toBe(true);
    edge.exchange();
  }
  expect([edge.hub.total, edge.ask(0, "one", "192.0.2.99"), edge.ask(1, "one", "192.0.2.100")]).toEqual([
    99,
    true,
    true,
  ]);
  edge.exchange();
  expect([edge.ask(0, "one", "192.0.2.101"), edge.ask(1, "one", "192.0.2.99")]).toEqual([false, true]);
});

test("WorkerViewers forgets sessions that are over", () => {
  const edge = new Edge(1);
  edge.ask(0, "one");
  edge.exchange();
  expect(edge.ask(0, "two")).toBe(false);
  for (let window = 0; window < 4; window++) {
    edge.clock.advance(VIEWER_WINDOW_MS + 1);
    edge.hub.rotate();
    for (const worker of edge.workers) worker.rotate();
    edge.exchange();
  }
  expect([edge.ask(0, "two"), edge.ask(0, "one")]).toEqual([true, false]);
});
