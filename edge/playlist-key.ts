/**
 * The name of a media playlist at this edge: two requests that differ in nothing but their delivery directives, or in
 * the order of their parameters, mean one playlist.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5 (delivery directives), 6.3.2

/** Every delivery directive begins with it, those of later drafts too (6.2.5). */
const DIRECTIVE_PREFIX = "_HLS_";

/**
 * The key of a playlist: its path and its content parameters, sorted, as they were written. Players put directives at
 * the end or in the order of the alphabet; both meet the same playlist.
 *
 * @param query without `?`
 */
export function playlistKey(path: string, query: string): string {
  if (query === "") return path;
  const parameters = query
    .split("&")
    .filter((parameter) => parameter !== "" && !parameter.startsWith(DIRECTIVE_PREFIX))
    .sort();
  return parameters.length === 0 ? path : `${path}?${parameters.join("&")}`;
}

/** What is asked of upstream for a playlist, with delivery directives. */
export function withDirectives(key: string, directives: string): string {
  if (directives === "") return key;
  return `${key}${key.includes("?") ? "&" : "?"}${directives}`;
}
