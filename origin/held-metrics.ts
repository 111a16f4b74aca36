/** Series of the requests that wait for the next part or segment. */
import type { Registry } from "prom-client";
import type { HeldBudget } from "#common/held-requests.ts";
import { declareOn, observedHistogram } from "#common/metrics.ts";

/** Declares the series. */
export function declareHeldMetrics(registry: Registry, budget: HeldBudget): void {
  const { counter, gauge } = declareOn(registry);
  gauge(
    "spillway_origin_held_requests",
    "Requests that wait for the next part or segment.",
    () => budget.count,
  );
  counter(
    "spillway_origin_held_refused_total",
    "Requests refused because too many waited.",
    () => budget.refused,
  );
  counter(
    "spillway_origin_held_overdue_total",
    "Requests answered 503 because nothing new came in time.",
    () => budget.overdue,
  );
  observedHistogram({
    registry,
    name: "spillway_origin_wake_seconds",
    help: "From the publication of a part or segment until requests that waited for it were woken.",
    read: () => budget.wakes,
  });
}
