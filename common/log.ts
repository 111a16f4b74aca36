/**
 * One line a happening, on standard error: time, level, node, message, then `key=value` fields. For people at a
 * terminal and for journald alike; `--log-format json` writes the same as JSON lines. Secrets are never passed in.
 */

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export const LOG_FORMATS = ["text", "json"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** Values that a log line may carry beside its message. `undefined` is left out. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export interface LogOptions {
  /** Who speaks: `server`, `origin`, `edge 1`, `start`. */
  readonly node: string;
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Takes one finished line without its newline. Default: standard error. */
  readonly write?: (line: string) => void;
  /** Milliseconds since 1970. Default: the system's clock. */
  readonly wallMs?: () => number;
}

/** A log that drops everything below `options.level`. */
export function createLog(options: LogOptions): Log {
  const write = options.write ?? ((line: string) => void process.stderr.write(`${line}\n`));
  const wallMs = options.wallMs ?? Date.now;
  const least = LOG_LEVELS.indexOf(options.level);
  const render = options.format === "json" ? renderJson : renderText;
  function at(level: LogLevel): Log["info"] {
    if (LOG_LEVELS.indexOf(level) < least) return () => {};
    return (message, fields = {}) => {
      write(render({ time: new Date(wallMs()).toISOString(), level, node: options.node, message, fields }));
    };
  }
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** A log that keeps nothing, for code under test. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

interface Entry {
  readonly time: string;
  readonly level: LogLevel;
  readonly node: string;
  readonly message: string;
  readonly fields: LogFields;
}

function renderText({ time, level, node, message, fields }: Entry): string {
  let line = `${time} ${level.padEnd(5)} ${node.padEnd(6)} ${oneLine(message)}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) line += ` ${key}=${quoted(oneLine(String(value)))}`;
  }
  return line;
}

function renderJson({ time, level, node, message, fields }: Entry): string {
  return JSON.stringify({ time, level, node, message, ...fields });
}

/** Control characters in a message that quotes a peer must not forge a second line or move a terminal's cursor. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

function quoted(value: string): string {
  return /[\s"=]/.test(value) || value === "" ? JSON.stringify(value) : value;
}
