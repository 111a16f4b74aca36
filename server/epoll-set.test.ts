/** Threads that sleep at one set and are called to help: what `epoll-receiver.ts` does, a thread's step at a time. */
import { afterEach, describe, expect, test } from "bun:test";
import { EpollRig } from "./epoll-rig.ts";
import { EpollSet, EVENT_OF_WAKE } from "./epoll-set.ts";
import { NO_PLAYER_LIMITS, PlayerShares } from "./player-shares.ts";
import { admitted, key } from "./player-shares-fixture.ts";

const THREADS = 4;
const CONNECTIONS = 8;

let rig: EpollRig | undefined;
afterEach(() => {
  rig?.close();
  rig = undefined;
});

/** A thread by its parts. */
class Thread {
  readonly shares: PlayerShares;
  readonly #set: EpollSet;

  constructor({ framebuffer, sockets, group }: EpollRig, thread: number) {
    const systemOffset = framebuffer.map.threadAreas[thread]?.systemOffset ?? 0;
    this.#set = new EpollSet(sockets, group.group, { framebuffer, systemOffset });
    this.shares = new PlayerShares(framebuffer, thread, NO_PLAYER_LIMITS);
  }

  /** Takes a turn, and calls for help where it is wanted. */
  take(): number {
    const connection = this.shares.take(1);
    if (this.shares.isHelpWanted) this.#set.wakeThread();
    return connection;
  }

  /** True where a call is heard. */
  hears(): boolean {
    return this.#set.wait(0) === 1 && this.#set.connectionAt(0) === EVENT_OF_WAKE;
  }
}

/** The first thread is awake, the others sleep, and all connections have something to read. */
function openThreads(): { busy: Thread; sleepers: Thread[] } {
  const own = new EpollRig({ threads: THREADS });
  rig = own;
  const [busy, ...sleepers] = Array.from({ length: THREADS }, (_, thread) => new Thread(own, thread));
  if (busy === undefined) throw new Error("Threads were made");
  for (const sleeper of sleepers) expect(sleeper.shares.sleep(1)).toBe(true);
  const prefix = admitted(busy.shares.admit(key(1)));
  for (let connection = 0; connection < CONNECTIONS; connection += 1) busy.shares.enqueue(connection, prefix);
  return { busy, sleepers };
}

describe.if(process.platform === "linux")("PlayerShares.take() on an EpollSet", () => {
  test("wakes every sleeper while there is something to read, however late each hears its call", () => {
    const { busy, sleepers } = openThreads();
    // Nobody has heard the first call by the second turn.
    expect([busy.take(), busy.take()]).toEqual([0, 1]);
    for (const sleeper of sleepers) {
      expect(sleeper.hears()).toBe(true);
      sleeper.shares.wake();
      expect(sleeper.take()).toBeGreaterThan(0);
    }
    expect(busy.hears()).toBe(false);
  });

  test("calls again after forgetCall(), however many calls it has heard as one", () => {
    const { busy, sleepers } = openThreads();
    expect([busy.take(), busy.take()]).toEqual([0, 1]);
    expect(busy.hears()).toBe(true);
    busy.shares.forgetCall();
    expect(busy.take()).toBe(2);
    for (const sleeper of sleepers) {
      expect(sleeper.hears()).toBe(true);
      sleeper.shares.wake();
      expect(sleeper.take()).toBeGreaterThan(0);
    }
  });

  test("calls the next sleeper where the one that was called, or the caller, is gone", () => {
    const { busy, sleepers } = openThreads();
    // Dies before its call is heard.
    expect(busy.shares.take(1)).toBe(0);
    busy.shares.forgetThread(0);
    const [called, next, last] = sleepers;
    called?.shares.wake();
    expect(called?.take()).toBe(1);
    expect(next?.hears()).toBe(true);
    busy.shares.forgetThread(2);
    expect(called?.take()).toBe(2);
    expect(last?.hears()).toBe(true);
  });
});
