/** What the edge asks for, and for how long. */
import { expect, test } from "bun:test";
import { wantedOf } from "./live-wanted.ts";

test.each([
  ["a list of variants no longer than players do", { kind: "multivariant" }, 5_000],
  ["an answer of the API no longer either", { kind: "api" }, 5_000],
  ["a part as long as it may be held", { kind: "media", holdMsMax: 7_500 }, 7_500],
  ["media as long as fills do, where nothing is known", { kind: "media" }, undefined],
] as const)("wantedOf() waits for %s", (_, thing, holdMsMax) => {
  expect(wantedOf({ path: "/live/canvas/x", ...thing }).holdMsMax).toBe(holdMsMax);
});
