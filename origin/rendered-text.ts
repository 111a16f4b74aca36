/**
 * A playlist as it goes out: written, hashed and compressed when the first viewer asks for it, and shared by all who
 * ask after that.
 */
// RFC 9110 8.8.3 (strong entity tags, one for each representation)

/** One version of a playlist, ready to be sent. */
export interface RenderedText {
  readonly identity: Representation;
  readonly gzip: Representation;
}

/** Bytes with their strong entity tag. */
export interface Representation {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly etag: string;
  /** Headers of answers made from it, by `Cache-Control`. There are two kinds of those. */
  readonly headers: Map<string, Headers>;
}

/**
 * Both forms of a text, each made when it is first asked for. The tag is a function of the text, so it is the same on
 * another origin.
 */
export function renderText(write: () => string): RenderedText {
  let plain: { readonly bytes: Uint8Array<ArrayBuffer>; readonly hash: string } | undefined;
  let identity: Representation | undefined;
  let gzip: Representation | undefined;
  const readPlain = (): NonNullable<typeof plain> => {
    if (plain === undefined) {
      const bytes = new TextEncoder().encode(write());
      plain = { bytes, hash: Bun.hash(bytes).toString(16) };
    }
    return plain;
  };
  return {
    get identity() {
      const { bytes, hash } = readPlain();
      identity ??= { bytes, etag: `"${hash}"`, headers: new Map() };
      return identity;
    },
    get gzip() {
      const { bytes, hash } = readPlain();
      gzip ??= { bytes: Bun.gzipSync(bytes), etag: `"${hash}-gzip"`, headers: new Map() };
      return gzip;
    },
  };
}
