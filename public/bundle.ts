/**
 * Makes the viewer page ready to serve: bundles script and style with hls.js in memory, once when an edge starts,
 * compresses them and names the result by its content. Nothing is written to disk; no build step stands between a change and its
 * effect. `edge/http.ts` serves what this returns.
 */
// RFC 9111 (caching), Content Security Policy Level 3, Permissions Policy
import { basename } from "node:path";
import { SpillwayError } from "#common/errors.ts";

/** One file of the page. */
export interface PageFile {
  readonly body: Uint8Array<ArrayBuffer>;
  /** The body compressed with gzip, where that is smaller: made once, since every new viewer fetches it. */
  readonly gzip?: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
  readonly cacheControl: string;
  /** Strong, quoted, of the body as it is; whoever sends `gzip` makes another one of it. */
  readonly etag: string;
}

const ENTRY = new URL("index.html", import.meta.url);
/** Shipped inside the script, as its licence asks. */
const LICENCE_NOTE = "/*! contains hls.js (https://github.com/video-dev/hls.js), Apache License 2.0 */";
const HASHED_NAME = "[name]-[hash].[ext]";
/** The page itself is asked for each time and answered 304; what it refers to has its content in its name. */
const PAGE_CACHING = "no-cache";
const FILE_CACHING = "public, max-age=31536000, immutable";
/** The smallest: it is done once in the life of an edge. */
const GZIP_LEVEL = 9;
const ETAG_CHARACTERS = 24;
const NAME_CHARACTERS = 10;

/** The page could not be bundled: a file is missing or does not parse. */
export class PageError extends SpillwayError {
  override readonly name = "PageError";

  constructor(message: string, options?: { readonly cause?: unknown }) {
    super("page-not-built", message, options);
  }
}

/**
 * Headers for every file of the page. Scripts and styles come from the page's own host only. Video and figures come
 * from any edge, whose hosts are not known beforehand, so connections are open to all of http and https; `blob:` is
 * how Media Source Extensions hand a picture to the video element. The wall may be embedded anywhere.
 */
export const pageSecurityHeaders: Readonly<Record<string, string>> = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "media-src 'self' blob: http: https:",
    "connect-src 'self' http: https:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors *",
  ].join("; "),
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "permissions-policy":
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()",
};

/** Builds the page: files by URL path, `/` and whatever it refers to. */
export async function buildPage(): Promise<ReadonlyMap<string, PageFile>> {
  const { outputs } = await bundle();
  const files = new Map<string, PageFile>();
  let html = "";
  const names = new Map<string, string>();
  for (const output of outputs) {
    if (output.path.endsWith(".html")) {
      html = await output.text();
      continue;
    }
    const body = new Uint8Array(await output.arrayBuffer());
    const oldName = basename(output.path);
    const name = nameByContent(oldName, body);
    names.set(oldName, name);
    files.set(`/${name}`, createFile({ body, type: output.type, cacheControl: FILE_CACHING }));
  }
  for (const [oldName, name] of names) html = html.replaceAll(oldName, name);
  const body = new TextEncoder().encode(html);
  files.set("/", createFile({ body, type: "text/html;charset=utf-8", cacheControl: PAGE_CACHING }));
  return files;
}

/**
 * Bun's own hash knows the folder that the project lies in; edges behind one name may have it in different ones,
 * and each must have the files that the other's page refers to.
 */
function nameByContent(name: string, body: Uint8Array): string {
  const [, stem = name, extension = ""] = /^(.*)-[0-9a-z]+(\.[a-z]+)$/.exec(name) ?? [];
  return `${stem}-${hashOf(body, "hex").slice(0, NAME_CHARACTERS)}${extension}`;
}

function createFile(options: {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly type: string;
  readonly cacheControl: string;
}): PageFile {
  const { body, type, cacheControl } = options;
  const gzip = Bun.gzipSync(body, { level: GZIP_LEVEL });
  return {
    body,
    ...(gzip.length < body.length ? { gzip } : {}),
    // Bun writes `text/css;charset=utf-8`; SVG comes without a charset, which as XML it needs none.
    contentType: type.replace(/;\s*/, "; "),
    cacheControl,
    etag: `"${hashOf(body, "base64url").slice(0, ETAG_CHARACTERS)}"`,
  };
}

function hashOf(body: Uint8Array, encoding: "hex" | "base64url"): string {
  return new Bun.CryptoHasher("sha256").update(body).digest(encoding);
}

async function bundle(): Promise<Bun.BuildOutput> {
  try {
    return await Bun.build({
      entrypoints: [Bun.fileURLToPath(ENTRY)],
      target: "browser",
      minify: true,
      naming: { entry: HASHED_NAME, chunk: HASHED_NAME, asset: HASHED_NAME },
      banner: LICENCE_NOTE,
    });
  } catch (error) {
    throw new PageError("Cannot bundle the viewer page", { cause: error });
  }
}
