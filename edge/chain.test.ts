/** An edge behind an edge: ages add up, so a lifetime does not begin anew with each, and both ask upstream once. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { FakeOrigin, startTestEdge, type TestEdge } from "./fake-origin.ts";

const MEDIA = "/live/canvas/720p/aabbccdd-1.m4s";
const LIFETIME_SECONDS = 100;

const clock = new FakeClock();
let origin: FakeOrigin;
let near: TestEdge;
let far: TestEdge;

beforeAll(() => {
  origin = new FakeOrigin(() => {
    const headers = { "content-type": "video/mp4", "cache-control": `max-age=${LIFETIME_SECONDS}` };
    return new Response("media", { headers });
  });
  near = startTestEdge(origin.url, { clock });
  far = startTestEdge(near.url, { clock });
});

afterAll(async () => {
  await far.close();
  await near.close();
  await origin.close();
});

async function ageAt(edge: TestEdge): Promise<number> {
  const response = await fetch(edge.url + MEDIA);
  expect(await response.text()).toBe("media");
  return Number(response.headers.get("age"));
}

test("E14: the age at an edge behind an edge counts from the origin, and the lifetime ends at both at once", async () => {
  expect(await ageAt(near)).toBe(0);
  clock.advance(60_000);
  expect(await ageAt(far)).toBe(60);
  clock.advance(30_000);
  expect([await ageAt(near), await ageAt(far), origin.count()]).toEqual([90, 90, 1]);
  clock.advance(11_000);
  expect([await ageAt(far), origin.count()]).toEqual([0, 2]);
});
