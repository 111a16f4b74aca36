/**
 * Builds the kernel from its AssemblyScript sources, and keeps the result beside them until they change. The compiler
 * runs in a process of its own, since it needs more memory than the server. `bun server/kernel-build.ts` builds and says
 * where the result is.
 */
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errorCode, SpillwayError } from "#common/errors.ts";

/** Sources, and the file that the compiler begins with. */
const SOURCE_FOLDER = join(import.meta.dir, "kernel");
const ENTRY = "parse.ts";
/** Builds are kept here; git ignores it. */
const BUILD_FOLDER = join(SOURCE_FOLDER, "build");
/** `sh run.sh` installs it. */
const COMPILER = join(import.meta.dir, "../node_modules/assemblyscript/bin/asc.js");
const COMPILER_MS_MAX = 120_000;
/** A folder that this user may not write. */
const UNWRITABLE: ReadonlySet<string> = new Set(["EACCES", "EPERM", "EROFS"]);

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

/** The compiled kernel: the kept build, or a new one where the sources have changed. */
export async function buildKernel(): Promise<Uint8Array<ArrayBuffer>> {
  const path = join(BUILD_FOLDER, `${await hashSources()}.wasm`);
  const kept = Bun.file(path);
  if (await kept.exists()) return kept.bytes();
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

/** Compiles, and keeps the result at `path` where the folder can be written. */
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
    await keep(path, bytes);
    return bytes;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** In one step, since other processes may build and read at the same time; what was built from older sources goes. */
async function keep(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await mkdir(BUILD_FOLDER, { recursive: true });
    const older = (await readdir(BUILD_FOLDER)).filter((name) => name.endsWith(".wasm"));
    await Bun.write(`${path}.${process.pid}`, bytes);
    await rename(`${path}.${process.pid}`, path);
    for (const name of older) await rm(join(BUILD_FOLDER, name), { force: true });
  } catch (error) {
    // An installation that only root may write: every start builds again.
    if (!UNWRITABLE.has(errorCode(error) ?? "")) throw error;
  }
}

if (import.meta.main) {
  await buildKernel();
  console.log(`${BUILD_FOLDER} is up to date`);
}
