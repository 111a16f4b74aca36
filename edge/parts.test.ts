/** The parts of an edge, made from a configuration. */
import { expect, test } from "bun:test";
import { startTestEdge } from "./fake-origin.ts";

test("createParts() takes a share of memory that is no whole number of MiB, as each of two workers gets", async () => {
  const edge = startTestEdge("http://127.0.0.1:1", { cacheMib: 256 / 3 });
  expect(edge.store.bytesMax).toBe(89_478_485);
  await edge.close();
});
