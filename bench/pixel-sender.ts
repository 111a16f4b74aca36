/**
 * The flooding connections of one thread over Bun's own sockets: for systems without the C library that
 * `raw-sender.ts` calls, at about twice its cost. Each repeats its pattern as fast as its server takes it.
 *
 * Hot path: one write of up to a mebibyte from the prepared pattern, no allocation but the view on it.
 */
import type { Socket } from "bun";
import type { Clock } from "#common/clock.ts";
import { errorCode } from "#common/errors.ts";
import { MEBIBYTE } from "#common/units.ts";
import { ConnectionBarrier } from "./connection-barrier.ts";
import { CONNECTION_STATUS, type FloodState } from "./flood-state.ts";
import { PatternCursor, type CursorCount } from "./pattern-cursor.ts";
import type { Pattern } from "./pixel-patterns.ts";
import type { PixelflutTarget } from "./pixelflut-client.ts";

/** Most that one write offers the kernel. */
const WRITE_BYTES = MEBIBYTE;
/** Writes in a row before other connections of the thread get their turn. */
const WRITES_PER_TURN = 4;

/** What one connection did. */
export interface SentByConnection extends CursorCount {
  /** Its number in the flood. */
  readonly connection: number;
  /** Taken by the kernel, all of it. */
  readonly bytes: number;
  /** Bytes of answers. */
  readonly receivedBytes: number;
  /** True when the server answered behind the last command. */
  readonly isConfirmed: boolean;
  /** Why it ended before its time; empty if it did not. */
  readonly failure: string;
}

/** What one connection is to do. */
export interface ConnectionPlan {
  /** Its number in the flood. */
  readonly connection: number;
  readonly pattern: Pattern;
  /** The command to begin with, or the nearest before it that one may begin with. */
  readonly firstCommand: number;
}

/** What all connections of a thread need. */
export interface SenderOptions {
  readonly target: PixelflutTarget;
  readonly connections: readonly ConnectionPlan[];
  readonly state: FloodState;
  readonly clock: Clock;
}

/** The connections of one thread, whatever sends their bytes. */
export interface SenderGroup {
  /** Connects all; failures are kept and show in what {@link finish} returns. */
  connect(): Promise<void>;
  /** Floods; may return only once the state says that the flood ends. */
  start(): void;
  /** Ends each connection on a whole command and waits, at most `msMax`, until the server has answered behind it. */
  finish(msMax: number): Promise<readonly SentByConnection[]>;
}

/** One flooding connection. */
class PixelSender {
  readonly #options: SenderOptions;
  readonly #connection: number;
  readonly #cursor: PatternCursor;
  readonly #finished = Promise.withResolvers<void>();
  #socket: Socket | undefined;
  #barrier: ConnectionBarrier | undefined;
  #isConfirmed = false;
  #failure = "";

  constructor(options: SenderOptions, { connection, pattern, firstCommand }: ConnectionPlan) {
    this.#options = options;
    this.#connection = connection;
    this.#cursor = new PatternCursor(pattern, firstCommand);
  }

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
      this.#options.state.setStatus(this.#connection, CONNECTION_STATUS.open);
    } catch (error) {
      this.#fail(errorCode(error) ?? "cannot connect");
    }
  }

  start(): void {
    this.#pump();
  }

  async finish(msMax: number): Promise<SentByConnection> {
    if (this.#socket !== undefined && this.#failure === "") {
      this.#barrier = new ConnectionBarrier(this.#cursor.restOfCommand());
      const cancel = this.#options.clock.after(msMax, () => this.#fail("no answer at the end"));
      this.#pump();
      await this.#finished.promise;
      cancel();
      this.#socket.end();
    }
    const { state } = this.#options;
    return {
      ...this.#cursor.count,
      connection: this.#connection,
      bytes: state.sentBytes(this.#connection),
      receivedBytes: state.receivedBytes(this.#connection),
      isConfirmed: this.#isConfirmed,
      failure: this.#failure,
    };
  }

  #pump(): void {
    const socket = this.#socket;
    if (socket === undefined || this.#failure !== "") return;
    if (this.#barrier !== undefined) {
      this.#sendBarrier(socket, this.#barrier);
      return;
    }
    const { bytes } = this.#cursor.pattern;
    for (let turn = 0; turn < WRITES_PER_TURN; turn += 1) {
      const offered = Math.min(WRITE_BYTES, this.#cursor.left);
      const { offset } = this.#cursor;
      const taken = socket.write(bytes.subarray(offset, offset + offered));
      if (taken < 0) return;
      this.#options.state.addSent(this.#connection, taken);
      this.#cursor.advance(taken);
      if (taken < offered) return;
    }
    setImmediate(() => this.#pump());
  }

  #sendBarrier(socket: Socket, barrier: ConnectionBarrier): void {
    if (barrier.rest.length === 0) return;
    const taken = Math.max(0, socket.write(barrier.rest));
    this.#options.state.addSent(this.#connection, taken);
    this.#cursor.advance(barrier.advance(taken));
  }

  #read(chunk: Uint8Array): void {
    this.#options.state.addReceived(this.#connection, chunk.length);
    if (this.#barrier?.isAnsweredBy(chunk) !== true) return;
    this.#isConfirmed = true;
    this.#options.state.setStatus(this.#connection, CONNECTION_STATUS.confirmed);
    this.#finished.resolve();
  }

  #fail(reason: string): void {
    if (this.#isConfirmed || this.#failure !== "") return;
    this.#failure = reason;
    this.#options.state.setStatus(this.#connection, CONNECTION_STATUS.failed);
    this.#socket?.terminate();
    this.#finished.resolve();
  }
}

/** All connections of one thread over Bun's sockets. */
export class BunSenderGroup implements SenderGroup {
  readonly #senders: readonly PixelSender[];

  constructor(options: SenderOptions) {
    this.#senders = options.connections.map((plan) => new PixelSender(options, plan));
  }

  async connect(): Promise<void> {
    await Promise.all(this.#senders.map((sender) => sender.connect()));
  }

  start(): void {
    for (const sender of this.#senders) sender.start();
  }

  finish(msMax: number): Promise<readonly SentByConnection[]> {
    return Promise.all(this.#senders.map((sender) => sender.finish(msMax)));
  }
}
