/** Series of the requests that wait for the next part or segment, the same for every node that holds them. */
import type { Registry } from "prom-client";
import type { HeldBudget } from "#common/held-requests.ts";
import { declareOn, observedHistogram } from "#common/metrics.ts";

const NAMES = {
  origin: {
    waiting: "spillway_origin_held_requests",
    refused: "spillway_origin_held_refused_total",
    overdue: "spillway_origin_held_overdue_total",
    wakes: "spillway_origin_wake_seconds",
  },
  edge: {
    waiting: "spillway_edge_held_requests",
    refused: "spillway_edge_held_refused_total",
    overdue: "spillway_edge_held_overdue_total",
    wakes: "spillway_edge_wake_seconds",
  },
};

/** Declares the series of `budget`, which all playlists of a node share. */
export function declareHeldMetrics(
  registry: Registry,
  { node, budget }: { readonly node: keyof typeof NAMES; readonly budget: HeldBudget },
): void {
  const { counter, gauge } = declareOn(registry);
  const { waiting, refused, overdue, wakes } = NAMES[node];
  gauge(waiting, "Requests that wait for the next part or segment.", () => budget.count);
  counter(refused, "Requests refused because too many waited.", () => budget.refused);
  counter(overdue, "Requests answered 503 because nothing new came in time.", () => budget.overdue);
  observedHistogram({
    registry,
    name: wakes,
    help: "From the publication of a part or segment until requests that waited for it were answered.",
    read: () => budget.wakes,
  });
}
