/** What an origin on its slate says of itself, and what an edge takes that for: neither imports the other. */
import { expect, test } from "bun:test";
import { createRegistry } from "#common/metrics.ts";
import { createNodeApp } from "#common/node-http.ts";
import { saysSlate } from "../edge/upstream-slate.ts";
import { whySlate } from "../origin/readiness.ts";

const status = {
  state: "lost",
  failure: "it refused",
  reconnects: 1,
  unreadable: 0,
  receivedBytes: 0,
  audioPackets: 0,
  droppedPictures: 0,
  continuityErrors: 0,
} as const;

test.each([true, false])(
  "saysSlate() understands /readyz of an origin whose slate is shown: %p",
  async (isShowing) => {
    const app = createNodeApp({
      registry: createRegistry(),
      readiness: () => undefined,
      readyNote: () => (isShowing ? whySlate({ status, shownUrl: "http://source:1/" }) : undefined),
    });
    const response = await app.request("/readyz", {}, { address: "192.0.2.1" });
    expect(response.status).toBe(200);
    expect(saysSlate(await response.text())).toBe(isShowing);
  },
);
