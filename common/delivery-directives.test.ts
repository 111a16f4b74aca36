/** Which queries ask for a position, and which of them are wrong. */
import { expect, test } from "bun:test";
import { readDirectives } from "#common/delivery-directives.ts";

test.each([
  ["", undefined],
  ["session=1&x=_HLS", undefined],
  ["_HLS_skip=YES", undefined],
  ["a=1&_HLS_skip=v3", undefined],
  ["_HLS_msn=12", { segmentNumber: 12, part: undefined }],
  ["_HLS_msn=12&_HLS_part=3", { segmentNumber: 12, part: 3 }],
  ["_HLS_part=3&_HLS_msn=007", { segmentNumber: 7, part: 3 }],
  ["_HLS_part=3&token=a&_HLS_msn=12&_HLS_skip=v2", { segmentNumber: 12, part: 3 }],
  ["_HLS_part=3", "malformed"],
  ["_HLS_msn=x", "malformed"],
  ["_HLS_msn=-1", "malformed"],
  ["_HLS_msn=1.5", "malformed"],
  ["_HLS_msn=1e3", "malformed"],
  ["_HLS_msn=0x10", "malformed"],
  ["_HLS_msn=", "malformed"],
  ["_HLS_msn=1&_HLS_part=", "malformed"],
  ["_HLS_msn=1&_HLS_msn=2", "malformed"],
  ["_HLS_msn=1&_HLS_msn=1", "malformed"],
  ["_HLS_msn=1&_HLS_part=1&_HLS_part=1", "malformed"],
  ["_HLS_msn=99999999999999999999", "malformed"],
] as const)("33: readDirectives(%p) reads what counts and ignores order and the rest", (query, expected) =>
  expect(readDirectives(query)).toEqual(expected as ReturnType<typeof readDirectives>),
);
