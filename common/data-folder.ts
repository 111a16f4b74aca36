/**
 * A role's folder below `--data-dir`: made where it is missing, refused where another version wrote it, and locked
 * while the process lives. A lock whose process is gone is taken over.
 */
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errorCode, StartError } from "#common/errors.ts";

/** Raised when the files in the folder change their meaning. */
const FORMAT_VERSION = "1";
/** A predecessor that was killed this moment may take a while to vanish; others may take over at the same time. */
const LOCK_TRIES = 6;
const LOCK_WAIT_MS = 50;

/** Opens `folder` for this process. Returns what gives it free. Throws {@link StartError}. */
export function openDataFolder(folder: string): () => void {
  try {
    mkdirSync(folder, { recursive: true });
    const unlock = lock(folder);
    try {
      checkFormat(folder);
    } catch (error) {
      unlock();
      throw error;
    }
    return unlock;
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StartError("data-dir", `Cannot use the folder ${folder} (--data-dir)`, { cause: error });
  }
}

function checkFormat(folder: string): void {
  const path = join(folder, "format");
  const version = readIfThere(path)?.trim();
  if (version === undefined) writeFileSync(path, `${FORMAT_VERSION}\n`);
  else if (version !== FORMAT_VERSION) {
    throw new StartError(
      "data-dir-format",
      `Cannot use the folder ${folder} (--data-dir): its format is ${JSON.stringify(version.slice(0, 20))}, this version knows ${FORMAT_VERSION}`,
    );
  }
}

/** A lock is complete from its first moment: written aside, then linked to its name, which only one can do. */
function lock(folder: string): () => void {
  const path = join(folder, "lock");
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${process.pid} ${startOf(process.pid)}\n`);
  try {
    for (let tries = 1; ; tries++) {
      if (linkIfFree(draft, path)) return () => rmSync(path, { force: true });
      const holder = takeStaleAside(path, `${draft}.stale`);
      if (tries >= LOCK_TRIES) {
        throw new StartError(
          "data-dir-locked",
          `Cannot use the folder ${folder} (--data-dir): the process with id ${holder ?? "unknown"} uses it`,
        );
      }
      if (holder !== undefined) Bun.sleepSync(LOCK_WAIT_MS);
    }
  } finally {
    unlinkSync(draft);
  }
}

function linkIfFree(draft: string, path: string): boolean {
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
    return false;
  }
}

/** Removes a lock whose process is gone. Returns the number of a process that lives and holds it. */
function takeStaleAside(path: string, aside: string): string | undefined {
  const held = readIfThere(path);
  if (held === undefined) return undefined;
  const [pid = "", start = ""] = held.trim().split(" ");
  if (isAlive(Number(pid), start)) return pid;
  renameIfThere(path, aside);
  // Somebody else may have taken over between the reading and the renaming: give it back.
  if (readIfThere(aside) !== held) linkIfFree(aside, path);
  rmSync(aside, { force: true });
  return undefined;
}

function isAlive(pid: number, start: string): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Not permitted means that it lives, under another user.
    if (errorCode(error) !== "EPERM") return false;
  }
  // The number of a process that is gone may have been given to another, above all in a container.
  return startOf(pid) === start;
}

/** When a process began, in ticks since boot; empty where it has ended or the system does not tell. */
function startOf(pid: number): string {
  const stat = readIfThere(`/proc/${pid}/stat`) ?? "";
  // Fields are counted behind the name, which may itself hold spaces and parentheses: state is field 3, start 22.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // A zombie holds nothing any more, it only waits for its parent to hear of it.
  return fields[0] === "Z" || fields[0] === "X" ? "" : (fields[19] ?? "");
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT" || errorCode(error) === "ESRCH") return undefined;
    throw error;
  }
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}
