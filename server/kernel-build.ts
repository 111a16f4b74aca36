/**
 * Builds the kernel from its AssemblyScript sources, and keeps the result beside them until they change. The compiler
 * runs in a process of its own, since it needs more memory than the server. `bun server/kernel-build.ts` builds and says
 * where the result is.
 */
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { SpillwayError } from "#common/errors.ts";
import { silentLog, type Log } from "#common/log.ts";

/** Sources, and the file that the compiler begins with. */
const SOURCE_FOLDER = join(import.meta.dir, "kernel");
const ENTRY = "parse.ts";
/** Builds are kept here; git ignores it. */
const BUILD_FOLDER = join(SOURCE_FOLDER, "build");
/** `sh run.sh` installs it. */
const COMPILER = join(import.meta.dir, "../node_modules/assemblyscript/bin/asc.js");
const COMPILER_MS_MAX = 120_000;

/**
 * The memory is the host's, shared, of any size; the kernel's own data begin behind its first kilobyte. Nothing of a
 * language runtime is needed.
 */
const COMPILER_OPTIONS = [
  "-O3",
  "--converge",
  "--noAssert",
  "--runtime=stub",
  "--importMemory",
  "--noExportMemory",
  "--sharedMemory",
  "--initialMemory=1",
  "--maximumMemory=65536",
  "--memoryBase=1024",
  "--disableWarning=112",
  "--enable=simd,relaxed-simd,threads",
] as const;

export interface KernelBuildOptions {
  /** Is told that the compiler begins, which takes a slow machine a while. Default: nobody is. */
  readonly log?: Pick<Log, "info">;
  /** Where builds are kept. Default: beside the sources. */
  readonly folder?: string;
}

/** The compiled kernel: the kept build, or a new one where the sources have changed. */
export async function buildKernel({
  log = silentLog,
  folder = BUILD_FOLDER,
}: KernelBuildOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
  const path = join(folder, `${await hashSources()}.wasm`);
  const kept = Bun.file(path);
  if (await kept.exists()) return kept.bytes();
  log.info("Compiling the Pixelflut kernel, which the first start does");
  return compile(path);
}

/** Names a build by everything that goes into it. */
async function hashSources(): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  const names = (await readdir(SOURCE_FOLDER)).filter((name) => name.endsWith(".ts")).toSorted();
  for (const name of names) hash.update(`${name}\n${await Bun.file(join(SOURCE_FOLDER, name)).text()}\n`);
  const compiler = await Bun.file(join(COMPILER, "../../package.json")).text();
  return hash.update(compiler).update(COMPILER_OPTIONS.join(" ")).digest("hex").slice(0, 16);
}

/** Compiles, and keeps the result at `path` where that can be done. */
async function compile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const folder = await mkdtemp(join(tmpdir(), "spillway-kernel-"));
  const output = join(folder, "kernel.wasm");
  try {
    const child = Bun.spawn([process.execPath, COMPILER, ENTRY, ...COMPILER_OPTIONS, "--outFile", output], {
      cwd: SOURCE_FOLDER,
      stdio: ["ignore", "ignore", "pipe"],
      timeout: COMPILER_MS_MAX,
    });
    const [complaint, status] = await Promise.all([new Response(child.stderr).text(), child.exited]);
    if (status !== 0)
      throw new SpillwayError("kernel-build", `Cannot build the Pixelflut kernel: ${complaint.trim()}`);
    const bytes = await Bun.file(output).bytes();
    await keepBuild(path, bytes);
    return bytes;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Keeps a build at `path`, in one step, since other processes may build and read at the same time; what was built from
 * older sources goes from the folder. Where anything of it fails, the next start builds again.
 */
export async function keepBuild(path: string, bytes: Uint8Array): Promise<void> {
  const folder = dirname(path);
  const partPath = `${path}.${process.pid}`;
  try {
    await mkdir(folder, { recursive: true });
    const present = (await readdir(folder)).filter((name) => name.endsWith(".wasm"));
    await Bun.write(partPath, bytes);
    await rename(partPath, path);
    // Another process may have kept the same build meanwhile.
    const older = present.filter((name) => name !== basename(path));
    for (const name of older) await rm(join(folder, name), { force: true });
  } catch {
    // An installation that only root may write, a full disk: the build at hand is good all the same.
    await rm(partPath, { force: true }).catch(() => undefined);
  }
}

if (import.meta.main) {
  await buildKernel();
  console.log(`${BUILD_FOLDER} is up to date`);
}
