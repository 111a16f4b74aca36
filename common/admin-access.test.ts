/** The admin token. */
import { expect, test } from "bun:test";
import { isAdmin } from "#common/admin-access.ts";

const token = "0123456789abcdef-token";

test.each([
  [`Bearer ${token}`, true],
  [`bearer  ${token}`, true],
  [`Bearer ${token}x`, false],
  [`Bearer ${token.slice(0, -1)}`, false],
  [`Bearer ${token} x`, false],
  [token, false],
  [`Basic ${token}`, false],
  ["Bearer ", false],
  ["", false],
  [null, false],
])("isAdmin() of %j is %p", (header, isRight) => {
  expect(isAdmin(header, token)).toBe(isRight);
});

test("isAdmin() lets nobody in without a token", () => {
  expect([isAdmin("Bearer ", ""), isAdmin(null, ""), isAdmin(`Bearer ${token}`, "")]).toEqual([
    false,
    false,
    false,
  ]);
});
