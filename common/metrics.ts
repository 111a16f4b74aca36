/**
 * The Prometheus registry of a node: its own series, declared in the node's `metrics.ts`, and the default process
 * metrics. Hot paths never touch prom-client: they count in plain fields, and a `collect` reads those at scrape time.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import { DurationHistogram } from "#common/histogram.ts";
import { msToSeconds } from "#common/units.ts";

export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}

interface SeriesOptions<Label extends string> {
  readonly registry: Registry;
  /** `spillway_<node>_<what>_<unit|total>` */
  readonly name: string;
  readonly help: string;
  /** The value at scrape time, or one value for each value of `label`. */
  readonly read: () => number | Readonly<Record<Label, number>>;
  /** Name of the only label, where `read` returns several values. */
  readonly label?: string;
}

/** A counter whose truth lives elsewhere: `read` returns the total since start whenever Prometheus scrapes. */
export function observedCounter<Label extends string>(options: SeriesOptions<Label>): void {
  const { registry, name, help, read, label } = options;
  new Counter({
    name,
    help,
    registers: [registry],
    labelNames: label === undefined ? [] : [label],
    collect() {
      this.reset();
      eachValue(read(), label, (labels, value) => this.inc(labels, value));
    },
  });
}

/** A gauge read at scrape time. */
export function observedGauge<Label extends string>(options: SeriesOptions<Label>): void {
  const { registry, name, help, read, label } = options;
  new Gauge({
    name,
    help,
    registers: [registry],
    labelNames: label === undefined ? [] : [label],
    collect() {
      eachValue(read(), label, (labels, value) => this.set(labels, value));
    },
  });
}

/** A histogram of seconds, read at scrape time, or one for each value of `label`. */
export function observedHistogram(options: {
  readonly registry: Registry;
  readonly name: string;
  readonly help: string;
  readonly read: () => DurationHistogram | ReadonlyMap<string, DurationHistogram>;
  readonly label?: string;
}): void {
  const { registry, name, help, read, label = "" } = options;
  const readValues = (): readonly object[] => {
    const histograms = read();
    if (histograms instanceof DurationHistogram) return valuesOf(name, histograms, {});
    return [...histograms].flatMap(([key, histogram]) => valuesOf(name, histogram, { [label]: key }));
  };
  registry.registerMetric(new ObservedHistogram({ name, help, registers: [] }, readValues));
}

type HistogramSeries = Awaited<ReturnType<Histogram["get"]>>;

/** prom-client's own counts one value at a time; this one tells what was counted elsewhere. */
class ObservedHistogram extends Histogram {
  readonly #series: () => object;

  constructor(
    configuration: ConstructorParameters<typeof Histogram>[0],
    readValues: () => readonly object[],
  ) {
    super(configuration);
    const { name, help } = configuration;
    this.#series = () => ({
      name,
      help,
      type: "histogram",
      aggregator: "sum",
      values: readValues(),
    });
  }

  /** What prom-client makes text of; its types leave this method out. */
  async getForPromString(): Promise<object> {
    return this.#series();
  }

  /** What it makes JSON of, which is how processes tell each other. */
  override async get(): Promise<HistogramSeries> {
    // The same shape without the label names, which only prom-client's own histograms are typed with.
    return this.#series() as HistogramSeries;
  }
}

function valuesOf(
  name: string,
  { boundsMs, counts, sumMs }: DurationHistogram,
  labels: Readonly<Record<string, string>>,
): readonly object[] {
  const sharedLabels = {};
  let total = 0;
  const buckets = counts.map((count, bucket) => {
    total += count;
    const boundMs = boundsMs[bucket];
    const le = boundMs === undefined ? "+Inf" : String(msToSeconds(boundMs));
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, sharedLabels, value: total };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, sharedLabels, value: msToSeconds(sumMs) },
    { metricName: `${name}_count`, labels, sharedLabels, value: total },
  ];
}

type Declare = (name: string, help: string, read: () => number) => void;

/** The same for series without labels, one line each. */
export function declareOn(registry: Registry): { readonly counter: Declare; readonly gauge: Declare } {
  return {
    counter: (name, help, read) => observedCounter({ registry, name, help, read }),
    gauge: (name, help, read) => observedGauge({ registry, name, help, read }),
  };
}

function eachValue(
  values: number | Readonly<Record<string, number>>,
  label: string | undefined,
  visit: (labels: Record<string, string>, value: number) => void,
): void {
  if (typeof values === "number") {
    visit({}, values);
    return;
  }
  if (label === undefined) throw new TypeError("A series with several values needs a label");
  for (const [key, value] of Object.entries(values)) visit({ [label]: key }, value);
}
