/** The look at deadlines on the receive path of Linux: in slices, so that no pause waits for it, yet all in one go. */
import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { OPEN_ADMISSION } from "./admission.ts";
import { EpollRig } from "./epoll-rig.ts";

const IDLE_MS = 30_000;
/** More than are looked at in a few turns. */
const PLAYERS = 1_000;
const TURN_CLOSED_MAX = 32;
const TURN_LOOKS_MAX = 256;
/** How long a thread may sleep that has nothing to do. */
const WAIT_MS = 1_000;

let rig: EpollRig | undefined;
afterEach(() => rig?.close());

function openRig() {
  const clock = new FakeClock();
  const own = new EpollRig({
    clock,
    connectionsMax: PLAYERS,
    admission: { ...OPEN_ADMISSION, idleMs: IDLE_MS },
  });
  rig = own;
  const players = Array.from({ length: PLAYERS }, () => own.connect());
  own.drain();
  return { own, clock, players, idleClosed: () => own.counted().idleClosed };
}

describe.if(process.platform === "linux")("EpollReceiver", () => {
  test("closes so many players in a turn and no more, and all of them without a sleep in between", () => {
    const { own, clock, idleClosed } = openRig();
    clock.advance(IDLE_MS);
    const wait = spyOn(own.sockets, "waitForEvents").mockImplementation(() => 0);
    while (idleClosed() < PLAYERS) {
      const before = idleClosed();
      own.receivers[0]?.step(WAIT_MS);
      expect(idleClosed() - before).toBeWithin(1, TURN_CLOSED_MAX + 1);
    }
    const waitsMs = wait.mock.calls.map(([, , , timeoutMs]) => timeoutMs);
    expect(waitsMs.pop()).toBe(WAIT_MS);
    expect(new Set(waitsMs)).toEqual(new Set([0]));
  });

  test("looks at so many players in a turn and no more", () => {
    const { own, clock, players, idleClosed } = openRig();
    clock.advance(IDLE_MS - 1_000);
    for (const player of players.slice(0, -1)) player.put("\n");
    own.drain();
    clock.advance(1_000);
    for (let looked = TURN_LOOKS_MAX; looked < PLAYERS; looked += TURN_LOOKS_MAX) {
      own.receivers[0]?.step(0);
      expect(idleClosed()).toBe(0);
    }
    own.receivers[0]?.step(0);
    expect(idleClosed()).toBe(1);
  });
});
