/** A playlist's newest version, and who waits for the next. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { HeldPlaylist, type PlaylistVersion } from "#common/held-playlist.ts";
import { HeldBudget } from "#common/held-requests.ts";

const never = new AbortController();
const told = <Outcome>(outcome: Outcome): Outcome => outcome;

function open(): {
  clock: FakeClock;
  budget: HeldBudget;
  playlist: HeldPlaylist<PlaylistVersion, "failed">;
} {
  const clock = new FakeClock();
  const budget = new HeldBudget(100);
  return { clock, budget, playlist: new HeldPlaylist({ clock, budget, targetDurationMs: () => 2000 }) };
}

/** A version that ends with `part` of the segment behind `lastSegment`. */
const upTo = (lastSegment: number, part: number): PlaylistVersion => ({
  reach: {
    lastSegment,
    newest: { segmentNumber: lastSegment + 1, part },
    parts: { perSegment: 10, aheadMax: 15 },
  },
});

describe("HeldPlaylist", () => {
  test("29: answers with the first version that has what is asked for, and not before", async () => {
    const { playlist, budget } = open();
    expect(playlist.standing({ segmentNumber: 1, part: 0 })).toBeUndefined();
    playlist.publish(upTo(100, 3));
    expect(playlist.standing({ segmentNumber: 101, part: 3 })).toBe("listed");
    const near = playlist.hold({ segmentNumber: 101, part: 4 }, { client: never, answer: told });
    const beyond = playlist.hold({ segmentNumber: 101, part: 10 }, { client: never, answer: told });
    playlist.publish(upTo(100, 4));
    expect(await near).toBe("ready");
    expect(budget.count).toBe(1);
    playlist.publish(upTo(101, 0));
    expect(await beyond).toBe("ready");
    expect(playlist.newest).toEqual(upTo(101, 0));
  });

  test("34: gives up after three target durations", async () => {
    const { playlist, clock } = open();
    playlist.publish(upTo(100, 3));
    const held = playlist.hold({ segmentNumber: 101, part: 4 }, { client: never, answer: told });
    clock.advance(6000);
    expect(await held).toBe("overdue");
  });

  test("a version that reaches less far keeps those waiting who may still ask for what they do", async () => {
    const { playlist, budget } = open();
    playlist.publish(upTo(100, 3));
    const near = playlist.hold({ segmentNumber: 101, part: 4 }, { client: never, answer: told });
    const far = playlist.hold({ segmentNumber: 102, part: 5 }, { client: never, answer: told });
    playlist.publish(upTo(99, 9));
    expect(await far).toBe("gone");
    expect(budget.count).toBe(1);
    playlist.publish(upTo(100, 4));
    expect(await near).toBe("ready");
  });

  test("end() tells everyone why; reset() that it will not come; nothing listed is no version", async () => {
    const { playlist } = open();
    playlist.publish(upTo(100, 3));
    const failed = playlist.hold({ segmentNumber: 101, part: 4 }, { client: never, answer: told });
    playlist.end("failed");
    expect(await failed).toBe("failed");
    const gone = playlist.hold({ segmentNumber: 101, part: 4 }, { client: never, answer: told });
    playlist.reset();
    expect(await gone).toBe("gone");
    playlist.publish(undefined);
    expect(playlist.newest).toBeUndefined();
    playlist.close();
  });
});
