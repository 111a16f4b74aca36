/**
 * The text of a playlist as it goes out: rendered once for each state of the window and compressed once, shared by
 * every viewer who asks.
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

/** Makes both forms of `text`. The tag is a function of the text, so it is the same on another origin. */
export function renderText(text: string): RenderedText {
  const bytes = new TextEncoder().encode(text);
  const hash = Bun.hash(bytes).toString(16);
  let gzip: Representation | undefined;
  return {
    identity: { bytes, etag: `"${hash}"`, headers: new Map() },
    get gzip() {
      gzip ??= { bytes: Bun.gzipSync(bytes), etag: `"${hash}-gzip"`, headers: new Map() };
      return gzip;
    },
  };
}

/** Keeps the latest version of one playlist. */
export class RenderedPlaylist {
  readonly #render: () => string | undefined;
  #revision: number | undefined;
  #rendered: RenderedText | undefined;

  /** @param render the text now, or `undefined` while there is nothing to list */
  constructor(render: () => string | undefined) {
    this.#render = render;
  }

  /** The version of `revision`, a number that grows whenever the text may have changed. */
  at(revision: number): RenderedText | undefined {
    if (revision !== this.#revision) {
      const text = this.#render();
      this.#rendered = text === undefined ? undefined : renderText(text);
      this.#revision = revision;
    }
    return this.#rendered;
  }
}
