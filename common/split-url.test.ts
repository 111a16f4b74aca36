/** URLs as Bun hands them out. */
import { expect, test } from "bun:test";
import { splitUrl } from "#common/split-url.ts";

test("splitUrl() separates path and query", () => {
  expect(splitUrl("http://[::1]:8081/live/a?b=c?d")).toEqual({ path: "/live/a", query: "b=c?d" });
  expect(splitUrl("http://host/")).toEqual({ path: "/", query: "" });
});
