/**
 * Under which key an answer is stored: the path and query that are asked of the upstream and, where its answers have
 * been chosen by request headers, the values of those. The host name is none of it, since it is not passed on: two
 * names of one edge share one cache.
 */
// RFC 9111 2 (cache keys), 4.1 (Vary)
import { MEBIBYTE } from "#common/units.ts";
import { LRUCache } from "lru-cache";
import { varyKeyOf } from "./policy-vary.ts";

/** URLs remembered to vary, and the bytes of their texts. One that is forgotten is asked for once more. */
const VARYING_MAX = 65_536;
const VARYING_BYTES_MAX = 16 * MEBIBYTE;

/** The keys of a proxy. */
export class ProxyVariants {
  /** Names of the request headers that the newest answer was chosen by, by URL. */
  readonly #names = new LRUCache<string, readonly string[]>({
    max: VARYING_MAX,
    maxSize: VARYING_BYTES_MAX,
    sizeCalculation: (names, url) => url.length + names.join().length,
  });

  /** The key for a request, as far as is known what its answer varies by. */
  keyOf(url: string, request: Headers): string {
    const names = this.#names.get(url);
    return names === undefined ? url : url + varyKeyOf(names, request);
  }

  /** True where answers at this URL are known to vary. */
  isVarying(url: string): boolean {
    return this.#names.has(url);
  }

  /** Notes what the newest answer was chosen by, and returns the key of that answer. */
  note(url: string, names: readonly string[], request: Headers): string {
    if (names.length === 0) this.#names.delete(url);
    else this.#names.set(url, names);
    return this.keyOf(url, request);
  }
}
