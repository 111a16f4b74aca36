/** Statuses and headers of all kinds of answers, and what does not change an answer. */
import { describe, expect, test } from "bun:test";
import { testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { enterEdge, FIRST, hintIn, open, type Origin, run, TWO } from "./origin-fixture.ts";

/** Last whole segment is FIRST + 1; of the next one, parts 0 to 2 are there. */
function begun(): Origin {
  const origin = open();
  origin.play(run, 0, 138);
  return origin;
}

/** Status of a request, or `"held"` where it waits. */
async function standing(origin: Origin, path: string): Promise<number | "held"> {
  const leaving = new AbortController();
  const before = origin.budget.count;
  const response = origin.get(path, { signal: leaving.signal });
  await Bun.sleep(0);
  const isHeld = origin.budget.count > before;
  leaving.abort();
  return isHeld ? "held" : (await response).status;
}

describe("delivery directives", () => {
  const ll = (query: string): string => `64p/index.m3u8?${query}`;
  const ts = (query: string): string => `64p/ts.m3u8?${query}`;
  const zeros = (number: number): string => String(number).padStart(15, "0");
  test.each([
    // Three seconds are 15 parts: the newest is part 2 of FIRST + 2.
    [ll(`_HLS_msn=${FIRST + 3}&_HLS_part=7`), "held"],
    [ll(`_HLS_msn=${FIRST + 3}&_HLS_part=8`), 400],
    [ll(`_HLS_msn=${FIRST + 2}&_HLS_part=99999`), "held"],
    [ll(`_HLS_msn=${FIRST + 3}`), "held"],
    [ll(`_HLS_msn=${FIRST + 4}`), 400],
    [ll(`_HLS_msn=${zeros(FIRST + 2)}&_HLS_part=000`), 200],
    [ll(`_HLS_msn=0${zeros(FIRST + 2)}`), 400],
    [ll(`_HLS_msn=${FIRST}&_HLS_part=`), 400],
    [ll(`_HLS_msn=`), 400],
    [ll(`_HLS_msn=%31`), 200],
    [ll(`_HLS_msn=+1`), 400],
    [ll(`_HLS_msn=0x1`), 400],
    [ll(`_HLS_msn=${FIRST}&_HLS_part=0&_HLS_part=0`), 400],
    [ll(`_HLS_other=-1&_HLS_skip=never&token=x`), 200],
    [ts(`_HLS_part=0`), 400],
    [ts(`_HLS_msn=${2 * FIRST + 3}`), 200],
    [ts(`_HLS_msn=${2 * FIRST + 5}`), "held"],
    [ts(`_HLS_msn=${2 * FIRST + 6}`), 400],
  ] as const)("33: %s is %p", async (path, expected) => {
    expect(await standing(begun(), path)).toBe(expected);
  });

  test("31: a part that a segment cut short lacks is the first of the next one", async () => {
    const origin = begun();
    const next = testsrcRun({
      id: "11111111",
      ordinal: 8,
      startFrame: run.startFrame + 180,
      renditions: TWO,
    });
    origin.play(next, 0, 0);
    const asked = `64p/index.m3u8?_HLS_msn=${FIRST + 2}&_HLS_part=5`;
    expect(await standing(origin, asked)).toBe("held");
    const response = origin.text(asked);
    origin.play(next, 0, 6);
    expect(await response).toContain(`11111111-${FIRST + 3}.0.m4s`);
  });
});

describe("headers", () => {
  test.each([
    ["64p/index.m3u8", 200, "max-age=1"],
    ["64p/ts.m3u8", 200, "max-age=1"],
    [`64p/index.m3u8?_HLS_msn=${FIRST}`, 200, "max-age=12"],
    [`64p/ts.m3u8?_HLS_msn=${2 * FIRST}`, 200, "max-age=6"],
    [`64p/${run.id}-init.mp4`, 200, "public, max-age=3600, immutable"],
    [`64p/${run.id}-${FIRST}.m4s`, 200, "public, max-age=3600, immutable"],
    [`64p/${run.id}-${FIRST}.0.m4s`, 200, "public, max-age=3600, immutable"],
    [`64p/${run.id}-${2 * FIRST}.ts`, 200, "public, max-age=3600, immutable"],
    ["index.m3u8", 200, "no-store"],
    // May be right in the next instant.
    [`64p/${run.id}-${FIRST + 7}.m4s`, 404, "no-store"],
    [`64p/index.m3u8?_HLS_msn=${FIRST + 9}`, 400, "no-store"],
    // Never were part of the stream.
    ["64p/other.m3u8", 404, "max-age=2"],
    ["none/index.m3u8", 404, "max-age=2"],
    ["none/deep/er", 404, "max-age=2"],
  ])("48: %s is %d with Cache-Control %s", async (path, status, cacheControl) => {
    const response = await begun().get(path);
    expect(response.status).toBe(status);
    expect(response.headers.get("cache-control")).toBe(cacheControl);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
  });

  test("48: an unknown stream and a stream that has not begun", async () => {
    const other = await begun().app.request("http://origin/live/other/index.m3u8");
    expect([other.status, other.headers.get("cache-control")]).toEqual([404, "max-age=2"]);
    const early = await open().get("64p/index.m3u8");
    expect([early.status, early.headers.get("cache-control")]).toEqual([503, "no-store"]);
  });

  test.each([
    [`64p/${run.id}-init.mp4`, "video/mp4"],
    [`64p/${run.id}-${FIRST}.m4s`, "video/mp4"],
    [`64p/${run.id}-${FIRST}.0.m4s`, "video/mp4"],
    [`64p/${run.id}-${2 * FIRST}.ts`, "video/mp2t"],
    ["64p/ts.m3u8", "application/vnd.apple.mpegurl"],
    ["ts.m3u8", "application/vnd.apple.mpegurl"],
  ])("2, 50: %s is %s, with its own entity tag, no Age and no cookie", async (path, type) => {
    const { headers } = await begun().get(path);
    expect(headers.get("content-type")).toBe(type);
    expect(headers.get("etag")).toMatch(/^"[^"]+"$/);
    expect([headers.has("age"), headers.has("set-cookie")]).toEqual([false, false]);
  });

  test("54: priorities are not used: none is sent, and none asked for changes an answer", async () => {
    const origin = begun();
    for (const path of ["64p/index.m3u8", "index.m3u8", `64p/${run.id}-${FIRST}.m4s`]) {
      const plain = await origin.get(path);
      const urgent = await origin.get(path, { headers: { priority: "u=0, i" } });
      expect(plain.headers.has("priority")).toBe(false);
      expect(Object.fromEntries(urgent.headers)).toEqual(Object.fromEntries(plain.headers));
      expect(await urgent.text()).toBe(await plain.text());
    }
  });
});

describe("the same from everywhere", () => {
  test("55: below a rendition nothing is redirected, with edges or without; a URL always has the same bytes", async () => {
    const origin = begun();
    enterEdge(origin);
    const other = begun();
    const headers = { host: "canvas.example:8080" };
    for (const { name } of run.renditions) {
      for (const file of ["index.m3u8", "ts.m3u8"]) {
        const text = await (await origin.get(`${name}/${file}`, { headers })).text();
        expect(await other.text(`${name}/${file}`)).toBe(text);
        const names = [...text.matchAll(/(?:URI="|^)([0-9a-f]{8}-[\w.]+)/gm)].map(([, uri = ""]) => uri);
        for (const media of names.filter((media) => media !== hintIn(text))) {
          const response = await origin.get(`${name}/${media}`, { headers });
          expect(response.status).toBe(200);
          const bytes = await response.bytes();
          expect((await origin.bytes(`${name}/${media}`)).toHex()).toBe(bytes.toHex());
          expect((await other.bytes(`${name}/${media}`)).toHex()).toBe(bytes.toHex());
        }
        expect(names.length).toBeGreaterThan(3);
      }
    }
  });
});

test("35: after a stall ten thousand give up their held reloads and reload plainly: one text, no place left taken", async () => {
  const origin = open({ heldMax: 10_000 });
  origin.play(run, 0, 138);
  const asked = `64p/index.m3u8?_HLS_msn=${FIRST + 2}&_HLS_part=3`;
  const leaving = new AbortController();
  const headers = { "accept-encoding": "gzip" };
  const held = Array.from({ length: 10_000 }, () => origin.get(asked, { headers, signal: leaving.signal }));
  await Bun.sleep(0);
  expect(origin.budget.count).toBe(10_000);
  // hls.js gives up after 0.8 target durations.
  origin.clock.advance(1600);
  leaving.abort();
  const answers = await Promise.all(
    Array.from({ length: 10_000 }, () => origin.get("64p/index.m3u8", { headers })),
  );
  await Promise.all(held);
  expect(origin.budget).toMatchObject({ count: 0, refused: 0, overdue: 0 });
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  expect(new Set(answers.map((answer) => answer.headers.get("etag"))).size).toBe(1);
  // The stall ends, and they wait again.
  const again = origin.get(asked, { headers });
  origin.play(run, 138, 144);
  expect((await again).status).toBe(200);
});
