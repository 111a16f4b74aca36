/**
 * How many files, and so connections, the system lets this process have open; and how many requests a node may let wait
 * with that. Each of them keeps a connection: where there are no more of those, nobody could even be refused.
 */
// proc(5): /proc/pid/limits
import { readFileSync } from "node:fs";
import type { Log } from "#common/log.ts";

/** Share of the open files for requests that wait; the rest is for media under way, endless streams, and the node itself. */
const HELD_SHARE = 0.75;

/**
 * Files that this process may have open at once: the soft limit, which Bun raises to the hard one at its start.
 * Infinity where it is unlimited or the system does not tell.
 */
export function readOpenFilesMax(path = "/proc/self/limits"): number {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    // Only Linux has it; elsewhere what the system refuses is refused when it comes to that.
    return Number.POSITIVE_INFINITY;
  }
  const [, soft] = /^Max open files\s+(\d+)\s/m.exec(text) ?? [];
  return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
}

/**
 * How many requests a node may let wait: `countMax`, or less, with a warning, where open files do not allow for so many.
 *
 * @param openFilesMax of this process, perhaps infinity ({@link readOpenFilesMax})
 * @param log `undefined` in a process whose parent has the same limit, and has warned of it
 */
export function boundHeldRequests({
  countMax,
  openFilesMax,
  log,
}: {
  readonly countMax: number;
  readonly openFilesMax: number;
  readonly log: Log | undefined;
}): number {
  const heldRequests = Math.min(countMax, Math.max(1, Math.floor(openFilesMax * HELD_SHARE)));
  if (heldRequests < countMax) {
    log?.warn(
      "The system's limit of open files allows fewer waiting players: raise it with `ulimit -n` or systemd's LimitNOFILE=",
      {
        openFiles: openFilesMax,
        wanted: Math.ceil(countMax / HELD_SHARE),
        heldRequests,
        heldRequestsMax: countMax,
      },
    );
  }
  return heldRequests;
}
