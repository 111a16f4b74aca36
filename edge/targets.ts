/**
 * Which URLs an edge forwards: the table of the project's URL contract, and nothing else. A request begins here;
 * whatever this does not recognise is answered 404 and never reaches the upstream.
 */

/** What a path below `/live/` is. */
export type TargetKind = "multivariant" | "playlist" | "media" | "relay" | "events";

/** A path of the contract. `path` is the path as matched, without its query: printable and without dot segments. */
export interface Target {
  readonly kind: TargetKind;
  readonly path: string;
}

const NAME = "[A-Za-z0-9_-]{1,64}";
const LIVE_PATTERN = new RegExp(`^/live/${NAME}/(?:(${NAME})/)?([A-Za-z0-9_.-]{1,96})$`);
const MEDIA_PATTERN =
  /^[0-9A-Za-z]{1,32}-(?:init\.mp4|\d{1,15}(?:-s)?\.ts|\d{1,15}(?:\.\d{1,6})?(?:-s)?\.m4s)$/;

/** Most who come this far ask for the same playlist as the one before. */
let latest: { readonly path: string; readonly target: Target | undefined } = { path: "", target: undefined };

/** Recognises a path of the contract below `/live/`; `undefined` for every other. */
export function readTarget(path: string): Target | undefined {
  if (latest.path !== path) latest = { path, target: matchTarget(path) };
  return latest.target;
}

function matchTarget(path: string): Target | undefined {
  const match = LIVE_PATTERN.exec(path);
  if (match === null) return undefined;
  const [, rendition, name = ""] = match;
  if (name === "index.m3u8" || name === "ts.m3u8") {
    return { kind: rendition === undefined ? "multivariant" : "playlist", path };
  }
  if (name === "stream.ts") return { kind: "relay", path };
  if (rendition === undefined) return name === "events" ? { kind: "events", path } : undefined;
  return MEDIA_PATTERN.test(name) ? { kind: "media", path } : undefined;
}
