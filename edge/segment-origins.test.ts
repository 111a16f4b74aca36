/** Whose tables an edge goes by that has several origins. */
import { expect, test } from "bun:test";
import type { LeaseSegmentHosts } from "#common/formats/lease.ts";
import { SegmentOrigins } from "./segment-origins.ts";

function tableOf(origin: string, version: number): LeaseSegmentHosts {
  return { type: "segment-hosts", origin, version, from: { cmaf: 0, ts: 0 }, hosts: [] };
}

test("SegmentOrigins goes by the first origin whose lease is held and that has told anything", () => {
  const adopted: string[] = [];
  const origins = new SegmentOrigins({
    adopt: ({ origin, version }) => void adopted.push(`${origin}${version}`),
  });
  const takes = (...expected: string[]): void => expect(adopted.splice(0)).toEqual(expected);
  origins.lose(1);
  origins.hear(1, tableOf("b", 1));
  origins.hear(1, tableOf("b", 2));
  takes("b1", "b2");
  origins.hear(0, tableOf("a", 1));
  takes("a1");
  origins.hear(1, tableOf("b", 3));
  takes();
  origins.lose(0);
  takes("b3");
  origins.lose(1);
  takes();
  origins.hear(1, tableOf("b", 3));
  origins.hear(0, tableOf("a", 2));
  origins.lose(1);
  takes("b3", "a2");
});
