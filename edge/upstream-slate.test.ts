/** Origins that show their slate while another has the picture: real servers, and a clock moved by hand. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeOrigin, until } from "./fake-origin.ts";
import { PacedOrigin } from "./paced-origin.ts";
import { startUpstreams } from "./upstream-fixture.ts";
import { saysSlate, SlateWatch } from "./upstream-slate.ts";

const SLATE = "ready, slate: no frames from the source http://source:1/: connection refused\n";
const PICTURE = "ready\n";
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** An origin that says its name, and of itself what a test has put there. */
class SlateOrigin extends FakeOrigin {
  words: string;

  constructor(name: string, words: string) {
    super((_request, path) => new Response(path === "/readyz" ? this.words : name));
    this.words = words;
    closers.push(() => this.close());
  }
}

function start(urls: readonly string[], weights: readonly number[] = []) {
  const several = startUpstreams(urls, weights);
  closers.push(() => several.upstream.close());
  return { ...several, onSlate: () => several.upstream.peers.map(({ isOnSlate }) => isOnSlate) };
}

describe("SlateWatch", () => {
  const findings = (watch: SlateWatch, from: number, to: number, isShowing: boolean, hasElsewhere = true) => {
    const changes: number[] = [];
    for (let nowMs = from; nowMs < to; nowMs += 250)
      if (watch.note({ isShowing, nowMs, hasElsewhere })) changes.push(nowMs);
    return changes;
  };

  test("passes over after a second of slate, and returns after five of picture", () => {
    const watch = new SlateWatch();
    expect(findings(watch, 0, 3_000, true)).toEqual([1_000]);
    expect(watch.isPassedOver).toBe(true);
    expect(findings(watch, 3_000, 12_000, false)).toEqual([8_000]);
    expect(watch.isPassedOver).toBe(false);
  });

  test("returns after one second where no other has the picture", () => {
    const watch = new SlateWatch();
    findings(watch, 0, 3_000, true);
    expect(findings(watch, 3_000, 12_000, false, false)).toEqual([4_000]);
  });

  test("stays where no other has the picture", () => {
    const watch = new SlateWatch();
    expect(findings(watch, 0, 60_000, true, false)).toEqual([]);
  });

  test("a source that comes and goes neither passes over nor returns", () => {
    const watch = new SlateWatch();
    for (let atMs = 0; atMs < 60_000; atMs += 1_500) {
      expect(findings(watch, atMs, atMs + 750, true)).toEqual([]);
      expect(findings(watch, atMs + 750, atMs + 1_500, false)).toEqual([]);
    }
    expect(findings(watch, 60_000, 61_250, true)).toEqual([61_000]);
    for (let atMs = 61_250; atMs < 120_000; atMs += 4_500) {
      expect(findings(watch, atMs, atMs + 4_250, false)).toEqual([]);
      expect(findings(watch, atMs + 4_250, atMs + 4_500, true)).toEqual([]);
    }
  });

  test("what was said before it went away proves nothing", () => {
    const watch = new SlateWatch();
    findings(watch, 0, 1_000, true);
    watch.interrupt();
    expect(watch.hasPicture(5_000)).toBe(false);
    expect(findings(watch, 5_000, 7_000, true)).toEqual([6_000]);
    watch.interrupt();
    // Still passed over: it has not shown its picture since.
    expect(watch.isPassedOver).toBe(true);
  });

  test.each([
    [SLATE, true],
    [PICTURE, false],
    ["", false],
    ["<p>ready, slate: a page</p>", false],
  ])("saysSlate(%j) is %p", (body, expected) => {
    expect(saysSlate(body)).toBe(expected);
  });
});

describe("several upstreams, one of them on its slate", () => {
  test("the next one is asked while that has the picture, and the first again when it has had it for a while", async () => {
    const [first, second] = [new SlateOrigin("first", PICTURE), new SlateOrigin("second", PICTURE)];
    const { ask, pass, passUntil, lines, onSlate } = start([first.url, second.url]);
    await pass(2_000);
    first.words = SLATE;
    await pass(750);
    expect([await ask(), lines]).toEqual(["first", []]);
    await passUntil(() => onSlate()[0] === true);
    expect(await ask()).toBe("second");
    first.words = PICTURE;
    await pass(4_000);
    expect(await ask()).toBe("second");
    await passUntil(() => onSlate()[0] === false);
    expect(await ask()).toBe("first");
    const { host } = new URL(first.url);
    expect(lines).toEqual([
      `Upstream ${host} is passed over: it shows its slate`,
      `Upstream ${host} has its picture again`,
    ]);
  });

  test("it is asked where no other is plainly ready, and where the other does not answer", async () => {
    const [first, second] = [new SlateOrigin("first", SLATE), new SlateOrigin("second", SLATE)];
    const { ask, pass, passUntil, onSlate } = start([first.url, second.url]);
    await pass(3_000);
    expect([await ask(), onSlate()]).toEqual(["first", [false, false]]);
    second.words = PICTURE;
    await passUntil(() => onSlate()[0] === true);
    expect(await ask()).toBe("second");
    // Nothing is gained by going back to another slate.
    second.words = SLATE;
    await pass(3_000);
    expect([await ask(), onSlate()]).toEqual(["second", [true, false]]);
    await second.close();
    expect(await ask()).toBe("first");
  });

  test("two whose feed breaks and returns at nearly one moment are not changed", async () => {
    const [first, second] = [new SlateOrigin("first", PICTURE), new SlateOrigin("second", PICTURE)];
    const { ask, pass, lines } = start([first.url, second.url]);
    await pass(2_000);
    first.words = SLATE;
    await pass(600);
    second.words = SLATE;
    await pass(5_000);
    second.words = PICTURE;
    await pass(600);
    first.words = PICTURE;
    await pass(8_000);
    expect([await ask(), second.count("/live/x"), lines]).toEqual(["first", 0, []]);
  });

  test("by weights the other one is asked for its folders, too", async () => {
    const [first, second] = [new SlateOrigin("first", PICTURE), new SlateOrigin("second", PICTURE)];
    const { ask, pass, passUntil, onSlate } = start([first.url, second.url], [1, 1]);
    await pass(2_000);
    const name = await ask();
    const [own, index, otherName] = name === "first" ? [first, 0, "second"] : [second, 1, "first"];
    own.words = SLATE;
    await passUntil(() => onSlate()[index] === true);
    expect(await ask()).toBe(otherName);
    own.words = PICTURE;
    await passUntil(() => onSlate()[index] === false);
    expect(await ask()).toBe(name);
  });

  test("its answers without end are broken off, for the picture's sake", async () => {
    const second = new SlateOrigin("second", PICTURE);
    const first = await PacedOrigin.listen();
    closers.push(() => first.close());
    let words = PICTURE;
    first.onRequest = (request) => {
      if (request.path === "/readyz") request.begin(200).send(words).end();
      else request.begin(200).send(new Uint8Array(1));
    };
    const { upstream, pass, passUntil } = start([first.url, second.url]);
    await pass(2_000);
    const { signal } = new AbortController();
    let count = 0;
    const read = async (): Promise<void> => {
      const { chunks } = await upstream.open("/live/stream.ts", { signal, silenceMsMax: 60_000 });
      for await (const _ of chunks) count++;
    };
    let isOver = false;
    const over = read().catch(() => void (isOver = true));
    await until(() => count === 1);
    words = SLATE;
    await passUntil(() => isOver);
    await over;
    const { chunks } = await upstream.open("/live/stream.ts", { signal, silenceMsMax: 60_000 });
    const bytes = (await Array.fromAsync(chunks)).map((chunk) => new TextDecoder().decode(chunk));
    expect(bytes.join("")).toBe("second");
  });

  test("the body of an answer to a probe is read to a bound", async () => {
    const first = await PacedOrigin.listen();
    closers.push(() => first.close());
    first.onRequest = (request) => {
      if (request.path !== "/readyz") return request.begin(200).send("first").end();
      // Never ended.
      request.begin(200).send(new Uint8Array(1024 * 1024));
    };
    const second = new SlateOrigin("second", PICTURE);
    const { ask, passUntil, upstream } = start([first.url, second.url]);
    await passUntil(() => first.requests.length >= 4);
    await until(() => first.requests.slice(0, 3).every(({ isClosed }) => isClosed));
    expect([await ask(), upstream.peers[0]?.state]).toEqual(["first", "up"]);
  });
});
