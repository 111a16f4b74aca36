/**
 * The option tables of README.md, made from the option declarations. `bun run docs` writes them between their
 * markers; a test compares.
 */
import { join } from "node:path";
import { commonOptions } from "#common/config.ts";
import { renderOptionTable } from "#common/option-docs.ts";
import type { OptionSet } from "#common/options.ts";
import { edgeOptions } from "../edge/config.ts";
import { supervisorOptions } from "../main.ts";
import { originOptions } from "../origin/config.ts";
import { serverOptions } from "../server/config.ts";

export const README_PATH = join(import.meta.dir, "..", "README.md");

const BEGIN = "<!-- options: made by `bun run docs` -->";
const END = "<!-- /options -->";

const SECTIONS: readonly (readonly [heading: string, options: OptionSet])[] = [
  ["All roles", commonOptions],
  ["`start`", supervisorOptions],
  ["`server`", serverOptions],
  ["`origin`", originOptions],
  ["`edge`", edgeOptions],
];

/** `readme` with its option tables replaced by what the declarations say now. */
export function withOptionTables(readme: string): string {
  const begin = readme.indexOf(BEGIN);
  const end = readme.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`README.md lacks the markers ${BEGIN} and ${END}`);
  const tables = SECTIONS.map(([heading, options]) => `### ${heading}\n\n${renderOptionTable(options)}`).join(
    "\n\n",
  );
  return `${readme.slice(0, begin)}${BEGIN}\n\n${tables}\n\n${readme.slice(end)}`;
}

if (import.meta.main && process.argv.includes("--write")) {
  await Bun.write(README_PATH, withOptionTables(await Bun.file(README_PATH).text()));
  // The formatter aligns the tables.
  await Bun.spawn([process.execPath, "fmt", README_PATH], { stdout: "ignore" }).exited;
}
