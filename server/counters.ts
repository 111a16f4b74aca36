/**
 * What the pixel threads count. Each thread has one slot in the shared memory which it alone writes; whoever asks
 * sums the slots (`/metrics`, `/stats.json`, STATS), so counting costs no lock and no message.
 */

/** The counters in the order of their place in a slot. Connections open now are `accepted - closed`. */
export const COUNTER_NAMES = [
  /** Sets inside the canvas, whatever their alpha; PXMULTI counts each of its pixels. */
  "pixels",
  "receivedBytes",
  "sentBytes",
  "accepted",
  "closed",
  /** Sets outside the canvas, PXMULTI pixel by pixel. */
  "outsideSets",
  "gets",
  /** Gets outside the canvas. */
  "outsideGets",
  /** Lines that are no command. */
  "invalidLines",
  /** Lines dropped because they are longer than the protocol's limit. */
  "longLines",
  /** HELPs beyond those answered in one second of one connection. */
  "refusedHelps",
  /** Requests of browsers sent on to the viewer page. */
  "redirects",
  /** Times that a connection was no longer read because its peer did not take its answers. */
  "stalls",
  /** Connections closed because their peer took no answer for too long or the thread held too much for such peers. */
  "droppedStalled",
  /** Exceptions in a connection's handler: our mistakes. */
  "faults",
  /** Bytes held now for peers that take no answers: goes up and down. */
  "heldBytes",
  /** Connections not let in because there are as many as allowed, in all or of their prefix. */
  "deniedAll",
  "deniedPrefix",
  /** Reads after which a prefix had used up its budget of bytes, so that its connections had to wait. */
  "throttledReads",
  /** Connections whose address a load balancer told, and those closed because it did not. */
  "proxiedConnections",
  "proxyFailures",
  /** Connections closed because they sent nothing for too long. */
  "idleClosed",
  /** Connections closed because the system had no room for them: no descriptor, or none in the epoll set. */
  "refusedConnections",
  /** Pauses of a connection because its prefix had got more than its fair share, where sockets are paused for that. */
  "fairSharePauses",
  /** Connections paused now for their budget or their fair share: goes up and down. */
  "pausedConnections",
] as const;
export type CounterName = (typeof COUNTER_NAMES)[number];
/** One value for each counter. */
export type CounterTotals = Readonly<Record<CounterName, number>>;

/**
 * Bytes of one thread's slot: 32 doubles on four cache lines of its own. A double counts exactly to 2^53, for bytes
 * eight days at 100 Gbit/s; its aligned store is one instruction on x86-64 and arm64, so that a reader in another
 * thread never sees half of it.
 */
export const COUNTER_SLOT_BYTES = 256;

/** One thread's counters. Only the thread that owns the slot may call {@link CounterSlot.add}. */
export class CounterSlot {
  readonly #values: Float64Array;

  /** @param values the slot's doubles, at least one for each name */
  constructor(values: Float64Array) {
    this.#values = values;
  }

  add(name: CounterName, amount: number): void {
    const index = COUNTER_INDEX[name];
    this.#values[index] = (this.#values[index] ?? 0) + amount;
  }

  read(name: CounterName): number {
    return this.#values[COUNTER_INDEX[name]] ?? 0;
  }
}

// Object.fromEntries forgets the keys; they are exactly the names.
const COUNTER_INDEX = Object.fromEntries(COUNTER_NAMES.map((name, index) => [name, index])) as Readonly<
  Record<CounterName, number>
>;

/** The sum of one counter over all slots. */
export function sumCounter(slots: readonly CounterSlot[], name: CounterName): number {
  let total = 0;
  for (const slot of slots) total += slot.read(name);
  return total;
}

/** The sums of all counters. */
export function sumCounters(slots: readonly CounterSlot[]): CounterTotals {
  // Object.fromEntries forgets the keys; they are exactly the names.
  return Object.fromEntries(COUNTER_NAMES.map((name) => [name, sumCounter(slots, name)])) as CounterTotals;
}

/**
 * Connections open now. One thread may count a connection as accepted and another as closed, and nothing orders their
 * stores for a third that reads: the sum is exact once both are seen, and not below 0 before.
 */
export function openConnections(slots: readonly CounterSlot[]): number {
  const closed = sumCounter(slots, "closed");
  return Math.max(0, sumCounter(slots, "accepted") - closed);
}
