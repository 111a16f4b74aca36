/** Players made up for the tests of `player-shares.ts`. */
import { createFramebuffer, type Framebuffer } from "./framebuffer.ts";
import { NO_PLAYER_LIMITS, PlayerShares, type Denial, type PlayerLimits } from "./player-shares.ts";
import { openSharesMemory, type SharesMemory } from "./player-shares-memory.ts";

const CONNECTIONS = 256;
/** A number of the main thread's. */
const OUTSIDER = 64;

/** The shares of two threads and of an outsider in one memory. */
export function openShares(limits: Partial<PlayerLimits> = {}, connectionsMax = CONNECTIONS) {
  const framebuffer = createFramebuffer({ width: 2, height: 2, threads: 2, connectionsMax });
  const all = { ...NO_PLAYER_LIMITS, ...limits };
  const [shares, other] = [0, 1].map((thread) => new PlayerShares(framebuffer, thread, all));
  if (shares === undefined || other === undefined) throw new Error("Two were made");
  const outsider = new PlayerShares(framebuffer, OUTSIDER, all);
  return { framebuffer, limits: all, shares, other, outsider };
}

/** What lies in the memory behind the shares. */
export function openState({ memory, map, threads, connectionsMax }: Framebuffer): SharesMemory {
  return openSharesMemory(memory.buffer, map.sharesOffset, { threads, connectionsMax });
}

/** A different key for each number. */
export function key(number: number): Uint8Array {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setUint32(8, number);
  return bytes;
}

/** A denial fails the test. */
export function admitted(outcome: number | Denial): number {
  if (typeof outcome === "string") throw new Error(`denied: ${outcome}`);
  return outcome;
}

/** Lets `counts[n]` connections of prefix n in and queues them; connections are numbered through. */
export function crowd(
  shares: PlayerShares,
  counts: readonly number[],
): { owners: number[]; prefixes: number[] } {
  const owners: number[] = [];
  const prefixes: number[] = [];
  counts.forEach((count, owner) => {
    for (let index = 0; index < count; index += 1) {
      const prefix = admitted(shares.admit(key(owner)));
      prefixes[owner] = prefix;
      shares.enqueue(owners.length, prefix);
      owners.push(owner);
    }
  });
  return { owners, prefixes };
}

/** Serves `turns` turns of connections that always have more, `costs[owner]` each, and returns what each owner got. */
export function serve(
  shares: PlayerShares,
  options: { owners: readonly number[]; costs: readonly number[]; turns: number },
): number[] {
  const got = options.costs.map(() => 0);
  for (let turn = 0; turn < options.turns; turn += 1) {
    const connection = shares.take(1);
    const owner = options.owners[connection] ?? 0;
    const cost = options.costs[owner] ?? 0;
    got[owner] = (got[owner] ?? 0) + cost;
    shares.done(connection, cost, cost, true, 1);
  }
  return got;
}
