/**
 * Reads a process's configuration by its option declarations: flags before environment before `spillway.toml`
 * before defaults. Whatever is unknown or out of range is an {@link OptionError} that names it.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { describeError, OptionError } from "#common/errors.ts";
import { LOG_FORMATS, LOG_LEVELS } from "#common/log.ts";
import {
  camelCase,
  choice,
  environmentName,
  port,
  secret,
  text,
  ValueError,
  type ConfigOf,
  type Option,
  type OptionSet,
} from "#common/options.ts";
import { tlsOptions } from "#common/tls.ts";

/** Options of every node. */
export const commonOptions = {
  config: text({
    table: "top",
    description: "Configuration file. Without it, ./spillway.toml is read if it exists.",
    valueName: "<file>",
    default: "",
    defaultText: "spillway.toml",
    pattern: /^.+$/,
    allowed: "a path",
  }),
  "log-level": choice({
    table: "top",
    description: "Least severe messages to log.",
    choices: LOG_LEVELS,
    default: "info",
  }),
  "log-format": choice({
    table: "top",
    description: "Log lines for people or as JSON.",
    choices: LOG_FORMATS,
    default: "text",
  }),
  "data-dir": text({
    table: "top",
    description: "Folder for what must survive a restart; each role keeps a folder of its own in it.",
    valueName: "<folder>",
    default: "data",
    pattern: /^[^\0]+$/,
    allowed: "a path",
  }),
  "cluster-secret": secret({
    table: "top",
    description:
      "Shared by server, origins and edges. The feed and leases are open to processes of the same host and to whoever proves this secret. `start` makes a random one for its children.",
  }),
  ...tlsOptions,
} satisfies OptionSet;

/** Default of {@link edgePortOption}. */
export const EDGE_PORT_DEFAULT = 8081;

/** `--edge-port`: an edge listens there, and the server sends browsers there. */
export const edgePortOption = port({
  table: "edge",
  description: "HTTP port for viewers. Edge k of `start` gets this port + k - 1.",
  default: EDGE_PORT_DEFAULT,
});

/** Where values come from. */
export interface ConfigSources {
  /** Arguments after the role's name. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Options of all roles: one known elsewhere may stand in the shared environment and file, never among the flags. */
  readonly known: OptionSet;
}

/** A value as found, with the words that name the place in an error. */
interface Found {
  readonly texts: readonly string[];
  readonly place: string;
}

const DEFAULT_FILE = "spillway.toml";
const HELP_FLAG = "--help";

/** True when the arguments ask for help. */
export function wantsHelp(args: readonly string[]): boolean {
  return args.includes(HELP_FLAG) || args.includes("-h");
}

/** Reads the values of `options`. */
export function readConfig<Set extends OptionSet>(options: Set, sources: ConfigSources): ConfigOf<Set> {
  return readConfigWithOrigin(options, sources).config;
}

/** As {@link readConfig}, and which options were given at all rather than left to their defaults. */
export function readConfigWithOrigin<Set extends OptionSet>(
  options: Set,
  sources: ConfigSources,
): { readonly config: ConfigOf<Set>; readonly given: ReadonlyMap<string, readonly string[]> } {
  const flags = readFlags(options, sources.args);
  const environment = readEnvironment(sources);
  const fileName = (flags.get("config") ?? environment.get("config"))?.texts.at(-1);
  const isConfigured = sources.env[CONFIGURED_VARIABLE] !== undefined;
  const file = isConfigured ? new Map<string, Found>() : readFile(fileName, sources.known);
  const config: Record<string, unknown> = {};
  const given = new Map<string, readonly string[]>();
  for (const [name, option] of Object.entries(options)) {
    const found = flags.get(name) ?? environment.get(name) ?? file.get(name);
    config[camelCase(name)] = found === undefined ? option.default : readValue(option, found);
    if (found !== undefined) given.set(name, found.texts);
  }
  // The loop above fills exactly the names that ConfigOf lists, each by its own declaration.
  return { config: config as ConfigOf<Set>, given };
}

/** Values from flags alone, for commands that are no node: neither the environment nor `spillway.toml` is read. */
export function readFlagConfig<Set extends OptionSet>(options: Set, args: readonly string[]): ConfigOf<Set> {
  const flags = readFlags(options, args);
  const config: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(options)) {
    const found = flags.get(name);
    config[camelCase(name)] = found === undefined ? option.default : readValue(option, found);
  }
  // The loop above fills exactly the names that ConfigOf lists, each by its own declaration.
  return config as ConfigOf<Set>;
}

function readValue(option: Option<unknown>, { texts, place }: Found): unknown {
  try {
    return option.read(texts);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    const shown = option.isSecret ? "a secret" : JSON.stringify(texts.map(option.show).join(","));
    throw new OptionError(`Bad value for ${place}: ${shown}, expected ${error.message}`);
  }
}

function readFlags(options: OptionSet, args: readonly string[]): Map<string, Found> {
  const declared = Object.fromEntries(
    Object.entries(options).map(([name, option]) => [
      name,
      { type: option.isSwitch ? ("boolean" as const) : ("string" as const) },
    ]),
  );
  const { tokens } = parseArgs({
    args: [...args],
    options: declared,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const found = new Map<string, Found>();
  for (const token of tokens) {
    if (token.kind === "positional")
      throw new OptionError(`Unexpected argument: ${JSON.stringify(token.value)}`);
    if (token.kind === "option-terminator") continue;
    const option = options[token.name];
    if (option === undefined || !Object.hasOwn(options, token.name)) {
      throw new OptionError(`Unknown option: ${token.rawName} (--help lists them)`);
    }
    const value = option.isSwitch ? (token.value ?? "true") : token.value;
    if (value === undefined)
      throw new OptionError(`Option ${token.rawName} needs a value: ${option.allowed}`);
    const earlier = option.isRepeatable ? (found.get(token.name)?.texts ?? []) : [];
    found.set(token.name, { texts: [...earlier, value], place: token.rawName });
  }
  return found;
}

function readEnvironment({ env, known }: ConfigSources): Map<string, Found> {
  const names = new Map(Object.keys(known).map((name) => [environmentName(name), name]));
  const found = new Map<string, Found>();
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith("SPILLWAY_") || value === undefined) continue;
    if (variable.startsWith(INTERNAL_PREFIX)) continue;
    const name = names.get(variable);
    if (name === undefined) throw new OptionError(`Unknown environment variable: ${variable}`);
    const texts =
      known[name]?.isRepeatable === true ? value.split(",").filter((part) => part !== "") : [value];
    found.set(name, { texts, place: `environment variable ${variable}` });
  }
  return found;
}

/** Environment variables that `start` sets for its children; not options. */
export const INTERNAL_PREFIX = "SPILLWAY_INTERNAL_";
/** Set for children: their environment holds all settings, the configuration file is not read again. */
export const CONFIGURED_VARIABLE = `${INTERNAL_PREFIX}CONFIGURED`;

function readFile(fileName: string | undefined, known: OptionSet): Map<string, Found> {
  const path = fileName ?? DEFAULT_FILE;
  let source: string;
  try {
    source = readFileSync(path, "utf8");
  } catch (error) {
    if (fileName === undefined && isMissing(error)) return new Map();
    throw new OptionError(`Cannot read configuration file ${path}`, { cause: error });
  }
  let content: Record<string, unknown>;
  try {
    // Bun's TOML parser returns a plain object whose shape the loop below checks key by key.
    content = Bun.TOML.parse(source) as Record<string, unknown>;
  } catch (error) {
    throw new OptionError(`Configuration file ${path} is not valid TOML: ${describeError(error)}`);
  }
  const found = new Map<string, Found>();
  for (const [key, value] of Object.entries(content)) {
    if (isTable(value)) readTable({ path, table: key, content: value, known, found });
    else addFileValue({ path, table: "top", key, value, known, found });
  }
  return found;
}

interface FileValue {
  readonly path: string;
  readonly table: string;
  readonly key: string;
  readonly value: unknown;
  readonly known: OptionSet;
  readonly found: Map<string, Found>;
}

function readTable(
  input: Omit<FileValue, "key" | "value"> & { readonly content: Record<string, unknown> },
): void {
  const { path, table, content, known, found } = input;
  if (!["server", "origin", "edge"].includes(table))
    throw new OptionError(`Unknown table [${table}] in ${path}`);
  for (const [key, value] of Object.entries(content)) addFileValue({ path, table, key, value, known, found });
}

/** In `[edge]`, `port` means `edge-port`, and `edge-port` may be written too. At the top level only whole names stand. */
function addFileValue({ path, table, key, value, known, found }: FileValue): void {
  const label = table === "top" ? key : `[${table}] ${key}`;
  const candidates = table === "top" ? [key] : [`${table}-${key}`, key];
  const name = candidates.find(
    (candidate) => Object.hasOwn(known, candidate) && (table === "top" || known[candidate]?.table === table),
  );
  if (name === undefined) throw new OptionError(`Unknown option ${label} in ${path}`);
  if (found.has(name)) throw new OptionError(`Option ${label} stands twice in ${path}`);
  const values = Array.isArray(value) ? value : [value];
  const isScalar = values.every((item) => ["string", "number", "boolean"].includes(typeof item));
  if (!isScalar || (Array.isArray(value) && known[name]?.isRepeatable !== true)) {
    throw new OptionError(`Bad value for ${label} in ${path}: expected ${known[name]?.allowed}`);
  }
  found.set(name, { texts: values.map(String), place: `${label} in ${path}` });
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
