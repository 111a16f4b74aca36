/**
 * Takes the page to another edge when its own one is gone: neither video nor figures have got any answer for some
 * seconds. It stays there; loading the page again goes back.
 */
import { orderCandidates, type ListedEdge } from "./edge-list.ts";

export interface EdgeSwitchOptions {
  readonly random: () => number;
  /** True on an https page. */
  readonly isSecure: boolean;
  readonly edges: () => readonly ListedEdge[];
  /** HTTP status of the stream at a base URL; 0 without an answer. */
  readonly probe: (base: string) => Promise<number>;
  /** Moves video and figures. */
  readonly onMove: (base: string) => void;
}

/** An edge that is merely restarted is back within this time. */
export const GONE_AFTER_MS = 5_000;
const OK = 200;

export class EdgeSwitch {
  readonly #options: EdgeSwitchOptions;
  #base: string;
  #isSearching = false;

  /** @param base the URL of the present edge, ending in `/` */
  constructor(base: string, options: EdgeSwitchOptions) {
    this.#base = base;
    this.#options = options;
  }

  /** To be called now and then with how long video and figures have been without any answer. */
  async check(silence: { readonly videoMs: number; readonly figuresMs: number }): Promise<void> {
    if (this.#isSearching || Math.min(silence.videoMs, silence.figuresMs) <= GONE_AFTER_MS) return;
    this.#isSearching = true;
    try {
      await this.#search();
    } finally {
      this.#isSearching = false;
    }
  }

  async #search(): Promise<void> {
    const { edges, isSecure, random, probe, onMove } = this.#options;
    for (const base of orderCandidates({ edges: edges(), base: this.#base, isSecure, random })) {
      if ((await probe(base)) !== OK) continue;
      this.#base = base;
      onMove(base);
      return;
    }
  }
}
