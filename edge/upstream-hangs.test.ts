/** Upstreams whose probes are well but that leave requests unanswered: a clock moved by hand, and real servers. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { FakeOrigin, until } from "./fake-origin.ts";
import { OVERDUE_MS, startUpstreams } from "./upstream-fixture.ts";
import { Hangs } from "./upstream-hangs.ts";

const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const nextTurn = (): Promise<void> => Bun.sleep(0);

describe("Hangs", () => {
  function start() {
    const clock = new FakeClock();
    const startMs = clock.monotonicMs();
    const tries: number[] = [];
    const changes: string[] = [];
    const answer = { isThere: false };
    const hangs = new Hangs({
      clock,
      isAnswered: async () => {
        tries.push(clock.monotonicMs() - startMs);
        return answer.isThere;
      },
      onChange: (folder, isHanging) => changes.push(`${folder} ${isHanging ? "hangs" : "is asked again"}`),
    });
    /** Lets time pass while somebody asks for `path`, if given, all the time. */
    const pass = async (ms: number, path?: string): Promise<void> => {
      for (let passed = 0; passed < ms; passed += 1_000) {
        if (path !== undefined) hangs.has(path);
        clock.advance(1_000);
        await nextTurn();
      }
    };
    return { hangs, tries, changes, answer, pass };
  }

  test("a folder hangs until what timed out is answered, which is tried ever more seldom", async () => {
    const { hangs, tries, changes, answer, pass } = start();
    expect([hangs.note("/a/x?q=/b/"), hangs.note("/a/y")]).toEqual([true, false]);
    expect(["/a/z", "/b/z", "/"].map((path) => hangs.has(path))).toEqual([true, false, false]);
    await pass(200_000, "/a/x");
    expect(tries).toEqual([2_000, 6_000, 14_000, 30_000, 62_000, 122_000, 182_000]);
    expect([hangs.has("/a/x"), hangs.count]).toEqual([true, 1]);
    answer.isThere = true;
    await pass(60_000, "/a/x");
    expect([hangs.has("/a/x"), hangs.count]).toEqual([false, 0]);
    expect(changes).toEqual(["/a/ hangs", "/a/ is asked again"]);
  });

  test("what nobody asks for any more is not tried", async () => {
    const { hangs, tries, pass } = start();
    hangs.note("/a/x");
    await pass(60_000);
    expect([tries, hangs.has("/a/x")]).toEqual([[2_000], false]);
  });

  test("one that hangs again soon is left for longer, one that hangs again late is not", async () => {
    const { hangs, tries, answer, pass } = start();
    answer.isThere = true;
    hangs.note("/a/x");
    await pass(3_000, "/a/x");
    expect(hangs.note("/a/x")).toBe(true);
    await pass(10_000, "/a/x");
    expect(tries).toEqual([2_000, 3_000 + 4_000]);
    await pass(200_000);
    hangs.note("/a/x");
    await pass(3_000, "/a/x");
    expect(tries.at(-1)).toBe(213_000 + 2_000);
  });

  test("remembers 64 folders, those that hang rather than those that did", async () => {
    const { hangs, answer, pass } = start();
    answer.isThere = true;
    hangs.note("/was/x");
    await pass(2_000, "/was/x");
    answer.isThere = false;
    for (let index = 0; index < 64; index++) expect(hangs.note(`/${index}/x`)).toBe(true);
    expect([hangs.note("/more/x"), hangs.has("/more/x"), hangs.count]).toEqual([false, false, 64]);
  });

  test("close() ends all tries", async () => {
    const { hangs, tries, pass } = start();
    hangs.note("/a/x");
    hangs.close();
    await pass(10_000, "/a/x");
    expect([tries, hangs.note("/a/x"), hangs.count]).toEqual([[], false, 0]);
  });
});

/** Answers with its name, but not in the folders that a test has it hang in. */
class HangingOrigin extends FakeOrigin {
  readonly hanging = new Set<string>();
  #wake = Promise.withResolvers<void>();

  constructor(name: string) {
    super(async (_request, path) => {
      if ([...this.hanging].some((folder) => path.startsWith(folder))) await this.#wake.promise;
      return new Response(name);
    });
    closers.push(() => this.close());
  }

  /** Answers all that has come, and what is to come. */
  recover(): void {
    this.hanging.clear();
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}

describe("two upstreams whose probes are well", () => {
  async function start() {
    const [first, second] = [new HangingOrigin("first"), new HangingOrigin("second")];
    const several = startUpstreams([first.url, second.url]);
    closers.push(() => several.upstream.close());
    await several.pass(1_000);
    const status = (path: string): Promise<unknown> =>
      several.ask(path, 100).catch((error: { status?: number }) => error.status);
    const hanging = (): number[] => several.upstream.peers.map(({ hangingFolders }) => hangingFolders);
    return { ...several, first, second, status, hanging };
  }

  test("a folder that the first leaves unanswered is asked of the second, until the first answers again", async () => {
    const { first, ask, status, hanging, lines, passUntil, upstream } = await start();
    first.hanging.add("/live/");
    expect(await status("/live/x")).toBe(504);
    expect([await ask("/live/x"), await ask("/live/y"), await ask("/other/x")]).toEqual([
      "second",
      "second",
      "first",
    ]);
    expect([hanging(), upstream.peers.map(({ state }) => state)]).toEqual([
      [1, 0],
      ["up", "up"],
    ]);
    const asked = first.count("/live/");
    // One try of ours, which is not answered either.
    await passUntil(() => first.count("/live/") > asked);
    expect(await ask("/live/x")).toBe("second");
    first.recover();
    await passUntil(() => hanging()[0] === 0);
    expect(await ask("/live/x")).toBe("first");
    const { host } = new URL(first.url);
    expect(lines).toEqual([
      `Upstream ${host} leaves requests unanswered: others are asked for /live/`,
      `Upstream ${host} is asked for /live/ again`,
    ]);
  });

  test("what is held for long is no reason to leave the first while it answers the playlist as it is", async () => {
    const { first, second, ask, pass, passUntil, clock, hanging } = await start();
    clock.awaited.add(OVERDUE_MS);
    first.hanging.add("/live/x?q=1&_HLS_");
    const held = ask("/live/x?q=1&_HLS_msn=7&_HLS_part=1", 8_000);
    await until(() => first.count("_HLS_") === 1);
    await pass(3_000);
    expect(first.count("/live/x")).toBe(1);
    await passUntil(() => first.hits.get("/live/x?q=1") === 1);
    await pass(3_000);
    expect([hanging(), second.count("/live/")]).toEqual([[0, 0], 0]);
    first.recover();
    expect([await held, first.count("/live/x")]).toEqual(["first", 2]);
  });

  test("what waits for the folder moves on, and nothing else", async () => {
    const { first, second, ask, status } = await start();
    first.hanging.add("/live/").add("/other/");
    const [waiting, other] = [ask("/live/held?_HLS_msn=1"), ask("/other/x")];
    await until(() => first.count("/held") === 1 && first.count("/other/") === 1);
    expect(await status("/live/x")).toBe(504);
    expect([await waiting, second.count("/other/")]).toEqual(["second", 0]);
    first.recover();
    expect([await other, first.count("/held")]).toEqual(["first", 1]);
  });

  test("a folder that both leave unanswered is asked of the first, and nothing moves to and fro", async () => {
    const { first, second, ask, status, hanging } = await start();
    first.hanging.add("/live/");
    second.hanging.add("/live/");
    expect([await status("/live/x"), await status("/live/x"), hanging()]).toEqual([504, 504, [1, 1]]);
    const waiting = ask("/live/y");
    await until(() => first.count("/live/y") === 1);
    expect([await status("/live/x"), second.count("/live/y")]).toEqual([504, 0]);
    first.recover();
    expect(await waiting).toBe("first");
  });

  test("one that hangs comes after one that has failed", async () => {
    const { first, second, status, upstream } = await start();
    first.hanging.add("/live/");
    expect(await status("/live/x")).toBe(504);
    second.handler = (_request, path) => new Response("no", { status: path === "/readyz" ? 200 : 503 });
    const failed = new Set(upstream.peers.slice(1));
    const { status: answer } = await upstream.fetch("/live/x", { holdMsMax: 5_000, failed });
    expect([answer, first.count("/live/x")]).toEqual([503, 1]);
  });
});
