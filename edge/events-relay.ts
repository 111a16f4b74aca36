/**
 * `/live/<stream>/events`: one upstream connection for each stream however many pages listen. The latest event of
 * each kind is kept: a newcomer gets it at once, and who is slow gets the latest and not the backlog. Listeners
 * stay connected while the upstream is away.
 */
// HTML Living Standard 9.2 (server-sent events)
import { MOVE_KIND } from "#common/formats/events.ts";
import { DirectStream } from "#common/direct-stream.ts";
import type { RelayOptions } from "./relay.ts";
import { SharedStream } from "./shared-stream.ts";

/** Kinds of events kept. Those past it are dropped: no origin of ours has nearly as many. */
const KINDS_MAX = 16;
/** An event longer than this is dropped with the rest of what has arrived. */
const EVENT_CHARACTERS_MAX = 65_536;
/** Silence is broken this often, so that neither proxies nor browsers take the connection for dead. */
const KEEP_ALIVE_MS = 15_000;
const KEEP_ALIVE_TEXT = ":\n\n";
/** A listener that takes nothing for this long is let go: it has missed that many events. */
const BLOCKED_MS_MAX = 30_000;
/** An origin writes once a second. */
const SILENCE_MS_MAX = 10_000;
/** How long the relay goes on without listeners. */
const LINGER_MS = 10_000;
/** How long the first listener waits to learn that the stream does not exist. */
const START_MS_MAX = 2_000;

interface Listener {
  readonly stream: DirectStream;
  /** What it has not got yet, by kind. */
  readonly pending: Map<string, string>;
  /** When it last took something, on the monotonic clock. */
  takenMs: number;
}

/** The events of one stream. */
export class EventsRelay {
  readonly #options: RelayOptions;
  readonly #listeners = new Set<Listener>();
  readonly #latest = new Map<string, string>();
  readonly #stream: SharedStream;
  #reader: EventReader;
  readonly #starting = Promise.withResolvers<number>();
  #cancelLinger: (() => void) | undefined;
  #cancelKeepAlive: (() => void) | undefined;
  #isOver = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#reader = new EventReader((kind, text) => this.#onEvent(kind, text));
    this.#stream = new SharedStream({
      ...options,
      silenceMsMax: SILENCE_MS_MAX,
      onOpen: () => {
        this.#reader = new EventReader((kind, text) => this.#onEvent(kind, text));
        this.#starting.resolve(200);
      },
      onChunk: (chunk) => this.#reader.push(chunk),
      onEnd: (status) => this.#onEnd(status),
    });
    this.#keepAlive();
    this.#lingerIfEmpty();
  }

  /** True when it has ended and nobody can be added any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The upstream's first status; 503 if it did not say in time, which is no reason to turn a listener away. */
  async firstStatus(): Promise<number> {
    const cancel = this.#options.clock.after(START_MS_MAX, () => this.#starting.resolve(503));
    const status = await this.#starting.promise;
    cancel();
    return status;
  }

  /** Adds a listener and returns the body of its response, which begins with `first`: what this edge has to say of its own. */
  add(signal: AbortSignal, onClose: () => void, first = KEEP_ALIVE_TEXT): ReadableStream<Uint8Array> {
    this.#cancelLinger?.();
    const pending = new Map(this.#latest);
    // A first byte at once tells the browser that the connection is open.
    pending.set("", first);
    const stream = new DirectStream({
      signal,
      counters: this.#options.counters,
      onDrain: () => this.#drain(listener),
      onClose: () => {
        this.#listeners.delete(listener);
        this.#lingerIfEmpty();
        onClose();
      },
    });
    const listener: Listener = { stream, pending, takenMs: this.#options.clock.monotonicMs() };
    this.#listeners.add(listener);
    return stream.body;
  }

  /** Tells all listeners something of this edge's own. */
  say(kind: string, text: string): void {
    this.#sendAll(kind, text);
  }

  /** Ends the upstream connection and all listeners. */
  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stream.stop();
    this.#cancelLinger?.();
    this.#cancelKeepAlive?.();
    this.#starting.resolve(503);
    for (const { stream } of this.#listeners) {
      // Who takes nothing would keep its connection, which has no idle timeout, and what lies there for it.
      if (stream.canWrite) stream.close();
      else stream.abort();
    }
    this.#options.onOver();
  }

  #onEnd(status: number): void {
    this.#starting.resolve(status);
    // What was true before an outage is no news after it.
    this.#latest.clear();
    // Who listens to a made-up name must not keep a place, nor have it asked for over and over.
    if (status === 404) this.close();
  }

  #onEvent(kind: string, text: string): void {
    // From an upstream that is an edge: that one ends, its viewers are not meant.
    if (kind === MOVE_KIND) return;
    if (!this.#latest.has(kind) && this.#latest.size >= KINDS_MAX) return;
    this.#latest.set(kind, text);
    this.#sendAll(kind, text);
    this.#keepAlive();
  }

  #sendAll(kind: string, text: string): void {
    const { clock, relayCounters } = this.#options;
    const nowMs = clock.monotonicMs();
    for (const listener of this.#listeners) {
      listener.pending.set(kind, text);
      this.#drain(listener);
      if (nowMs - listener.takenMs <= BLOCKED_MS_MAX) continue;
      relayCounters.listenersDropped++;
      listener.stream.abort();
    }
  }

  #drain(listener: Listener): void {
    const { stream, pending } = listener;
    while (stream.canWrite && pending.size > 0) {
      const text = [...pending.values()].join("");
      pending.clear();
      stream.write(text);
      listener.takenMs = this.#options.clock.monotonicMs();
    }
  }

  /** From the last event on. */
  #keepAlive(): void {
    this.#cancelKeepAlive?.();
    this.#cancelKeepAlive = this.#options.clock.after(KEEP_ALIVE_MS, () => {
      this.#sendAll("", KEEP_ALIVE_TEXT);
      this.#keepAlive();
    });
  }

  #lingerIfEmpty(): void {
    if (this.#listeners.size > 0 || this.#isOver) return;
    this.#cancelLinger?.();
    this.#cancelLinger = this.#options.clock.after(LINGER_MS, () => this.#endIfEmpty());
  }

  #endIfEmpty(): void {
    if (this.#listeners.size === 0) this.close();
  }
}

/** Splits an event stream into its events, as text ready to be sent on. */
export class EventReader {
  readonly #decoder = new TextDecoder();
  readonly #onEvent: (kind: string, text: string) => void;
  #text = "";

  constructor(onEvent: (kind: string, text: string) => void) {
    this.#onEvent = onEvent;
  }

  /** Takes a chunk of any size. */
  push(chunk: Uint8Array): void {
    // Joined first: a line's end may be cut in two.
    this.#text = (this.#text + this.#decoder.decode(chunk, { stream: true })).replaceAll("\r\n", "\n");
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end === -1) break;
      const block = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 2);
      const kind = /^event: ?(.*)$/m.exec(block)?.[1] ?? "message";
      const isWanted = block.length <= EVENT_CHARACTERS_MAX && /^data(?::|$)/m.test(block);
      if (isWanted) this.#onEvent(kind, `${block}\n\n`);
    }
    if (this.#text.length > EVENT_CHARACTERS_MAX) this.#text = "";
  }
}
