/** In which order upstreams are asked for a path: the operator's, or by weights. Pure. */
// Weighted rendezvous hashing: Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005

/** What the order depends on. */
export interface Weighted {
  /** Tells it from the others, always the same. */
  readonly label: string;
  /** Its share against the others'; 0: asked only when no other can be. `undefined`: the operator's order holds. */
  readonly weight: number | undefined;
}

const HASH_RANGE = 2 ** 32;

/**
 * The upstreams for a path, best first. With weights everything of one folder has the same order, so that a playlist and
 * its media come from one upstream while that is well; when one goes, only its folders move.
 */
export function orderFor<Upstream extends Weighted>(
  path: string,
  upstreams: readonly Upstream[],
): readonly Upstream[] {
  if (upstreams.every(({ weight }) => weight === undefined)) return upstreams;
  const folder = folderOf(path);
  const score = ({ label, weight = 0 }: Upstream): number => {
    // Between 0 and 1, neither included.
    const share = (Bun.hash.xxHash32(`${label} ${folder}`) + 0.5) / HASH_RANGE;
    return -weight / Math.log(share);
  };
  return [...upstreams].sort((a, b) => score(b) - score(a));
}

/** What is chosen together: a playlist and its media, whatever their queries. */
export function folderOf(path: string): string {
  const query = path.indexOf("?");
  const end = query === -1 ? path.length : query;
  return path.slice(0, path.lastIndexOf("/", end) + 1);
}
