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
  /** True on an https page, where browsers block http. */
  readonly isSecure: boolean;
  /** Fetches a URL's text, `undefined` where there is none. */
  readonly fetchText: (url: string) => Promise<string | undefined>;
}

const PATH = "api/v1/edges";
/** How many entries of the list are kept (the first ones). */
const EDGES_MAX = 64;
/** How often the list is fetched once it names another edge. */
export const POLL_MS = 30_000;
/** And before: an edge that dies young should leave its viewers somewhere to go. */
export const QUICK_POLL_MS = 2_000;
/** Where there is only one edge at all, viewers should not go on asking it so often: for a minute. */
const QUICK_POLLS_MAX = 30;

/** Keeps the latest list that could be had. */
export class EdgeList {
  readonly #options: EdgeListOptions;
  #base = "";
  #edges: readonly ListedEdge[] = [];
  #polls = 0;
  #cancelPoll: (() => void) | undefined;
  /** A fetch that was begun before the list was last opened or closed says nothing any more. */
  #turn = 0;

  constructor(options: EdgeListOptions) {
    this.#options = options;
  }

  get edges(): readonly ListedEdge[] {
    return this.#edges;
  }

  /** Fetches the list from the edge at `base` (ending in `/`) now and from then on. */
  open(base: string): void {
    this.close();
    this.#base = base;
    this.#polls = 0;
    // #poll keeps the old list when a fetch fails; nothing is left to handle.
    void this.#poll();
  }

  /** Fetches the list now. An empty one counts: unlike {@link edges}, this is not kept for the day when nobody answers. */
  async newest(): Promise<readonly ListedEdge[]> {
    const text = await this.#options.fetchText(new URL(PATH, this.#base).href);
    return text === undefined ? this.#edges : decodeEdges(text);
  }

  close(): void {
    this.#turn++;
    this.#cancelPoll?.();
  }

  async #poll(): Promise<void> {
    const { clock, fetchText } = this.#options;
    const turn = this.#turn;
    const edges = decodeEdges((await fetchText(new URL(PATH, this.#base).href)) ?? "");
    if (turn !== this.#turn) return;
    // Without an answer the old list stands: that is what it is kept for.
    if (edges.length > 0) this.#edges = edges;
    this.#polls++;
    const isQuick = this.#polls < QUICK_POLLS_MAX && !this.#hasOther();
    this.#cancelPoll = clock.after(isQuick ? QUICK_POLL_MS : POLL_MS, () => void this.#poll());
  }

  #hasOther(): boolean {
    const wanted = { base: this.#base, isSecure: this.#options.isSecure };
    return this.#edges.some((edge) => isCandidate(edge, wanted));
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
  const { edges, random } = options;
  return edges
    .filter((edge) => isCandidate(edge, options))
    .map((edge) => ({ base: baseOf(edge), key: random() ** (1 / edge.weight) }))
    .toSorted((a, b) => b.key - a.key)
    .map((candidate) => candidate.base);
}

function isCandidate(
  edge: ListedEdge,
  { base, isSecure }: { readonly base: string; readonly isSecure: boolean },
): boolean {
  if (edge.state !== "ready" || edge.weight <= 0) return false;
  const candidate = baseOf(edge);
  return candidate !== base && (!isSecure || candidate.startsWith("https:"));
}

function baseOf({ url }: ListedEdge): string {
  return url.endsWith("/") ? url : `${url}/`;
}
