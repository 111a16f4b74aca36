/** Limits of viewers, and streams that are switched off: the count, and what an edge answers. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { Admission, type AdmissionOptions, STREAMS_OFF_MAX, streamOf } from "./admission.ts";
import { FakeOrigin, startTestEdge, type TestEdge, type TestEdgeLimits, until } from "./fake-origin.ts";
import { FakeTransportStream } from "./fake-transport-stream.ts";
import { CountedViewers } from "./viewers.ts";

const NO_LIMITS = { viewerLimit: 0, viewerMax: 0, streamViewerLimit: 0, streamViewerMax: 0 };
const TOKEN = "a-token-of-an-admin";

function open(limits: Partial<AdmissionOptions>): Admission {
  const viewersMax = limits.viewerMax ?? 0;
  return new Admission({
    ...NO_LIMITS,
    ...limits,
    viewers: new CountedViewers({ clock: new FakeClock(), viewersMax }),
  });
}

describe("Admission", () => {
  test.each([
    ["no limit", {}, 9, false, [undefined, undefined]],
    ["below the soft limit", { viewerLimit: 3 }, 2, false, [undefined, undefined]],
    ["the soft limit", { viewerLimit: 3 }, 3, true, [undefined, undefined]],
    ["the hard limit alone", { viewerMax: 3 }, 3, true, ["full", "full"]],
    ["a stream's soft limit", { streamViewerLimit: 3 }, 3, true, [undefined, undefined]],
    ["a stream's hard limit", { streamViewerMax: 3 }, 3, true, ["full", undefined]],
    [
      "a stream's hard limit below the node's",
      { viewerMax: 4, streamViewerMax: 3 },
      3,
      true,
      ["full", undefined],
    ],
  ] as const)("%s", (_, limits, count, isFull, [sameStream, otherStream]) => {
    const admission = open(limits);
    for (let viewer = 0; viewer < count; viewer++) expect(admission.enter("one")).toBeUndefined();
    expect(admission.isFull).toBe(isFull);
    expect([admission.enter("one"), admission.enter("two")]).toEqual([sameStream, otherStream]);
  });

  test("counts viewers elsewhere, and forgets those who leave", () => {
    const admission = open({ streamViewerMax: 3 });
    admission.elsewhere = new Map([["one", 2]]);
    expect([admission.enter("one"), admission.enter("one"), admission.viewersOf("one")]).toEqual([
      undefined,
      "full",
      3,
    ]);
    expect([...admission.counts]).toEqual([["one", 1]]);
    admission.leave("one");
    expect([[...admission.counts], admission.isFull, admission.enter("one")]).toEqual([[], false, undefined]);
  });

  test("set() tells of changes, and bounds how many are off", () => {
    const admission = open({});
    const told: string[] = [];
    admission.onChange((stream, state) => told.push(`${stream} ${state}`));
    for (const state of ["on", "off", "off", "on"] as const) expect(admission.set("one", state)).toBe(true);
    expect(told).toEqual(["one off", "one on"]);
    for (let count = 0; count < STREAMS_OFF_MAX; count++) admission.set(`s${count}`, "off");
    expect([admission.set("one", "off"), admission.hasOff, admission.off.length]).toEqual([
      false,
      true,
      STREAMS_OFF_MAX,
    ]);
  });
});

test("streamOf() is the name behind /live/", () => {
  expect(["/live/canvas/stream.ts", "/live/a-b/720p/x.ts", "/live/"].map(streamOf)).toEqual([
    "canvas",
    "a-b",
    "",
  ]);
});

const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** An edge in front of an origin whose endless answers have begun and go on in silence. */
function start(limits: TestEdgeLimits): TestEdge {
  const opening = new FakeTransportStream().gop();
  const origin = new FakeOrigin((_request, path) => {
    if (!path.endsWith("stream.ts") && !path.endsWith("events")) return new Response(`origin ${path}`);
    const body = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(opening) });
    return new Response(body);
  });
  const edge = startTestEdge(origin.url, limits);
  closers.push(edge.close, () => origin.close());
  return edge;
}

async function statusOf(
  edge: TestEdge,
  path: string,
): Promise<readonly [status: number, retryAfter: string | null]> {
  const { status, headers, body } = await fetch(edge.url + path);
  await body?.cancel();
  return [status, headers.get("retry-after")];
}

async function health(edge: TestEdge): Promise<unknown> {
  return (await fetch(`${edge.url}/health`)).json();
}

function control(edge: TestEdge, query: string, token = TOKEN): Promise<Response> {
  const headers = { authorization: `Bearer ${token}` };
  return fetch(`${edge.url}/api/v1/streams/canvas/control?${query}`, { method: "POST", headers });
}

describe("an edge with limits", () => {
  test("is full for load balancers at the soft one, refuses at the hard one, and takes others when viewers leave", async () => {
    const edge = start({ viewerLimit: 1, viewerMax: 2 });
    const path = "/live/canvas/stream.ts";
    const one = await fetch(edge.url + path);
    const text = await (await fetch(`${edge.url}/health`)).text();
    expect(text.replace(/\d+}$/, "0}")).toBe('{"status":"full","viewer":1,"limit":1,"max":2,"bandwidth":0}');
    const two = await fetch(edge.url + path);
    expect(await statusOf(edge, path)).toEqual([503, "2"]);
    expect(await (await fetch(edge.url + path)).text()).toBe("This edge is full\n");
    await one.body?.cancel();
    await two.body?.cancel();
    await until(() => edge.viewers.ts === 0);
    expect(await health(edge)).toMatchObject({ status: "ok", viewer: 0 });
    expect(await statusOf(edge, path)).toEqual([200, null]);
  });

  test("bounds a crowd that comes before there is a picture", async () => {
    const edge = start({ streamViewerMax: 5 });
    const crowd = await Promise.all(
      Array.from({ length: 40 }, () => fetch(`${edge.url}/live/canvas/stream.ts`)),
    );
    expect(crowd.filter(({ status }) => status === 200).length).toBe(5);
    expect(edge.viewers.ts).toBe(5);
    expect(await (await fetch(`${edge.url}/live/canvas/stream.ts`)).text()).toBe("This stream is full\n");
    expect(await statusOf(edge, "/live/other/stream.ts")).toEqual([200, null]);
    await Promise.all(crowd.map(({ body }) => body?.cancel()));
  });

  test("says 404 to old set-top boxes, and to them alone", async () => {
    const edge = start({ viewerMax: 1, refuseStatus: "404" });
    const viewer = await fetch(`${edge.url}/live/canvas/stream.ts`);
    expect(await statusOf(edge, "/live/canvas/stream.ts")).toEqual([404, null]);
    // An edge behind this one would take 404 for the stream's end, and let its viewers go.
    const headers = { "cdn-loop": "other, spillway" };
    expect((await fetch(`${edge.url}/live/canvas/stream.ts`, { headers })).status).toBe(503);
    expect(await statusOf(edge, "/live/canvas/720p/index.m3u8")).toEqual([503, "1"]);
    await viewer.body?.cancel();
  });
});

describe("control of streams", () => {
  test("off lets viewers go and refuses new ones of every kind; on takes them again", async () => {
    const edge = start({ adminToken: TOKEN });
    const kinds = ["stream.ts", "events", "720p/aabbccdd-1.m4s", "index.m3u8"];
    for (const kind of kinds) expect((await statusOf(edge, `/live/canvas/${kind}`))[0]).toBe(200);
    const watching = await fetch(`${edge.url}/live/canvas/stream.ts`);
    const others = await fetch(`${edge.url}/live/other/stream.ts`);
    const listening = await fetch(`${edge.url}/live/canvas/events`);
    const off = await control(edge, "offline");
    expect([off.status, await off.text()]).toEqual([202, "202 accepted\n"]);
    await Promise.all([watching.arrayBuffer(), listening.text()]);
    for (const kind of kinds) {
      const [status, retryAfter] = await statusOf(edge, `/live/canvas/${kind}`);
      expect([kind, status, retryAfter]).toEqual([kind, 503, "2"]);
    }
    expect(await (await fetch(`${edge.url}/api/v1/streams`)).json()).toEqual([
      { stream: "canvas", state: "off", viewers: 0, limit: 0, max: 0 },
      { stream: "other", state: "on", viewers: 1, limit: 0, max: 0 },
    ]);
    expect((await control(edge, "online")).status).toBe(202);
    for (const kind of kinds) expect((await statusOf(edge, `/live/canvas/${kind}`))[0]).toBe(200);
    await others.body?.cancel();
  });

  test("wants the token, a state and POST", async () => {
    const edge = start({ adminToken: TOKEN });
    const path = `${edge.url}/api/v1/streams/canvas/control?offline`;
    const wrong = await control(edge, "offline", `${TOKEN}x`);
    expect([wrong.status, wrong.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
    expect((await fetch(path, { method: "POST" })).status).toBe(401);
    expect((await control(edge, "")).status).toBe(400);
    const get = await fetch(path, { headers: { authorization: `Bearer ${TOKEN}` } });
    expect([get.status, get.headers.get("allow")]).toEqual([405, "POST"]);
    expect((await fetch(`${edge.url}/api/v1/streams`, { method: "POST" })).status).toBe(405);
    expect(edge.admission.hasOff).toBe(false);
  });

  test("is not there at a caching proxy, which knows no streams", async () => {
    const edge = start({ adminToken: TOKEN, proxyAll: true });
    expect((await control(edge, "offline")).status).toBe(405);
    expect((await fetch(`${edge.url}/api/v1/streams`)).status).toBe(404);
    expect(edge.admission.hasOff).toBe(false);
  });

  test("is not there without an admin token", async () => {
    const edge = start({});
    expect((await control(edge, "offline", "")).status).toBe(404);
    expect(edge.admission.hasOff).toBe(false);
  });
});
