/**
 * Takes the page to another edge when its own one asks for it because it ends, or is of no use any more: neither video
 * nor figures have got any answer for some seconds, or it has lost its origin and has neither stream nor figures to
 * give. The page stays where it went; loading it again goes back.
 */
import { orderCandidates, type ListedEdge } from "./edge-list.ts";

export interface EdgeSwitchOptions {
  readonly random: () => number;
  /** True on an https page. */
  readonly isSecure: boolean;
  readonly edges: () => readonly ListedEdge[];
  /** The same as they are now, asked for anew. */
  readonly newestEdges: () => Promise<readonly ListedEdge[]>;
  /** HTTP status of the stream at a base URL; 0 without an answer. */
  readonly probe: (base: string) => Promise<number>;
  /** Moves video and figures. */
  readonly onMove: (base: string) => void;
}

/** An edge that is merely restarted is back within this time. */
export const GONE_AFTER_MS = 5_000;
/** An origin is, too; and while it is away all edges are without it, and none is better than the present one. */
export const FAILING_AFTER_MS = 10_000;
const OK = 200;

/** For how long an edge has given nothing. Milliseconds. */
export interface Silence {
  /** Requests for the video got no answer at all. */
  readonly videoMs: number;
  /** They got no answer or a server's failure (5xx), but not the stream. */
  readonly failingMs: number;
  /** No figures came. */
  readonly figuresMs: number;
}

/** Whether an edge should be left. As long as figures come from it, its origin is there, and so is it. */
export function isUseless({ videoMs, failingMs, figuresMs }: Silence): boolean {
  if (figuresMs <= GONE_AFTER_MS) return false;
  return videoMs > GONE_AFTER_MS || failingMs > FAILING_AFTER_MS;
}

export class EdgeSwitch {
  readonly #options: EdgeSwitchOptions;
  #base: string;
  #isSearching = false;

  /** @param base the URL of the present edge, ending in `/` */
  constructor(base: string, options: EdgeSwitchOptions) {
    this.#base = base;
    this.#options = options;
  }

  /** The URL of the present edge, ending in `/`. */
  get base(): string {
    return this.#base;
  }

  /** To be called now and then. Looks for another edge where {@link isUseless} says so; one search at a time. */
  async check(silence: Silence): Promise<void> {
    if (this.#isSearching || !isUseless(silence)) return;
    await this.#search(() => this.#options.edges());
  }

  /** Leaves the edge at `base`, if the page is still there and another one has the stream. */
  async leave(base: string): Promise<void> {
    if (this.#isSearching || this.#base !== base) return;
    // The list at hand may still hold edges that end as well.
    await this.#search(() => this.#options.newestEdges());
  }

  async #search(edges: () => readonly ListedEdge[] | Promise<readonly ListedEdge[]>): Promise<void> {
    this.#isSearching = true;
    try {
      await this.#tryEach(await edges());
    } finally {
      this.#isSearching = false;
    }
  }

  async #tryEach(edges: readonly ListedEdge[]): Promise<void> {
    const { isSecure, random, probe, onMove } = this.#options;
    for (const base of orderCandidates({ edges, base: this.#base, isSecure, random })) {
      if ((await probe(base)) !== OK) continue;
      this.#base = base;
      onMove(base);
      return;
    }
  }
}
