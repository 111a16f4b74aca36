/** Renders option declarations for people: `--help` of a role, and the table in the README. */
import { environmentName, type Option, type OptionSet } from "#common/options.ts";

const HELP_WIDTH = 100;
const HELP_INDENT = 6;

export interface HelpPage {
  /** How the command is typed, such as `bun run edge -- [options]`. */
  readonly usage: string;
  /** One sentence on what it does. */
  readonly summary: string;
  readonly options: OptionSet;
  /** True for a command that reads neither environment nor file ({@link readFlagConfig} in `common/config.ts`). */
  readonly isFlagsOnly?: boolean;
}

/** The text that `--help` prints. */
export function renderHelp({ usage, summary, options, isFlagsOnly = false }: HelpPage): string {
  const blocks = Object.entries(options).map(([name, option]) => {
    const head = `  --${name}${option.valueName === "" ? "" : ` ${option.valueName}`}`;
    const notes = [`default: ${option.defaultText === "" ? "none" : option.defaultText}`];
    if (option.isRepeatable) notes.push("repeatable");
    if (option.isLive) notes.push("live");
    return `${head}\n${wrap(`${option.description} (${notes.join("; ")})`)}`;
  });
  const precedence = wrap(
    "Each option is also an environment variable (--edge-port is SPILLWAY_EDGE_PORT) and a key of spillway.toml. A flag wins over the environment, the environment over the file.",
    2,
  );
  return [
    `Usage: ${usage}`,
    "",
    wrap(summary, 0),
    "",
    "Options:",
    ...blocks,
    "  --help\n      Print this and exit.",
    ...(isFlagsOnly ? [] : ["", precedence]),
  ].join("\n");
}

/** A Markdown table of `options`, one row each, in the order of declaration. */
export function renderOptionTable(options: OptionSet): string {
  const rows = Object.entries(options).map(
    ([name, option]) =>
      `| \`--${name}\` | \`${environmentName(name)}\` | ${escapeCell(describeDefault(option))} | ${escapeCell(describe(option))} |`,
  );
  return ["| flag | environment | default | what it does |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

function describe(option: Option<unknown>): string {
  const notes = [`Allowed: ${option.allowed}.`];
  if (option.isRepeatable) notes.push("Repeatable; in the environment separated by commas.");
  if (option.isLive) notes.push("Live.");
  return `${option.description} ${notes.join(" ")}`;
}

function describeDefault(option: Option<unknown>): string {
  return option.defaultText === "" ? "none" : option.defaultText;
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|");
}

/** Breaks a paragraph for a terminal. Each line begins with `indent` spaces. */
export function wrap(text: string, indent = HELP_INDENT): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && indent + line.length + 1 + word.length > HELP_WIDTH) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].map((part) => " ".repeat(indent) + part).join("\n");
}
