/** What playlists take of an edge's memory, and an edge whose memory is too small for a playlist's media. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock, systemClock } from "#common/clock.ts";
import { COPIED_BYTES_MAX } from "#common/late-body.ts";
import { MEBIBYTE } from "#common/units.ts";
import { FakeLivePlaylist, FakeOrigin, startTestEdge, type TestEdge, until } from "./fake-origin.ts";
import { PART_MS } from "./fake-live-upstream.ts";
import { Store } from "./store.ts";
import { FAILURE_MS, sizeOf, type Stored } from "./stored.ts";
import { type Asked, ASKED_PLAIN, type TailAnswer } from "./tail-answer.ts";
import { ask, type Fixture, pass, reload, setup as setupTails } from "./tail-fixture.ts";
import { TailMemory, TailRoom } from "./tail-memory.ts";
import { UNWATCHED } from "./viewer-connection.ts";

const FOLDER = "/live/canvas/720p/";
const PATH = `${FOLDER}index.m3u8`;
const CACHE_MIB = 16;

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** An edge with little memory behind an origin whose playlists have `paddingBytes` that say nothing. */
function start(
  paddingBytes: number,
  proxyAll = false,
): { readonly live: FakeLivePlaylist; readonly edge: TestEdge; readonly origin: FakeOrigin } {
  const live = new FakeLivePlaylist();
  const origin = new FakeOrigin(async (request, path) => {
    const answer = await live.answer(request);
    if (!path.includes(".m3u8") || answer.status !== 200) return answer;
    return new Response((await answer.text()) + `# ${"x".repeat(paddingBytes)}\n`, answer);
  });
  const edge = startTestEdge(origin.url, { cacheMib: CACHE_MIB, proxyAll });
  closers.push(edge.close, () => origin.close());
  return { live, edge, origin };
}

/** The answer, for which the next part is waited for at the longest. */
async function answered(made: Fixture, pending: Promise<TailAnswer>): Promise<TailAnswer> {
  await pass(made, 2 * PART_MS);
  return pending;
}

describe("TailMemory", () => {
  /** Tails in the order in which they were asked for. */
  function setup(): { store: Store; memory: TailMemory; rooms: TailRoom[]; open: () => TailRoom } {
    const store = new Store({ bytesMax: 10 * MEBIBYTE, clock: systemClock });
    const rooms: TailRoom[] = [];
    const memory = new TailMemory({
      budget: store,
      dropOther(room) {
        const at = rooms.findIndex((other) => other !== room);
        const [oldest] = at === -1 ? [] : rooms.splice(at, 1);
        oldest?.close();
        return oldest !== undefined;
      },
    });
    const open = (): TailRoom => {
      const room = new TailRoom(memory);
      rooms.push(room);
      return room;
    };
    return { store, memory, rooms, open };
  }

  test("counts the newest version of each tail until it is closed", () => {
    const { store, memory, open } = setup();
    const [one, two] = [open(), open()];
    expect([one.fit(MEBIBYTE), two.fit(1), one.fit(2 * MEBIBYTE), one.fit(MEBIBYTE)]).toEqual(
      Array.from({ length: 4 }, () => true),
    );
    expect([memory.bytes, store.reservedBytes]).toEqual([MEBIBYTE + 16_384, MEBIBYTE + 16_384]);
    one.close();
    two.close();
    two.close();
    expect([memory.bytes, store.reservedBytes]).toEqual([0, 0]);
  });

  test("past half of the cache lets the tails go that were asked for longest ago", () => {
    const { memory, rooms, open } = setup();
    const [one, two, three] = [open(), open(), open()];
    expect([one, two, three].map((room) => room.fit(1.5 * MEBIBYTE))).toEqual([true, true, true]);
    const four = open();
    expect(four.fit(3 * MEBIBYTE)).toBe(true);
    expect([rooms, memory.bytes]).toEqual([[three, four], 4.5 * MEBIBYTE]);
    // One that is too large by itself costs nobody its place, and stays as it is.
    expect(four.fit(5 * MEBIBYTE + 1)).toBe(false);
    expect([rooms, memory.bytes]).toEqual([[three, four], 4.5 * MEBIBYTE]);
  });

  test("has no room where all is on its way elsewhere: who has room keeps it, and a little growth needs none", () => {
    const { store, rooms, open } = setup();
    const [one, two] = [open(), open()];
    expect(one.fit(100_000)).toBe(true);
    expect(store.reserve(store.bytesMax - store.reservedBytes)).toBe(true);
    expect([one.fit(100_100), one.fit(200_000), two.fit(1), rooms.length]).toEqual([true, false, false, 2]);
    expect(store.reservedBytes).toBe(store.bytesMax);
  });
});

test("playlists are counted in the memory of the edge: of many versions one, and none once they are closed", async () => {
  const { live, edge } = start(300_000);
  expect(await (await fetch(edge.url + PATH)).text()).toStartWith(live.text());
  await until(() => live.held === 1);
  expect(edge.playlists.bytes).toBeWithin(10 * 300_000, 14 * 300_000);
  for (let published = 0; published < 20; published++) {
    live.publish();
    await until(() => live.held === 1);
  }
  expect(edge.playlists.bytes).toBeLessThan(14 * 300_000);
  expect(edge.store.reservedBytes).toBeGreaterThanOrEqual(edge.playlists.bytes);
  edge.playlists.close();
  expect(edge.playlists.bytes).toBe(0);
});

test("a playlist is 503 while all memory is on its way elsewhere, and one that has room goes on", async () => {
  const made = setupTails();
  const { store, clock, playlists } = made;
  const all = store.bytesMax - store.reservedBytes;
  store.reserve(all);
  expect((await answered(made, ask(made, ASKED_PLAIN))).status).toBe(503);
  expect(playlists.bytes).toBe(0);
  store.release(all);
  clock.advance(FAILURE_MS);
  expect((await answered(made, ask(made, ASKED_PLAIN))).status).toBe(200);
  store.reserve(store.bytesMax - store.reservedBytes);
  for (let version = 0; version < 50; version++) {
    expect((await answered(made, ask(made, reload(made)))).status).toBe(200);
  }
  playlists.close();
});

test("a version is counted once while it is the newest, whoever is being sent it, and as long as that lasts afterwards", async () => {
  // Large enough to be lent.
  const padding = `# ${"x".repeat(COPIED_BYTES_MAX)}\n`;
  const made = setupTails(
    (text) => text.replace("CAN-BLOCK-RELOAD", "CAN-SKIP-UNTIL=6.0,CAN-BLOCK-RELOAD") + padding,
  );
  const { lending } = made.store;
  let isSending = true;
  const lend = async (asked: Asked): Promise<Stored> => {
    const pending = ask(made, asked);
    // Long enough for a first version, and not for another.
    await pass(made, 20);
    const { stored } = await pending;
    if (stored === undefined) throw new Error("A playlist was expected");
    const connection = { ...UNWATCHED, isOpen: () => isSending };
    const request = new Request("http://edge/");
    lending.bodyOf(stored, stored.body, { request, connection, counters: { sentBytes: 0 } });
    return stored;
  };
  const whole = await lend(ASKED_PLAIN);
  const bytes = sizeOf(whole, "");
  // The same bytes, in the room of the tail.
  expect([lending.wholeBytes, lending.goneBytes]).toEqual([bytes, 0]);
  const delta = await lend({ ...ASKED_PLAIN, isDelta: true });
  const deltaBytes = sizeOf(delta, "");
  expect([lending.wholeBytes, lending.goneBytes, deltaBytes < bytes]).toEqual([bytes + deltaBytes, 0, true]);
  await pass(made, 2 * PART_MS);
  // Both are of versions that are the newest no longer.
  expect(lending.goneBytes).toBe(lending.wholeBytes);
  const before = lending.goneBytes;
  const newest = await lend({ ...ASKED_PLAIN, isDelta: true });
  expect(lending.goneBytes).toBe(before);
  made.playlists.close();
  expect(lending.goneBytes).toBe(before + sizeOf(newest, ""));
  isSending = false;
  made.clock.advance(1_000);
  lending.refresh();
  expect([lending.goneBytes, lending.wholeBytes]).toEqual([0, 0]);
});

test("many playlists behind the caching proxy take no more than their share, and not the place of one that is watched", async () => {
  const { live, edge } = start(40_000, true);
  const watched = "/any/watched.m3u8";
  const paths = Array.from({ length: 60 }, (_, index) => `/any/${index}.m3u8`);
  for (const path of paths) {
    expect(await (await fetch(edge.url + path)).text()).toStartWith(live.text());
    expect((await fetch(edge.url + watched)).status).toBe(200);
    expect(edge.playlists.has(watched)).toBe(true);
    expect(edge.playlists.bytes).toBeLessThanOrEqual((CACHE_MIB / 2) * MEBIBYTE);
    expect(edge.store.bytes + edge.store.reservedBytes).toBeLessThanOrEqual(CACHE_MIB * MEBIBYTE);
  }
  expect(paths.filter((path) => edge.playlists.has(path)).length).toBeWithin(5, 30);
});

test("a playlist too large for its share has no tail behind the caching proxy, and is answered all the same", async () => {
  const { edge } = start(1_000_000, true);
  const path = "/any/large.m3u8";
  expect((await (await fetch(edge.url + path)).text()).length).toBeGreaterThan(1_000_000);
  expect([edge.playlists.has(path), edge.playlists.bytes]).toEqual([false, 0]);
});

test("E11: a full memory lets the oldest media go, and never the newest playlist", async () => {
  const live = new FakeLivePlaylist(40);
  const media = new Uint8Array(3 * MEBIBYTE);
  const headers = { "content-type": "video/mp4", "cache-control": "public, max-age=3600, immutable" };
  const origin = new FakeOrigin((request, path) =>
    path.endsWith("2.m4s") ? new Response(media, { headers }) : live.answer(request),
  );
  // It stands still: however long this takes, the playlist is new.
  const clock = new FakeClock(systemClock.wallMs());
  const edge = startTestEdge(origin.url, { cacheMib: CACHE_MIB, clock });
  closers.push(edge.close, () => origin.close());
  expect((await fetch(edge.url + PATH)).status).toBe(200);
  const names = [2, 12, 22, 32, 42, 52, 62].map((number) => `${FOLDER}aabbccdd-${number}2.m4s`);
  for (const name of names) expect((await (await fetch(edge.url + name)).bytes()).length).toBe(media.length);
  await until(() => live.held === 1);
  expect(edge.store.bytes + edge.store.reservedBytes).toBeLessThanOrEqual(edge.store.bytesMax);
  expect([edge.store.evictions > 0, edge.store.getAny(names[0] ?? "")]).toEqual([true, undefined]);
  expect(edge.store.getAny(names.at(-1) ?? "")).toBeDefined();
  const asked = origin.count("index.m3u8");
  const playlist = await fetch(edge.url + PATH);
  expect(await playlist.text()).toBe(live.text());
  expect(playlist.headers.get("cache-status")).toStartWith("spillway; hit");
  expect(origin.count("index.m3u8")).toBe(asked);
});
