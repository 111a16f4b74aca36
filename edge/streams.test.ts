/** Names of streams that do not exist: what of them reaches the upstream. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { FakeOrigin, startTestEdge, type TestEdge } from "./fake-origin.ts";

const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** An edge in front of an origin that answers every request with what `answer` makes. */
function start(answer: () => Response) {
  const clock = new FakeClock();
  const origin = new FakeOrigin(answer);
  const edge = startTestEdge(origin.url, { clock });
  closers.push(edge.close, () => origin.close());
  return { clock, origin, edge };
}

async function statusOf(edge: TestEdge, path: string): Promise<number> {
  const { status, body } = await fetch(edge.url + path);
  await body?.cancel();
  return status;
}

describe.each(["stream.ts", "events"])("a made-up name of %s", (kind) => {
  const path = `/live/made-up/${kind}`;

  test("is asked for once a second at most, and found when it is there", async () => {
    let isThere = false;
    const { clock, origin, edge } = start(() => new Response("x", { status: isThere ? 200 : 404 }));
    const ask = async (): Promise<readonly [status: number, asked: number]> => [
      await statusOf(edge, path),
      origin.count(kind),
    ];
    for (let count = 0; count < 5; count++) expect(await ask()).toEqual([404, 1]);
    clock.advance(999);
    expect(await ask()).toEqual([404, 1]);
    clock.advance(1);
    expect(await ask()).toEqual([404, 2]);
    isThere = true;
    clock.advance(1_000);
    // What it sends is an event stream without an event, and no transport stream.
    expect(await ask()).toEqual([kind === "events" ? 200 : 503, 3]);
  });

  test("is forgotten where too many others come after it", async () => {
    const { origin, edge } = start(() => new Response("no", { status: 404 }));
    await statusOf(edge, path);
    for (let count = 0; count < 1_024; count++) await statusOf(edge, `/live/other-${count}/${kind}`);
    await statusOf(edge, `/live/other-1/${kind}`);
    expect(origin.count("made-up")).toBe(1);
    await statusOf(edge, path);
    expect([origin.count("made-up"), origin.count("other-1/")]).toEqual([2, 1]);
  });
});
