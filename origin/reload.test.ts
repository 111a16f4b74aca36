/** Reloads that are answered, held or refused, and hinted parts. */
import { describe, expect, test } from "bun:test";
import { testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { FIRST, hintIn, open, type Origin, run, TWO } from "./origin-fixture.ts";

describe("blocking reload", () => {
  const url = (segment: number, part?: number): string =>
    `64p/index.m3u8?_HLS_msn=${segment}${part === undefined ? "" : `&_HLS_part=${part}`}`;

  /** Last whole segment is FIRST + 1; of the next one, parts 0 to 2 are there. */
  function begun(options = {}): Origin {
    const origin = open(options);
    origin.play(run, 0, 138);
    return origin;
  }

  /** Whether a request is answered before anything more is published. */
  async function isHeld(origin: Origin, path: string): Promise<boolean> {
    const before = origin.budget.count;
    const response = origin.get(path);
    await Bun.sleep(0);
    const held = origin.budget.count > before;
    origin.stream.close();
    await response;
    return held;
  }

  test.each([
    [url(FIRST + 2, 2), 200],
    [url(FIRST + 1, 9), 200],
    [url(0, 0), 200],
    [url(FIRST + 1), 200],
    [url(FIRST + 2), 200],
    [`${url(0, 0)}&_HLS_skip=YES&_HLS_new=1`, 200],
    [url(FIRST + 4), 400],
    [url(FIRST + 4, 0), 400],
    [url(FIRST + 3, 9), 400],
    ["64p/index.m3u8?_HLS_part=1", 400],
    ["64p/index.m3u8?_HLS_msn=x", 400],
    ["64p/index.m3u8?_HLS_msn=-1", 400],
    ["64p/index.m3u8?_HLS_msn=1.5", 400],
    ["64p/index.m3u8?_HLS_msn=1e3", 400],
    ["64p/index.m3u8?_HLS_msn=99999999999999999999", 400],
    ["64p/index.m3u8?_HLS_msn=1&_HLS_msn=1", 400],
    ["64p/ts.m3u8?_HLS_msn=99999999", 400],
  ])("30, 31, 33: %s is answered at once with %d", async (path, status) => {
    const origin = begun();
    const response = await origin.get(path);
    expect(response.status).toBe(status);
    expect(response.headers.get("cache-control")).toBe(status === 200 ? "max-age=12" : "no-store");
  });

  test.each([
    url(FIRST + 2, 3),
    url(FIRST + 2, 9),
    url(FIRST + 2, 10),
    url(FIRST + 3),
    url(FIRST + 3, 0),
    `64p/ts.m3u8?_HLS_msn=${2 * FIRST + 4}`,
  ])("29, 32, 36: %s is held", async (path) => expect(await isHeld(begun(), path)).toBe(true));

  test("29, 31: is answered with the whole playlist as soon as it has the part", async () => {
    const origin = begun();
    const part = origin.text(url(FIRST + 2, 3));
    const next = origin.text(url(FIRST + 2, 10));
    origin.play(run, 138, 143);
    expect(origin.budget.count).toBe(2);
    origin.play(run, 143, 144);
    expect(await part).toContain(`URI="${run.id}-${FIRST + 2}.3.m4s"\n#EXT-X-PRELOAD-HINT`);
    origin.play(run, 144, 180);
    expect(origin.budget.count).toBe(1);
    origin.play(run, 180, 186);
    expect(await next).toContain(`${run.id}-${FIRST + 3}.0.m4s`);
  });

  test("34: 503 with Retry-After after three target durations, never the old playlist", async () => {
    const origin = begun();
    const response = origin.get(url(FIRST + 2, 3));
    await Bun.sleep(0);
    origin.clock.advance(6000);
    expect((await response).status).toBe(503);
    expect((await response).headers.get("retry-after")).toBe("1");
  });

  test("38: a client that leaves frees its place; past the bound 503", async () => {
    const origin = begun({ heldMax: 1 });
    const leaving = new AbortController();
    const first = origin.get(url(FIRST + 2, 3), { signal: leaving.signal });
    await Bun.sleep(0);
    expect((await origin.get(url(FIRST + 2, 3))).status).toBe(503);
    leaving.abort();
    await first;
    expect(origin.budget.count).toBe(0);
  });

  test("38: all who wait get the same compressed bytes", async () => {
    const origin = begun();
    const waiting = Array.from({ length: 50 }, () =>
      origin.get(url(FIRST + 2, 3), { headers: { "accept-encoding": "gzip" } }),
    );
    await Bun.sleep(0);
    origin.play(run, 138, 144);
    const answers = await Promise.all(waiting);
    const bodies = await Promise.all(
      answers.map(async (response) => Bun.gunzipSync(await response.bytes()).toHex()),
    );
    expect(new Set(bodies).size).toBe(1);
    expect(new Set(answers.map((response) => response.headers.get("etag"))).size).toBe(1);
  });

  test("47: the hinted part is held until it is whole; one not hinted is 404 at once", async () => {
    const origin = begun();
    const hinted = hintIn(await origin.text("64p/index.m3u8"));
    const response = origin.get(`64p/${hinted}`);
    expect((await origin.get(`64p/${hinted}`, { method: "HEAD" })).status).toBe(404);
    expect((await origin.get(`64p/${run.id}-${FIRST + 2}.4.m4s`)).status).toBe(404);
    expect(origin.budget.count).toBe(1);
    origin.play(run, 138, 144);
    expect((await response).status).toBe(200);
    expect((await (await response).bytes()).toHex()).toBe((await origin.bytes(`64p/${hinted}`)).toHex());
  });

  test("47: where another run begins instead, the hinted part is 404", async () => {
    const origin = begun();
    const response = origin.get(`64p/${run.id}-${FIRST + 2}.3.m4s`);
    await Bun.sleep(0);
    origin.play(
      testsrcRun({ id: "11111111", ordinal: 8, startFrame: run.startFrame + 180, renditions: TWO }),
      0,
      6,
    );
    expect((await response).status).toBe(404);
  });
});
