/**
 * Runs every check of the project and prints one line with the sum: format, lint, types, unit tests beside the
 * code, then the tests in this folder that run real processes. `--unit` leaves the last out.
 *
 * The tests use a few of Debian's programs. As root they are installed here; otherwise the missing ones are named
 * and the tests that need them are skipped, which counts as a failure in CI.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Programs that tests use, and the Debian packages that bring them. */
const PROGRAMS: Readonly<Record<string, string>> = {
  chromium: "chromium",
  ffmpeg: "ffmpeg",
  ffprobe: "ffmpeg",
  "nc.openbsd": "netcat-openbsd",
  nginx: "nginx-light",
  python3: "python3",
};
const UNIT_FOLDERS = ["common", "server", "origin", "edge", "public", "bench"];
/** Tests here start several processes each, so they run one after another. */
const SYSTEM_FOLDERS = ["test"];
const UNIT_TEST_MS_MAX = 30_000;
const SYSTEM_TEST_MS_MAX = 180_000;

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

const isCi = process.env["CI"] === "true" || process.env["CI"] === "1";
const isUnitOnly = process.argv.includes("--unit");
const bun = process.execPath;
const root = join(import.meta.dir, "..");

/** Runs a program with its output on this terminal and returns its exit status. */
async function run(command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<number> {
  const child = Bun.spawn([...command], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
  });
  return child.exited;
}

async function installPrograms(): Promise<void> {
  const missing = Object.keys(PROGRAMS).filter((program) => Bun.which(program) === null);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((program) => PROGRAMS[program] ?? program))];
  if (process.getuid?.() !== 0 || Bun.which("apt-get") === null) {
    console.error(`Missing: ${missing.join(", ")}. Tests that need them are SKIPPED.`);
    console.error(`Install them with: apt-get install ${packages.join(" ")}`);
    return;
  }
  console.error(`Installing Debian packages for the tests: ${packages.join(", ")} ...`);
  const quiet = { DEBIAN_FRONTEND: "noninteractive" };
  await run(["apt-get", "-qq", "update"], quiet);
  const status = await run(
    ["apt-get", "-qq", "-y", "--no-install-recommends", "install", ...packages],
    quiet,
  );
  if (status !== 0)
    console.error(`apt-get ended with status ${status}: tests that need ${missing.join(", ")} are SKIPPED.`);
}

async function check(name: string, command: readonly string[], tally: Tally): Promise<void> {
  const status = await run(command);
  if (status === 0) tally.passed++;
  else tally.failed++;
  console.log(`(${status === 0 ? "pass" : "fail"}) ${name}`);
}

interface Suite {
  readonly folders: readonly string[];
  readonly testMsMax: number;
  readonly isParallel: boolean;
}

async function runSuite({ folders, testMsMax, isParallel }: Suite, tally: Tally): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "spillway-test-"));
  const report = join(folder, "junit.xml");
  try {
    const status = await run([
      bun,
      "test",
      ...folders.map((name) => `./${name}/`),
      `--timeout=${testMsMax}`,
      ...(isParallel ? ["--parallel"] : []),
      "--reporter=junit",
      `--reporter-outfile=${report}`,
    ]);
    const counted = readReport(report);
    tally.passed += counted.passed;
    tally.skipped += counted.skipped;
    // A file that cannot even be loaded fails the run without a failed test case.
    tally.failed += status !== 0 && counted.failed === 0 ? 1 : counted.failed;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readReport(path: string): Tally {
  let head: string;
  try {
    head = /<testsuites [^>]*>/.exec(readFileSync(path, "utf8"))?.[0] ?? "";
  } catch {
    console.error("The test runner wrote no report");
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const count = (name: string): number => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const failed = count("failures") + count("errors");
  const skipped = count("skipped");
  return { passed: count("tests") - failed - skipped, failed, skipped };
}

await installPrograms();
const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
await check("format: bun fmt --check", [bun, "fmt", "--check"], tally);
await check("lint: oxlint", [join(root, "node_modules/.bin/oxlint"), "--deny-warnings"], tally);
await check("types: bun check", [bun, "check"], tally);
// AssemblyScript has types of its own.
await check("types of the kernel", [bun, "check", "-p", "server/kernel"], tally);
await runSuite({ folders: UNIT_FOLDERS, testMsMax: UNIT_TEST_MS_MAX, isParallel: true }, tally);
if (!isUnitOnly)
  await runSuite({ folders: SYSTEM_FOLDERS, testMsMax: SYSTEM_TEST_MS_MAX, isParallel: false }, tally);
if (isCi && tally.skipped > 0) {
  console.error(`${tally.skipped} tests were skipped, which CI does not allow`);
  tally.failed += tally.skipped;
  tally.skipped = 0;
}
const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : "";
console.log(`${tally.passed} passed, ${tally.failed} failed${skipped}`);
process.exit(tally.failed === 0 ? 0 : 1);
