/** Which paths an edge accepts. */
import { describe, expect, test } from "bun:test";
import { readTarget } from "./targets.ts";

describe("readTarget()", () => {
  const known = [
    ["/live/canvas/index.m3u8", "multivariant"],
    ["/live/canvas/ts.m3u8", "multivariant"],
    ["/live/canvas/stream.ts", "relay"],
    ["/live/canvas/events", "events"],
    ["/live/canvas/720p/index.m3u8", "playlist"],
    ["/live/canvas/720p/ts.m3u8", "playlist"],
    ["/live/canvas/720p/stream.ts", "relay"],
    ["/live/canvas/720p/aabbccdd-init.mp4", "media"],
    ["/live/canvas/720p/aabbccdd-881234567.m4s", "media"],
    ["/live/canvas/720p/aabbccdd-881234567.9.m4s", "media"],
    ["/live/canvas/720p/aabbccdd-17.ts", "media"],
    ["/live/canvas/720p/aabbccdd-17-s.ts", "media"],
    ["/live/canvas/720p/aabbccdd-17-s.m4s", "media"],
    ["/live/canvas/720p/aabbccdd-17.3-s.m4s", "media"],
  ] as const;
  test.each(known)("takes %s for a %s", (path, kind) => {
    expect(readTarget(path)).toEqual({ kind, path });
  });

  const foreign = [
    "/live/canvas",
    "/live/canvas/",
    "/live//index.m3u8",
    "/live/../index.m3u8",
    "/live/canvas/../index.m3u8",
    "/live/canvas/%2e%2e/index.m3u8",
    "/live/canvas/..%2findex.m3u8",
    "/live/canvas/720p/../../metrics",
    "/live/canvas/720p/extra/index.m3u8",
    "/live/canvas/720p/events",
    "/live/canvas/720p/secret.txt",
    "/live/canvas/720p/aabbccdd-1.m4s/",
    "/live/canvas/720p/aabbccdd-1.m4s\n",
    "/live/canvas/720p/-1.m4s",
    "/live/canvas/720p/aabbccdd-1234567890123456.m4s",
    "/live/canvas/720p/aabbccdd-1.2.3.m4s",
    "/live/canvas\\720p/index.m3u8",
    `/live/${"x".repeat(65)}/index.m3u8`,
    "/metrics",
    "/api/v1/lease",
  ];
  test.each(foreign)("refuses %j", (path) => {
    expect(readTarget(path)).toBeUndefined();
  });
});
