/** `Cache-Status` in the words of its standard. */
import { expect, test } from "bun:test";
import { cacheStatusOf } from "./cache-status.ts";

test("E24: cacheStatusOf() says hit or why not, behind what earlier caches said", () => {
  expect(cacheStatusOf({ isHit: true, ttlSeconds: 30 })).toBe("spillway; hit; ttl=30");
  expect(cacheStatusOf({ forward: "stale", forwardStatus: 304, isStored: true, isCollapsed: true })).toBe(
    "spillway; fwd=stale; fwd-status=304; stored; collapsed",
  );
  expect(cacheStatusOf({ forward: "bypass", detail: "refused" }, "origin; hit")).toBe(
    "origin; hit, spillway; fwd=bypass; detail=refused",
  );
  expect(cacheStatusOf({ isHit: true, key: '/a?b="\\' })).toBe('spillway; hit; key="/a?b=\\"\\\\"');
  expect(cacheStatusOf({ isHit: true, key: `/${"a".repeat(512)}` })).toBe("spillway; hit");
});
