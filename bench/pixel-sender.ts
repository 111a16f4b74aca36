/**
 * The connections of `bench pixels` in one thread: each repeats the pattern from a place of its own as fast as its
 * server takes it, ends on a whole command, and asks SIZE behind the last one, whose answer says that the server
 * has worked off everything before it.
 *
 * Hot path: one write of up to a mebibyte from the prepared pattern, no allocation but the view on it.
 */
import type { Socket } from "bun";
import type { Clock } from "#common/clock.ts";
import { errorCode } from "#common/errors.ts";
import { MEBIBYTE } from "#common/units.ts";
import { commandsBefore, type Pattern } from "./pixel-patterns.ts";
import type { PixelflutTarget } from "./pixelflut-client.ts";

/** Most that one write offers the kernel. */
const WRITE_BYTES = MEBIBYTE;
/** Writes in a row before other connections of the thread get their turn. */
const WRITES_PER_TURN = 4;
/** Longest wait for a server to take the last command and to answer behind it. Milliseconds. */
export const FINISH_MS_MAX = 10_000;
/** Asked behind the last command. */
const BARRIER = new TextEncoder().encode("SIZE\n");
const BARRIER_ANSWER = "SIZE ";

/** What one connection did. */
export interface SentByConnection {
  /** Taken by the kernel, all of it. */
  readonly bytes: number;
  /** Whole commands among them, not counting the SIZE at the end. */
  readonly commands: number;
  /** Index of the pattern's command that it began with. */
  readonly firstCommand: number;
  /** True when the server answered behind the last command. */
  readonly isConfirmed: boolean;
  /** Why it ended before its time; empty if it did not. */
  readonly failure: string;
}

interface SenderOptions {
  readonly target: PixelflutTarget;
  readonly pattern: Pattern;
  readonly firstCommand: number;
  readonly clock: Clock;
}

/** One flooding connection. */
export class PixelSender {
  readonly #options: SenderOptions;
  readonly #finished = Promise.withResolvers<void>();
  #socket: Socket | undefined;
  #offset: number;
  #passes = 0;
  #bytes = 0;
  /** What is still to be sent after the flood has ended; `undefined` while it lasts. */
  #ending: Uint8Array | undefined;
  #answer = "";
  #isConfirmed = false;
  #failure = "";

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#offset = options.pattern.starts[options.firstCommand] ?? 0;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** True until it has ended, by itself or not. */
  get isOpen(): boolean {
    return this.#socket !== undefined && this.#failure === "" && !this.#isConfirmed;
  }

  /** Connects; a failure is kept and shows in {@link sent}. */
  async connect(): Promise<void> {
    try {
      this.#socket = await Bun.connect({
        hostname: this.#options.target.host,
        port: this.#options.target.port,
        socket: {
          data: (_, chunk) => this.#read(chunk),
          drain: () => this.#pump(),
          close: () => this.#fail("closed by the server"),
          error: (_, error) => this.#fail(errorCode(error) ?? error.message),
          connectError: (_, error) => this.#fail(errorCode(error) ?? error.message),
        },
      });
    } catch (error) {
      this.#fail(errorCode(error) ?? "cannot connect");
    }
  }

  start(): void {
    this.#pump();
  }

  /** Ends the flood on a whole command and waits until the server has answered behind it. */
  async finish(): Promise<void> {
    if (!this.isOpen) return;
    const { bytes, starts } = this.#options.pattern;
    const end = starts[commandsBefore(starts, this.#offset)] ?? this.#offset;
    this.#ending = Buffer.concat([bytes.subarray(this.#offset, end), BARRIER]);
    const cancel = this.#options.clock.after(FINISH_MS_MAX, () => this.#fail("no answer at the end"));
    this.#pump();
    await this.#finished.promise;
    cancel();
    this.#socket?.end();
  }

  get sent(): SentByConnection {
    const { starts } = this.#options.pattern;
    const { firstCommand } = this.#options;
    const commandsInPattern = starts.length - 1;
    // A command that was cut counts only once its last byte is sent.
    const begun = commandsBefore(starts, this.#offset);
    const whole = starts[begun] === this.#offset ? begun : begun - 1;
    return {
      bytes: this.#bytes,
      commands: Math.max(0, this.#passes * commandsInPattern + whole - firstCommand),
      firstCommand,
      isConfirmed: this.#isConfirmed,
      failure: this.#failure,
    };
  }

  #pump(): void {
    const socket = this.#socket;
    if (socket === undefined || this.#failure !== "") return;
    if (this.#ending !== undefined) {
      this.#sendEnding(socket, this.#ending);
      return;
    }
    const { bytes } = this.#options.pattern;
    for (let turn = 0; turn < WRITES_PER_TURN; turn += 1) {
      const offered = Math.min(WRITE_BYTES, bytes.length - this.#offset);
      const taken = socket.write(bytes.subarray(this.#offset, this.#offset + offered));
      if (taken < 0) return;
      this.#advance(taken);
      if (taken < offered) return;
    }
    setImmediate(() => this.#pump());
  }

  #sendEnding(socket: Socket, ending: Uint8Array): void {
    if (ending.length === 0) return;
    const taken = Math.max(0, socket.write(ending));
    const pixels = Math.max(0, Math.min(taken, ending.length - BARRIER.length));
    this.#ending = ending.subarray(taken);
    this.#advance(pixels);
    this.#bytes += taken - pixels;
  }

  #advance(taken: number): void {
    this.#bytes += taken;
    this.#offset += taken;
    if (this.#offset === this.#options.pattern.bytes.length) {
      this.#offset = 0;
      this.#passes += 1;
    }
  }

  #read(chunk: Uint8Array): void {
    if (this.#ending === undefined) return;
    // The answer may come cut; what precedes it is of no interest.
    this.#answer = (this.#answer + Buffer.from(chunk).toString("latin1")).slice(-BARRIER_WINDOW);
    if (!this.#answer.includes(BARRIER_ANSWER)) return;
    this.#isConfirmed = true;
    this.#finished.resolve();
  }

  #fail(reason: string): void {
    if (this.#isConfirmed || this.#failure !== "") return;
    this.#failure = reason;
    this.#socket?.terminate();
    this.#finished.resolve();
  }
}

/** Characters of answers that are kept while waiting for the last one. */
const BARRIER_WINDOW = 4_096;

/** State of all connections of a thread. */
export interface SenderTotals {
  readonly bytes: number;
  readonly open: number;
  readonly failed: number;
}

/** All connections of one thread. */
export class SenderGroup {
  readonly #senders: readonly PixelSender[];

  constructor(options: Omit<SenderOptions, "firstCommand"> & { readonly firstCommands: readonly number[] }) {
    const { firstCommands, ...rest } = options;
    this.#senders = firstCommands.map((firstCommand) => new PixelSender({ ...rest, firstCommand }));
  }

  async connect(): Promise<void> {
    await Promise.all(this.#senders.map((sender) => sender.connect()));
  }

  start(): void {
    for (const sender of this.#senders) sender.start();
  }

  get totals(): SenderTotals {
    let bytes = 0;
    let open = 0;
    let failed = 0;
    for (const sender of this.#senders) {
      bytes += sender.bytes;
      if (sender.isOpen) open += 1;
      else if (sender.sent.failure !== "") failed += 1;
    }
    return { bytes, open, failed };
  }

  async finish(): Promise<readonly SentByConnection[]> {
    await Promise.all(this.#senders.map((sender) => sender.finish()));
    return this.#senders.map((sender) => sender.sent);
  }
}
