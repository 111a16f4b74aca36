/**
 * For the tests of the caching policy: an answer, some time, another request, and what a cache does with it. Nothing of
 * it runs in production.
 */
// RFC 9111, RFC 5861, RFC 8246
import type { Decision } from "./policy.ts";

/** Header lines in their order. */
export type Fields = readonly (readonly [name: string, value: string])[];

/** One row. */
export interface PolicyCase {
  readonly title: string;
  /** Headers of the answer; `@60` is a date 60 seconds from now, `@-60` one past. */
  readonly answer: Fields;
  readonly status?: number;
  /** Headers of the request that it answers. */
  readonly asked?: Fields;
  readonly method?: string;
  /** Seconds until the next request. Default 1. */
  readonly after?: number;
  /** Headers of the next request. Default: those of the first. */
  readonly next?: Fields;
  readonly nextMethod?: string;
  /** What becomes of the answer: kept for itself alone, or what the next request leads to. */
  readonly is: "not kept" | Decision["kind"];
}

/** An answer with an hour of its own. */
export const FRESH: Fields = [["Cache-Control", "max-age=3600"]];
const TAGGED: Fields = [...FRESH, ["ETag", '"a"']];
const PLAYLIST = ["Content-Type", "application/vnd.apple.mpegurl"] as const;
/** A `Cache-Control` line. */
export const cc = (value: string): Fields => [["Cache-Control", value]];

/** The table, in the order of the standard. */
export const POLICY_CASES: readonly PolicyCase[] = [
  // Freshness, RFC 9111 4.2.1
  { title: "nothing is known of its lifetime", answer: [], is: "not kept" },
  { title: "max-age", answer: FRESH, is: "hit" },
  { title: "max-age, over", answer: [...cc("max-age=2"), ["ETag", '"a"']], after: 2, is: "revalidate" },
  { title: "max-age, over, nothing to ask with", answer: cc("max-age=2"), after: 3, is: "miss" },
  { title: "max-age=0", answer: cc("max-age=0"), is: "not kept" },
  { title: "max-age=0 with a tag", answer: [...cc("max-age=0"), ["ETag", '"a"']], is: "revalidate" },
  { title: "max-age past 2^31", answer: cc("max-age=99999999999"), after: 1e6, is: "hit" },
  { title: "max-age with zeros", answer: cc("max-age=003600"), is: "hit" },
  { title: "max-age below 0", answer: cc("max-age=-3600"), is: "not kept" },
  { title: "max-age in single quotes", answer: cc("max-age='3600'"), is: "not kept" },
  { title: "max-age in quotes", answer: cc('max-age="3600"'), is: "hit" },
  { title: "max-age with a letter", answer: cc("max-age=3600a"), is: "not kept" },
  { title: "max-age with a fraction", answer: cc("max-age=3600.0"), is: "not kept" },
  { title: "max-age with a space before =", answer: cc("max-age =3600"), is: "hit" },
  { title: "max-age with a space after =", answer: cc("max-age= 3600"), is: "not kept" },
  { title: "max-age without a number", answer: cc("max-age"), is: "not kept" },
  { title: "max-age twice: the first", answer: cc("max-age=1, max-age=3600"), after: 2, is: "miss" },
  { title: "names have no case", answer: cc("MaX-aGe=3600"), is: "hit" },
  { title: "unknown directives", answer: cc("foobar, x=1, max-age=3600"), is: "hit" },
  { title: "quoted before", answer: cc('x="max-age=3600", max-age=1'), after: 2, is: "miss" },
  { title: "quoted behind", answer: cc('max-age=1, x="max-age=3600"'), after: 2, is: "miss" },
  { title: "quoted, escaped, unfinished", answer: cc('x="a\\", max-age=3600'), is: "not kept" },
  { title: "s-maxage over max-age", answer: cc("max-age=1, s-maxage=3600"), after: 2, is: "hit" },
  { title: "s-maxage below max-age", answer: cc("max-age=3600, s-maxage=1"), after: 2, is: "miss" },
  { title: "two lines", answer: [...FRESH, ...cc("s-maxage=1")], after: 2, is: "miss" },
  {
    title: "max-age over Expires",
    answer: [...FRESH, ["Expires", "@-9"], ["Date", "@0"]],
    is: "hit",
  },
  { title: "Expires", answer: [["Expires", "@9"]], is: "hit" },
  {
    title: "Expires by its own Date",
    answer: [
      ["Expires", "@400"],
      ["Date", "@300"],
    ],
    after: 101,
    is: "miss",
  },
  {
    title: "Expires before Date",
    answer: [
      ["Expires", "@300"],
      ["Date", "@400"],
    ],
    is: "not kept",
  },
  {
    title: "Expires with a Date that is none",
    answer: [
      ["Expires", "@9"],
      ["Date", "foo"],
    ],
    is: "hit",
  },
  {
    title: "Expires: 0",
    answer: [
      ["Expires", "0"],
      ["Last-Modified", "@-99999"],
    ],
    is: "revalidate",
  },
  { title: "heuristic", answer: [["Last-Modified", "@-1000"]], after: 99, is: "hit" },
  { title: "heuristic, over", answer: [["Last-Modified", "@-1000"]], after: 100, is: "revalidate" },
  {
    title: "heuristic, a day at most",
    answer: [["Last-Modified", "@-99999999"]],
    after: 86_400,
    is: "revalidate",
  },
  { title: "heuristic 404", status: 404, answer: [["Last-Modified", "@-1000"]], is: "hit" },
  { title: "no heuristic for 201", status: 201, answer: [["Last-Modified", "@-1000"]], is: "not kept" },
  { title: "a playlist without a lifetime", answer: [PLAYLIST, ["ETag", '"a"']], after: 0.4, is: "hit" },
  {
    title: "the same, and last modified long ago",
    answer: [PLAYLIST, ["Last-Modified", "@-9999"]],
    after: 0.5,
    is: "revalidate",
  },
  { title: "public 599", status: 599, answer: [["Last-Modified", "@-1000"], ...cc("public")], is: "hit" },
  // Age, RFC 9111 4.2.3, 5.1
  { title: "Age counts", answer: [...FRESH, ["Age", "3599"]], is: "miss" },
  { title: "Age past 2^31", answer: [...FRESH, ["Age", "2147483649"]], is: "not kept" },
  { title: "Age that is no number", answer: [...FRESH, ["Age", "7200.0"]], is: "hit" },
  { title: "Age below 0", answer: [...FRESH, ["Age", "-7200"]], is: "hit" },
  { title: "Age twice: the first", answer: [...FRESH, ["Age", "7200, 0"]], is: "not kept" },
  { title: "Age of 0, then old", answer: [...FRESH, ["Age", "0"], ["Age", "7200"]], is: "hit" },
  { title: "a slow clock alone", answer: [...FRESH, ["Date", "@-7200"]], is: "hit" },
  {
    title: "a slow clock behind HTTP/1.0",
    answer: [...FRESH, ["Date", "@-7200"], ["Via", "1.0 old, 1.1 new"]],
    is: "not kept",
  },
  // Storing, RFC 9111 3 and 5.2.2
  { title: "no-store", answer: cc("no-store, max-age=9"), is: "not kept" },
  { title: "No-StOrE", answer: cc("No-StOrE, max-age=9"), is: "not kept" },
  { title: "private", answer: cc("private, max-age=9"), is: "not kept" },
  { title: "private with names", answer: cc('private="x-a", max-age=9'), is: "hit" },
  { title: "no-cache", answer: [...cc("no-cache, max-age=9"), ["ETag", '"a"']], is: "revalidate" },
  { title: "no-cache without validator", answer: cc("no-cache, max-age=9"), is: "not kept" },
  { title: "no-cache with names", answer: cc('no-cache="x-a, x-b", max-age=9'), is: "hit" },
  { title: "must-understand, understood", answer: cc("max-age=9, no-store, must-understand"), is: "hit" },
  { title: "must-understand, not", status: 599, answer: cc("max-age=9, must-understand"), is: "not kept" },
  { title: "any status with a lifetime", status: 599, answer: FRESH, is: "hit" },
  { title: "a redirect with a lifetime", status: 307, answer: FRESH, is: "hit" },
  { title: "part of the whole", status: 206, answer: FRESH, is: "not kept" },
  { title: "an answer to HEAD", method: "HEAD", answer: FRESH, is: "not kept" },
  { title: "immutable is fresh", answer: cc("max-age=9, immutable"), is: "hit" },
  {
    title: "immutable, over",
    answer: [...cc("max-age=9, immutable"), ["ETag", '"a"']],
    after: 9,
    is: "revalidate",
  },
  { title: "Set-Cookie with a lifetime", answer: [...FRESH, ["Set-Cookie", "a=b"]], is: "not kept" },
  { title: "Set-Cookie, public", answer: [...cc("public, max-age=9"), ["Set-Cookie", "a=b"]], is: "hit" },
  { title: "Set-Cookie, s-maxage", answer: [...cc("s-maxage=9"), ["Set-Cookie", "a=b"]], is: "hit" },
  {
    title: "Set-Cookie without one",
    answer: [
      ["Last-Modified", "@-1000"],
      ["Set-Cookie", "a=b"],
    ],
    is: "not kept",
  },
  { title: "Cookie with a lifetime", asked: [["Cookie", "a=b"]], answer: FRESH, is: "hit" },
  {
    title: "Cookie without one",
    asked: [["Cookie", "a=b"]],
    answer: [["Last-Modified", "@-1000"]],
    is: "not kept",
  },
  { title: "Authorization", asked: [["Authorization", "x"]], answer: FRESH, is: "not kept" },
  {
    title: "Authorization, public",
    asked: [["Authorization", "x"]],
    answer: cc("max-age=9, public"),
    is: "hit",
  },
  {
    title: "Authorization, must-revalidate",
    asked: [["Authorization", "x"]],
    answer: cc("max-age=9, must-revalidate"),
    is: "hit",
  },
  { title: "Authorization, s-maxage", asked: [["Authorization", "x"]], answer: cc("s-maxage=9"), is: "hit" },
  { title: "Authorization of the next", answer: FRESH, next: [["Authorization", "x"]], is: "alone" },
  // Vary, RFC 9111 4.1
  { title: "Vary: *", answer: [...FRESH, ["Vary", "*"]], is: "not kept" },
  { title: "Vary: , *", answer: [...FRESH, ["Vary", ", *"]], is: "not kept" },
  { title: "Vary: Foo, *", answer: [...FRESH, ["Vary", "Foo, *"]], is: "not kept" },
  { title: "Vary of what is no name", answer: [...FRESH, ["Vary", "Foo, b a r"]], is: "not kept" },
  {
    title: "Vary of too many names",
    answer: [...FRESH, ["Vary", Array.from({ length: 17 }, (_, index) => `x-${index}`).join(",")]],
    is: "not kept",
  },
  { title: "Vary matches", asked: [["Foo", "1"]], answer: [...FRESH, ["Vary", "Foo"]], is: "hit" },
  {
    title: "Vary differs",
    asked: [["Foo", "1"]],
    next: [["Foo", "2"]],
    answer: [...FRESH, ["Vary", "Foo"]],
    is: "miss",
  },
  {
    title: "Vary, not there",
    asked: [["Foo", "1"]],
    next: [],
    answer: [...FRESH, ["Vary", "Foo"]],
    is: "miss",
  },
  {
    title: "Vary, there now",
    asked: [],
    next: [["Foo", ""]],
    answer: [...FRESH, ["Vary", "Foo"]],
    is: "miss",
  },
  { title: "Vary, in neither", answer: [...FRESH, ["Vary", "Foo"]], is: "hit" },
  {
    title: "Vary of two, one differs",
    asked: [
      ["Foo", "1"],
      ["Bar", "2"],
    ],
    next: [
      ["Foo", "1"],
      ["Bar", "3"],
    ],
    answer: [...FRESH, ["Vary", "Foo, BAR"]],
    is: "miss",
  },
  {
    title: "Vary, in two lines",
    asked: [["Foo", "1, 2"]],
    next: [
      ["Foo", "1"],
      ["Foo", "2"],
    ],
    answer: [...FRESH, ["Vary", "Foo"]],
    is: "hit",
  },
  {
    title: "Vary, languages in another order and case",
    asked: [["Accept-Language", "en, de"]],
    next: [["Accept-Language", " De ,  eN"]],
    answer: [...FRESH, ["Vary", "Accept-Language"]],
    is: "hit",
  },
  {
    title: "Vary, languages of another rank",
    asked: [["Accept-Language", "en, de;q=0.5"]],
    next: [["Accept-Language", "en;q=0.5, de"]],
    answer: [...FRESH, ["Vary", "Accept-Language"]],
    is: "miss",
  },
  {
    title: "Vary, the same codings",
    asked: [["Accept-Encoding", "gzip, deflate, br, sdch"]],
    next: [["Accept-Encoding", "br;q=1.0, deflate, GZIP"]],
    answer: [...FRESH, ["Vary", "Accept-Encoding"]],
    is: "hit",
  },
  {
    title: "Vary, a coding refused",
    asked: [["Accept-Encoding", "gzip, br"]],
    next: [["Accept-Encoding", "gzip, br;q=0"]],
    answer: [...FRESH, ["Vary", "Accept-Encoding"]],
    is: "miss",
  },
  // Requests
  {
    title: "the client's Cache-Control is not looked at",
    answer: FRESH,
    next: cc("no-cache, no-store"),
    is: "hit",
  },
  { title: "nor is its Pragma", answer: FRESH, next: [["Pragma", "no-cache"]], is: "hit" },
  { title: "HEAD of what is stored", answer: FRESH, nextMethod: "HEAD", is: "hit" },
  { title: "HEAD of what is stale", answer: cc("max-age=1"), nextMethod: "HEAD", is: "alone" },
  { title: "If-Match is the upstream's", answer: TAGGED, next: [["If-Match", '"a"']], is: "alone" },
  { title: "a range of what is stored", answer: FRESH, next: [["Range", "bytes=1-2"]], is: "hit" },
  {
    title: "a range of what is stale",
    answer: [...cc("max-age=1"), ["ETag", '"a"']],
    next: [["Range", "bytes=1-2"]],
    is: "revalidate",
  },
  // RFC 5861 3
  {
    title: "stale-while-revalidate",
    answer: cc("max-age=1, stale-while-revalidate=9"),
    after: 9,
    is: "stale-while-revalidate",
  },
  {
    title: "stale-while-revalidate, over",
    answer: cc("max-age=1, stale-while-revalidate=9"),
    after: 10,
    is: "miss",
  },
  {
    title: "E18: stale-while-revalidate of a playlist",
    answer: [...cc("max-age=1, stale-while-revalidate=9"), PLAYLIST],
    after: 2,
    is: "miss",
  },
  {
    title: "stale-while-revalidate forbidden",
    answer: [...cc("max-age=1, stale-while-revalidate=9, must-revalidate"), ["ETag", '"a"']],
    after: 2,
    is: "revalidate",
  },
];
