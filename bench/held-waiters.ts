/**
 * Many players that do nothing but wait for the next part of a playlist, over the C library's sockets: one epoll set in
 * one thread. What a waiter costs here is what it takes from the machine that is measured.
 *
 * Hot path, once an answer: `recv`, one comparison with the answer before, `send` of a request that all share. A version
 * of the playlist is unpacked and read once, when its entity tag is new.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5.2 (blocking playlist reload)
import { gunzipSync } from "node:zlib";
import type { Clock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { AnswerError, AnswerReader, type HeldAnswer } from "./held-answer.ts";
import { PartReader } from "./held-part.ts";
import { parsePlaylist, partAt, type MediaPlaylist } from "./hls-playlist.ts";
import { nextListing, type Position } from "./playlist-position.ts";
import { addressOf, LATER, READABLE, WRITABLE, RawSocketError, type RawSockets } from "./raw-sockets.ts";
import type { Tally } from "./statistics.ts";

/** Connections that are being opened at once: fewer than servers let wait. */
const CONNECTING_MAX = 256;
/** Versions remembered by their tags; a waiter that lags gets one of them. */
const VERSIONS_MAX = 64;
/** After so long others of this process get their turn. Milliseconds. */
const TURN_MS = 1;

/** A request in memory that stays where it is. */
interface SharedRequest {
  readonly bytes: Uint8Array;
  readonly address: number;
}

/** A version of the playlist, with the request that a player sends when it has it. */
export interface SeenVersion {
  /** Its newest part. */
  readonly at: Position;
  readonly playlist: MediaPlaylist;
  readonly next: SharedRequest;
  /** For its newest part. */
  readonly part: SharedRequest;
}

/** What the waiters tell, in the order in which it happens. */
export interface HeldHandlers {
  /** A version that no waiter got before. */
  onVersion(version: SeenVersion, nowMs: number): void;
  /** One waiter has an answer whole. */
  onReceipt(waiter: number, version: SeenVersion, nowMs: number): void;
  /** One waiter has the newest part of a version whole, where parts are fetched. */
  onPart(version: SeenVersion, nowMs: number): void;
}

export interface HeldWaitersOptions {
  readonly sockets: RawSockets;
  readonly clock: Clock;
  readonly count: number;
  /** Numeric. */
  readonly address: string;
  /** Of the media playlist, without delivery directives. */
  readonly url: URL;
  /** What the playlist lists when the first waiter joins. */
  readonly playlist: MediaPlaylist;
  /** True to fetch the newest part with each version, before the next is asked for. */
  readonly takesParts: boolean;
  readonly errors: Tally;
  readonly handlers: HeldHandlers;
}

interface Waiter {
  readonly socket: number;
  readonly reader: AnswerReader;
  readonly part: PartReader;
  state: "connecting" | "waiting" | "fetching" | "refused" | "gone";
  /** Whose part is fetched. */
  version: SeenVersion | undefined;
}

/** All waiters of a run. Closing them is the caller's to do. */
export class HeldWaiters implements Disposable {
  readonly #options: HeldWaitersOptions;
  readonly #waiters: Waiter[] = [];
  readonly #versions = new Map<string, SeenVersion>();
  /** Told that they cannot be held now: they ask again with the next version. */
  readonly #refused: number[] = [];
  /** The newest answer that came whole with one read, and what it was: most of the next are the same to the byte. */
  #latestBytes: Buffer = Buffer.alloc(0);
  #latest: SeenVersion | undefined;
  #next: SharedRequest;
  #connecting = 0;
  #gone = 0;

  constructor(options: HeldWaitersOptions) {
    this.#options = options;
    this.#next = writeRequest(options.url, nextListing(options.playlist));
  }

  /** True once every waiter is connected, or gone. */
  get areAllThere(): boolean {
    return this.#waiters.length === this.#options.count && this.#connecting === 0;
  }

  /** Waiters whose connections have failed or ended. */
  get gone(): number {
    return this.#gone;
  }

  /** Opens more connections, and serves those that have something to read, for about {@link TURN_MS}. */
  turn(): void {
    const { sockets, clock, count } = this.#options;
    while (this.#waiters.length < count && this.#connecting < CONNECTING_MAX) this.#connect();
    const endMs = clock.monotonicMs() + TURN_MS;
    do {
      const ready = sockets.wait(TURN_MS);
      for (let position = 0; position < ready; position++) this.#serve(sockets.readyAt(position));
    } while (clock.monotonicMs() < endMs);
  }

  [Symbol.dispose](): void {
    for (const waiter of this.#waiters)
      if (waiter.state !== "gone") this.#options.sockets.close(waiter.socket);
    this.#waiters.length = 0;
  }

  #connect(): void {
    const { sockets, address, url } = this.#options;
    const index = this.#waiters.length;
    let socket: number;
    try {
      socket = sockets.connect({ address, port: Number(url.port || 80) });
    } catch (error) {
      throw new StartError("cannot-connect", `Cannot open connection ${index + 1} of --waiters`, {
        cause: error,
      });
    }
    this.#waiters.push({
      socket,
      reader: new AnswerReader(),
      part: new PartReader(),
      state: "connecting",
      version: undefined,
    });
    this.#connecting++;
    sockets.watch(socket, index, WRITABLE);
  }

  /** What goes wrong with one connection is the end of that one alone. */
  #serve(index: number): void {
    const waiter = this.#waiters[index];
    if (waiter === undefined || waiter.state === "gone") return;
    try {
      if (waiter.state === "connecting") this.#open(waiter, index);
      else if (waiter.state === "fetching") this.#receivePart(waiter);
      else this.#receive(waiter, index);
    } catch (error) {
      this.#drop(waiter, error);
    }
  }

  #open(waiter: Waiter, index: number): void {
    const { sockets } = this.#options;
    const error = sockets.connectionError(waiter.socket);
    if (error !== undefined) throw error;
    this.#connecting--;
    waiter.state = "waiting";
    sockets.rewatch(waiter.socket, index, READABLE);
    this.#ask(waiter, this.#next);
  }

  #ask(waiter: Waiter, { bytes, address }: SharedRequest): void {
    // Nothing else is on its way on this connection: there is room for one request.
    if (this.#options.sockets.send(waiter.socket, address, bytes.length) !== bytes.length) {
      throw new AnswerError("no room for a request");
    }
  }

  #receive(waiter: Waiter, index: number): void {
    const { sockets, clock, handlers } = this.#options;
    const taken = sockets.receive(waiter.socket);
    if (taken === LATER) return;
    if (taken === 0) throw new AnswerError("closed by the server");
    const bytes = sockets.receivedBytes(taken);
    const isBegin = waiter.reader.isEmpty;
    const same = isBegin && this.#latestBytes.equals(bytes) ? this.#latest : undefined;
    if (same !== undefined) {
      handlers.onReceipt(index, same, clock.monotonicMs());
      this.#goOn(waiter, same);
      return;
    }
    const answer = waiter.reader.push(bytes);
    if (answer === undefined) return;
    const nowMs = clock.monotonicMs();
    if (answer.isLast) throw new AnswerError("closed by the server");
    if (answer.status !== 200) {
      this.#options.errors.add(`status ${answer.status}`);
      waiter.state = "refused";
      this.#refused.push(index);
      return;
    }
    const version = this.#versionOf(answer, nowMs);
    if (isBegin) [this.#latestBytes, this.#latest] = [Buffer.from(bytes), version];
    handlers.onReceipt(index, version, nowMs);
    this.#goOn(waiter, version);
  }

  /** What a player asks for when it has a version. */
  #goOn(waiter: Waiter, version: SeenVersion): void {
    if (!this.#options.takesParts) return this.#ask(waiter, version.next);
    waiter.state = "fetching";
    waiter.version = version;
    this.#ask(waiter, version.part);
  }

  #receivePart(waiter: Waiter): void {
    const { sockets, clock, handlers } = this.#options;
    const { version } = waiter;
    if (version === undefined || !waiter.part.read(sockets, waiter.socket)) return;
    waiter.state = "waiting";
    handlers.onPart(version, clock.monotonicMs());
    this.#ask(waiter, version.next);
  }

  #versionOf(answer: HeldAnswer, nowMs: number): SeenVersion {
    const key = answer.etag === "" ? String(Bun.hash(answer.body)) : answer.etag;
    const known = this.#versions.get(key);
    if (known !== undefined) return known;
    const { url, handlers } = this.#options;
    const text = new TextDecoder().decode(answer.isGzip ? gunzipSync(answer.body) : answer.body);
    const playlist = parsePlaylist(text, url.href);
    if (playlist?.type !== "media") throw new AnswerError("not a media playlist");
    const next = writeRequest(url, nextListing(playlist));
    const at = newestPart(playlist);
    const part = writeGet(partAt(playlist, at.msn, at.part)?.uri ?? url.href);
    const version = { at, playlist, next, part };
    this.#versions.set(key, version);
    this.#next = next;
    const [oldest] = this.#versions.keys();
    if (this.#versions.size > VERSIONS_MAX && oldest !== undefined) this.#versions.delete(oldest);
    handlers.onVersion(version, nowMs);
    this.#askAgain();
    return version;
  }

  #askAgain(): void {
    for (const index of this.#refused.splice(0)) {
      const waiter = this.#waiters[index];
      if (waiter?.state !== "refused") continue;
      waiter.state = "waiting";
      try {
        this.#ask(waiter, this.#next);
      } catch (error) {
        this.#drop(waiter, error);
      }
    }
  }

  #drop(waiter: Waiter, error: unknown): void {
    if (!(error instanceof RawSocketError) && !(error instanceof AnswerError)) throw error;
    if (waiter.state === "connecting") this.#connecting--;
    waiter.state = "gone";
    this.#gone++;
    this.#options.errors.add(error.message);
    this.#options.sockets.close(waiter.socket);
  }
}

/** The newest part that a playlist lists. */
function newestPart({ open, segments }: MediaPlaylist): Position {
  if (open.parts.length > 0) return { msn: open.msn, part: open.parts.length - 1 };
  return { msn: open.msn - 1, part: (segments.at(-1)?.parts.length ?? 1) - 1 };
}

/** The request for the version that lists a position. */
function writeRequest(url: URL, { msn, part }: Position): SharedRequest {
  const asked = new URL(url);
  asked.searchParams.set("_HLS_msn", String(msn));
  asked.searchParams.set("_HLS_part", String(part));
  return writeGet(asked.href);
}

/** The request of a browser's player, its headers as Chromium sends them. */
function writeGet(address: string): SharedRequest {
  const { pathname, search, host, origin } = new URL(address);
  const text = [
    `GET ${pathname}${search} HTTP/1.1`,
    `Host: ${host}`,
    "Connection: keep-alive",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    "Accept: */*",
    `Referer: ${origin}/`,
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-US,en;q=0.9",
    "\r\n",
  ].join("\r\n");
  const bytes = new Uint8Array(new ArrayBuffer(Buffer.byteLength(text)));
  new TextEncoder().encodeInto(text, bytes);
  return { bytes, address: addressOf(bytes) };
}
