/**
 * Processor time of a process tree from Linux's /proc, all threads of a process, those that have ended too, and its
 * children; and a process's memory.
 */
import { readdirSync, readFileSync } from "node:fs";

// proc_pid_stat(5)

/** Clock ticks a second in /proc, the same on every Linux that Bun runs on. */
const TICKS_PER_SECOND = 100;
/** Fields behind the program's name in parentheses, counted from the state, which is 0. */
const PARENT = 1;
const USER_TICKS = 11;
const SYSTEM_TICKS = 12;
const ENDED_CHILDREN_USER_TICKS = 13;
const ENDED_CHILDREN_SYSTEM_TICKS = 14;

/** Seconds of processor time, user and system, that `pid` and its descendants have used; `undefined` if it is gone. */
export function cpuSeconds(pid: number): number | undefined {
  const own = readStat(pid);
  if (own === undefined) return undefined;
  let ticks = ticksOf(own);
  const parents = new Set([pid]);
  // Parents mostly have lower numbers than their children, but numbers start over.
  let others = readAll().filter((stat) => stat.pid !== pid);
  for (let found = true; found;) {
    found = false;
    others = others.filter((stat) => {
      if (!parents.has(stat.fields[PARENT] ?? 0)) return true;
      parents.add(stat.pid);
      ticks += ticksOf(stat);
      found = true;
      return false;
    });
  }
  return ticks / TICKS_PER_SECOND;
}

/** Bytes of memory that `pid` alone has resident; `undefined` if it is gone. */
export function residentBytes(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/status`, "latin1");
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  } catch {
    // It has ended meanwhile, or there is no /proc.
    return undefined;
  }
}

interface Stat {
  readonly pid: number;
  /** Numbers behind the name; the state, a letter, is not a number. */
  readonly fields: readonly number[];
}

function ticksOf({ fields }: Stat): number {
  const indexes = [USER_TICKS, SYSTEM_TICKS, ENDED_CHILDREN_USER_TICKS, ENDED_CHILDREN_SYSTEM_TICKS];
  return indexes.reduce((sum, index) => sum + (fields[index] ?? 0), 0);
}

function readAll(): readonly Stat[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readStat(Number(name)))
    .filter((stat) => stat !== undefined);
}

function readStat(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name may hold anything, parentheses too.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { pid, fields: fields.map(Number) };
  } catch {
    // It has ended meanwhile, or there is no /proc.
    return undefined;
  }
}
