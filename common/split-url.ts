/** The path and the query of a request, as edges and origins look them up: two slices of its URL. */

/** Splits a request's URL into path and query without building a `URL`. The query has no `?`. */
export function splitUrl(url: string): { readonly path: string; readonly query: string } {
  const start = url.indexOf("/", url.indexOf("//") + 2);
  const mark = url.indexOf("?", start);
  if (mark === -1) return { path: url.slice(start), query: "" };
  return { path: url.slice(start, mark), query: url.slice(mark + 1) };
}
