/**
 * Declarations of options. One declaration gives the flag, the environment variable, the key in `spillway.toml`,
 * the line in `--help` and the row in the README; `common/config.ts` reads values by them.
 */
import { isIP } from "node:net";
import { parseRange, type AddressRange } from "#common/address-prefix.ts";

/** Table of `spillway.toml` that holds an option; `top` is the file's top level. */
export type OptionTable = "top" | "server" | "origin" | "edge";

/** What was wrong with a value: the allowed range, fit to follow "expected ". */
export class ValueError extends Error {
  override readonly name = "ValueError";
}

/** One option as declared. `T` is the type of its value after reading. */
export interface Option<T> {
  readonly table: OptionTable;
  readonly description: string;
  /** Placeholder in `--help`, such as `<port>`; empty for a switch. */
  readonly valueName: string;
  /** What values are allowed, in words, for help and errors. */
  readonly allowed: string;
  readonly default: T;
  /** The default in words where the value itself says little (number of cores, none). */
  readonly defaultText: string;
  /** True when SIGHUP or an admin call changes it and drops nobody. */
  readonly isLive: boolean;
  /** True when its value is never printed. */
  readonly isSecret: boolean;
  /** A text, right or wrong, as errors may print it. */
  readonly show: (text: string) => string;
  /** True when the flag may be given several times; in the environment values are separated by commas. */
  readonly isRepeatable: boolean;
  /** True for a switch: the flag stands alone or takes `=true` or `=false`. */
  readonly isSwitch: boolean;
  /** Turns texts into the value (several only if repeatable). Throws {@link ValueError}. */
  readonly read: (texts: readonly string[]) => T;
}

/** Options by their kebab-case names. */
export type OptionSet = Readonly<Record<string, Option<unknown>>>;

type CamelCase<Name extends string> = Name extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

/** The values of an {@link OptionSet}: `edge-port` becomes `edgePort`. */
export type ConfigOf<Set extends OptionSet> = {
  readonly [Name in keyof Set & string as CamelCase<Name>]: Set[Name] extends Option<infer T> ? T : never;
};

interface Common {
  readonly table: OptionTable;
  readonly description: string;
  readonly valueName?: string;
  readonly defaultText?: string;
  readonly isLive?: boolean;
}

interface Reading<T> {
  readonly allowed: string;
  readonly default: T;
  readonly valueName: string;
  /** Default: as it is. */
  readonly show?: (text: string) => string;
  readonly read: (text: string) => T;
}

function single<T>(common: Common, reading: Reading<T>): Option<T> {
  return {
    table: common.table,
    description: common.description,
    valueName: common.valueName ?? reading.valueName,
    allowed: reading.allowed,
    default: reading.default,
    defaultText: common.defaultText ?? String(reading.default),
    isLive: common.isLive ?? false,
    isSecret: false,
    show: reading.show ?? String,
    isRepeatable: false,
    isSwitch: false,
    read: (texts) => reading.read(texts.at(-1) ?? ""),
  };
}

type NumberOptions = Common & { readonly default: number; readonly min: number; readonly max: number };

/** A number from `min` to `max` that looks like `pattern`. */
function numeric(
  options: NumberOptions,
  { name, pattern }: { readonly name: string; readonly pattern: RegExp },
): Option<number> {
  const { min, max } = options;
  const allowed = `a ${name} from ${min} to ${max}`;
  return single(options, {
    allowed,
    default: options.default,
    valueName: "<n>",
    read(text) {
      const value = Number(text);
      if (!pattern.test(text) || value < min || value > max) throw new ValueError(allowed);
      return value;
    },
  });
}

/** A whole number from `min` to `max`. */
export function integer(options: NumberOptions): Option<number> {
  return numeric(options, { name: "whole number", pattern: /^-?\d+$/ });
}

/** Several whole numbers from `min` to `max`, in order. None by default. */
export function integers(
  options: Common & { readonly min: number; readonly max: number },
): Option<readonly number[]> {
  const { allowed, valueName, read } = integer({ ...options, default: options.min });
  return list(
    { defaultText: "none", ...options, default: [] },
    { allowed, valueName, read: (text) => read([text]) },
  );
}

/** Highest TCP port. */
export const PORT_MAX = 65_535;

/** A TCP port; 0 takes a free one. */
export function port(options: Common & { readonly default: number }): Option<number> {
  return integer({ valueName: "<port>", ...options, min: 0, max: PORT_MAX });
}

/** A number with a fraction, from `min` to `max`. */
export function decimal(options: NumberOptions): Option<number> {
  return numeric(options, { name: "number", pattern: /^-?\d+(\.\d+)?$/ });
}

/** One of a few words. */
export function choice<const Choice extends string>(
  options: Common & { readonly default: Choice; readonly choices: readonly Choice[] },
): Option<Choice> {
  const allowed = options.choices.join(" or ");
  return single<Choice>(options, {
    allowed,
    default: options.default,
    valueName: `<${options.choices.join("|")}>`,
    read(text) {
      const value = options.choices.find((candidate) => candidate === text);
      if (value === undefined) throw new ValueError(allowed);
      return value;
    },
  });
}

/** Text that `pattern` matches whole, described by `allowed`. An empty default means that it is unset. */
export function text(
  options: Common & { readonly default: string; readonly pattern: RegExp; readonly allowed: string },
): Option<string> {
  return single(options, {
    allowed: options.allowed,
    default: options.default,
    valueName: "<text>",
    read(value) {
      if (!options.pattern.test(value)) throw new ValueError(options.allowed);
      return value;
    },
  });
}

/**
 * An address to bind: IPv4, IPv6 (`::` is every address of both families) or `localhost`. No other name: a failure to
 * resolve one looks like a port in use.
 */
export function bindAddress(options: Common & { readonly default: string }): Option<string> {
  const allowed = "an IP address or localhost";
  return single(options, {
    allowed,
    default: options.default,
    valueName: "<address>",
    read(value) {
      if (isIP(value) === 0 && value !== "localhost") throw new ValueError(allowed);
      return value;
    },
  });
}

/** A secret of at least 16 characters, never printed. Unset by default. */
export function secret(options: Common): Option<string> {
  const allowed = "at least 16 printable characters";
  return {
    ...text({ valueName: "<secret>", ...options, default: "", pattern: /^[\x21-\x7e]{16,}$/, allowed }),
    defaultText: options.defaultText ?? "none (off)",
    isSecret: true,
  };
}

/** An `http:` or `https:` URL without credentials, query or fragment; kept without a trailing slash. */
export function httpUrl(options: Common & { readonly default: string }): Option<string> {
  return single(options, {
    allowed: HTTP_URL_ALLOWED,
    default: options.default,
    valueName: "<url>",
    show: showUrl,
    read: readHttpUrl,
  });
}

/** The same, where a query is allowed: it may hold a token. */
export function httpUrlWithQuery(options: Common & { readonly default: string }): Option<string> {
  const allowed = "an http:// or https:// URL without user or fragment";
  return single(options, {
    allowed,
    default: options.default,
    valueName: "<url>",
    show: showUrl,
    read(value) {
      const url = parseHttpUrl(value);
      if (url === undefined || value.includes("#")) throw new ValueError(allowed);
      return url.href;
    },
  });
}

/** Several {@link httpUrl} values, in order. */
export function httpUrls(
  options: Common & { readonly default: readonly string[] },
): Option<readonly string[]> {
  return list(options, {
    allowed: HTTP_URL_ALLOWED,
    valueName: "<url>",
    show: showUrl,
    read: readHttpUrl,
  });
}

/** A repeatable option; `reading` says what one value is. */
export function list<T>(
  options: Common & { readonly default: readonly T[] },
  reading: Omit<Reading<T>, "default">,
): Option<readonly T[]> {
  return {
    ...single<readonly T[]>(options, {
      allowed: reading.allowed,
      default: options.default,
      valueName: reading.valueName,
      ...(reading.show && { show: reading.show }),
      read: () => [],
    }),
    isRepeatable: true,
    read: (texts) => texts.map(reading.read),
  };
}

const RANGE_ALLOWED =
  "an IP address, or a block such as 10.0.0.0/8 or 2001:db8::/32; at least 96 bits of a mapped address such as ::ffff:10.0.0.0/104";

/** Several addresses or blocks of them; none by default. */
export function addressRanges(options: Common): Option<readonly AddressRange[]> {
  return list<AddressRange>(
    { ...options, default: [] },
    {
      allowed: RANGE_ALLOWED,
      valueName: "<address/bits>",
      read(value) {
        const range = parseRange(value);
        if (range === undefined) throw new ValueError(RANGE_ALLOWED);
        return range;
      },
    },
  );
}

/** A switch, off unless given. */
export function flag(options: Common): Option<boolean> {
  return {
    ...single(options, {
      allowed: "true or false",
      default: false,
      valueName: "",
      read(value) {
        if (value !== "true" && value !== "false") throw new ValueError("true or false");
        return value === "true";
      },
    }),
    defaultText: "off",
    isSwitch: true,
  };
}

const HTTP_URL_ALLOWED = "an http:// or https:// URL without user, query, fragment or comma";

/** Without what may be a secret: user, password, query, fragment. Also of what is no URL. */
function showUrl(value: string): string {
  return value.replace(/[?#].*$/s, (rest) => `${rest[0]}…`).replace(/^([^/]*\/\/)?.*@/s, "$1…@");
}

function readHttpUrl(value: string): string {
  const url = parseHttpUrl(value);
  // An empty query or fragment is none to the parser and stays in its text. Commas separate URLs in the environment.
  if (url === undefined || /[?#,]/.test(value)) throw new ValueError(HTTP_URL_ALLOWED);
  return url.href.replace(/\/+$/, "");
}

/** `undefined` for what is none, or has a user. To the parser alone `http:8080` would be the host 0.0.31.144. */
function parseHttpUrl(value: string): URL | undefined {
  const url = /^https?:\/\//i.test(value) ? URL.parse(value) : null;
  return url === null || url.username !== "" || url.password !== "" ? undefined : url;
}

/** `edge-port` as it is called in code: `edgePort`. */
export function camelCase(name: string): string {
  return name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** `edge-port` as it is called in the environment: `SPILLWAY_EDGE_PORT`. */
export function environmentName(name: string): string {
  return `SPILLWAY_${name.replaceAll("-", "_").toUpperCase()}`;
}
