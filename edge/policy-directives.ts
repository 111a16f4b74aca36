/**
 * `Cache-Control` of an answer, and lists of header values in general: quoted strings are not looked into, names have
 * no case, and of a directive that is there twice the first counts.
 */
// RFC 9111 5.2 (Cache-Control), 1.2.2 (delta-seconds), 4.2.1 (doubled directives); RFC 9110 5.6 (lists)

/** The greatest number of seconds that is told apart: 2^31, as RFC 9111 1.2.2 has it. */
const SECONDS_MAX = 2_147_483_648;

/** Directives by lower-case name. A directive without argument is `true`. */
export type Directives = ReadonlyMap<string, string | true>;

/** Reads a `Cache-Control` field, several lines of it joined by commas. */
export function readCacheControl(field: string | null): Directives {
  const directives = new Map<string, string | true>();
  if (field === null) return directives;
  for (const item of splitList(field)) {
    const equals = item.indexOf("=");
    const name = (equals < 0 ? item : item.slice(0, equals)).trim().toLowerCase();
    if (name === "" || directives.has(name)) continue;
    directives.set(name, equals < 0 ? true : unquote(item.slice(equals + 1)));
  }
  return directives;
}

/**
 * A directive's number of seconds: `undefined` where it is not there, 0 where it is no number, since an answer whose
 * freshness cannot be read is better asked for again.
 */
export function secondsOf(directives: Directives, name: string): number | undefined {
  const value = directives.get(name);
  if (value === undefined) return undefined;
  return value === true ? 0 : (readSeconds(value) ?? 0);
}

/** Digits only; what is too great to count is {@link SECONDS_MAX}. */
export function readSeconds(text: string): number | undefined {
  return /^\d+$/.test(text) ? Math.min(SECONDS_MAX, Number(text)) : undefined;
}

/** Field names in a directive's argument, lower-case: those of `private="set-cookie"`. Empty without argument. */
export function fieldNamesOf(directives: Directives, name: string): readonly string[] {
  const value = directives.get(name);
  return typeof value === "string" ? splitList(value.toLowerCase()) : [];
}

/** The items of a comma-separated list, trimmed, without empty ones. Commas in quoted strings part nothing. */
export function splitList(list: string): string[] {
  const items = list.includes('"') ? (list.match(/(?:"(?:\\.|[^"\\])*"?|[^,"])+/g) ?? []) : list.split(",");
  return items.map((item) => item.trim()).filter((item) => item !== "");
}

function unquote(value: string): string {
  const quoted = /^"((?:\\.|[^"\\])*)"$/.exec(value)?.[1];
  return quoted === undefined ? value : quoted.replaceAll(/\\(.)/g, "$1");
}
