/**
 * The other edges, remembered for the day when this page's own one is gone: the list of `/api/v1/edges`, fetched
 * now and then while it can be, and the order in which to try them.
 */
import type { Clock } from "#common/clock.ts";

/** An edge as `/api/v1/edges` lists it; the fields that the page needs. */
export interface ListedEdge {
  readonly url: string;
  readonly state: string;
  /** Share of new viewers that it should get; 0 gets none. */
  readonly weight: number;
}

export interface EdgeListOptions {
  readonly clock: Clock;
  /** Fetches a URL's text, `undefined` where there is none. */
  readonly fetchText: (url: string) => Promise<string | undefined>;
}

/** How often the list is fetched, and how many of its entries are kept (the first ones). */
const POLL_MS = 30_000;
const EDGES_MAX = 64;

/** Keeps the latest list that could be had. */
export class EdgeList {
  readonly #options: EdgeListOptions;
  #url = "";
  #edges: readonly ListedEdge[] = [];
  #cancelPoll: (() => void) | undefined;

  constructor(options: EdgeListOptions) {
    this.#options = options;
  }

  get edges(): readonly ListedEdge[] {
    return this.#edges;
  }

  /** Fetches the list from `url` now and from then on. */
  open(url: string): void {
    this.#url = url;
    this.#cancelPoll?.();
    // #poll keeps the old list when a fetch fails; nothing is left to handle.
    void this.#poll();
  }

  close(): void {
    this.#cancelPoll?.();
  }

  async #poll(): Promise<void> {
    const { clock, fetchText } = this.#options;
    this.#cancelPoll = clock.after(POLL_MS, () => void this.#poll());
    const edges = decodeEdges((await fetchText(this.#url)) ?? "");
    // Without an answer the old list stands: that is what it is kept for.
    if (edges.length > 0) this.#edges = edges;
  }
}

/** Reads the list, leaving out what is no edge. An answer that is no list is an empty one. */
export function decodeEdges(text: string): readonly ListedEdge[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [];
  }
  return Array.isArray(value) ? value.flatMap(readEdge).slice(0, EDGES_MAX) : [];
}

function readEdge(value: unknown): readonly ListedEdge[] {
  if (typeof value !== "object" || value === null) return [];
  const { url, state, weight }: Readonly<Record<string, unknown>> = { ...value };
  if (typeof url !== "string" || typeof state !== "string" || typeof weight !== "number") return [];
  const protocol = URL.parse(url)?.protocol;
  return protocol === "http:" || protocol === "https:" ? [{ url, state, weight }] : [];
}

/**
 * Base URLs (ending in `/`) to try, best first: live edges other than the present one, in random order by weight, so
 * that the viewers of a lost edge spread over the rest.
 *
 * @param options.base the present base URL, left out
 * @param options.isSecure true on an https page, where browsers block http
 */
export function orderCandidates(options: {
  readonly edges: readonly ListedEdge[];
  readonly base: string;
  readonly isSecure: boolean;
  readonly random: () => number;
}): readonly string[] {
  const { edges, base, isSecure, random } = options;
  return edges
    .filter(({ state, weight }) => state === "ready" && weight > 0)
    .map(({ url, weight }) => ({ base: url.endsWith("/") ? url : `${url}/`, key: random() ** (1 / weight) }))
    .filter((candidate) => candidate.base !== base && (!isSecure || candidate.base.startsWith("https:")))
    .toSorted((a, b) => b.key - a.key)
    .map((candidate) => candidate.base);
}
