/** Calls on players' sockets that fail: which numbers of the system end a connection, and that each ends in the end. */
import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { EpollRig } from "./epoll-rig.ts";
import {
  EBADF,
  ECONNABORTED,
  ECONNRESET,
  EHOSTUNREACH,
  EINTR,
  EMFILE,
  ENETUNREACH,
  ENOBUFS,
  ENOMEM,
  ENOTCONN,
  EPIPE,
  ETIMEDOUT,
} from "./linux-constants.ts";

const SIZE = "SIZE 64 48\n";
/** Turns in which a failing connection has to end. */
const TURNS_MAX = 1_000;

let rig: EpollRig | undefined;
afterEach(() => rig?.close());

/** A player who has asked for the size, not yet served, and a call that fails from then on. */
function openRig(call: "receive" | "send") {
  const own = new EpollRig();
  rig = own;
  const player = own.connect();
  player.put("SIZE\n");
  return { own, player, spy: spyOn(own.sockets, call) };
}

describe.if(process.platform === "linux")("EpollReceiver", () => {
  const passing = [EINTR, ENOMEM, ENOBUFS, EMFILE];
  test.each(passing.flatMap((errno) => [["receive", errno] as const, ["send", errno] as const]))(
    "goes on after %s() failed with error %d, which does not say that the peer is gone",
    (call, errno) => {
      const { own, player, spy } = openRig(call);
      spy.mockImplementationOnce(() => -errno);
      own.drain();
      expect(player.receive()).toBe(SIZE);
      player.send("SIZE\n");
      expect(player.receive()).toBe(SIZE);
      expect(own.counted()).toMatchObject({ closed: 0, heldBytes: 0 });
    },
  );

  const gone = [EBADF, EPIPE, ENETUNREACH, ECONNABORTED, ECONNRESET, ENOTCONN, ETIMEDOUT, EHOSTUNREACH];
  test.each(gone.flatMap((errno) => [["receive", errno] as const, ["send", errno] as const]))(
    "closes after %s() failed with error %d, which says that the peer is gone",
    (call, errno) => {
      const { own, spy } = openRig(call);
      spy.mockImplementationOnce(() => -errno);
      own.drain();
      expect(own.counted()).toMatchObject({ closed: 1, heldBytes: 0 });
    },
  );

  test.each(["receive", "send"] as const)("closes where %s() fails again and again", (call) => {
    const { own, spy } = openRig(call);
    spy.mockImplementation(() => -ENOBUFS);
    for (let turn = 0; turn < TURNS_MAX && own.counted().closed === 0; turn += 1) own.receivers[0]?.step(0);
    spy.mockRestore();
    expect(own.counted()).toMatchObject({ closed: 1, heldBytes: 0 });
  });

  test("counts failures in a row, not in all", () => {
    const { own, player, spy } = openRig("receive");
    own.drain();
    const before = own.counted().receivedBytes;
    for (let round = 0; round < TURNS_MAX; round += 1) {
      // Nothing that is answered: each call is one that reads.
      player.put("\n");
      spy.mockImplementationOnce(() => -ENOBUFS);
      own.drain();
    }
    expect(own.counted().receivedBytes).toBe(before + TURNS_MAX);
    expect(own.counted().closed).toBe(0);
  });
});
