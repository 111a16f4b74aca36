/**
 * The flooding connections of one thread over the C library's sockets: one loop around one epoll set that costs what
 * a client in C costs, so that the server is what the flood measures.
 *
 * Hot path: `epoll_wait`, then for each ready socket one `send` from the shared pattern; nothing is allocated. The
 * loop does not yield until the flood's state says that it ends.
 */
import { MEBIBYTE } from "#common/units.ts";
import { errorCode } from "#common/errors.ts";
import { ConnectionBarrier } from "./connection-barrier.ts";
import { CONNECTION_STATUS, type FloodState } from "./flood-state.ts";
import { PatternCursor } from "./pattern-cursor.ts";
import type { ConnectionPlan, SenderGroup, SenderOptions, SentByConnection } from "./pixel-sender.ts";
import { addressOf, LATER, READABLE, WRITABLE, type RawSockets } from "./raw-sockets.ts";

/** Most that one send offers. The kernel goes on while the server reads, so a longer one would keep the loop. */
const SEND_BYTES = 4 * MEBIBYTE;
/** Longest wait for a ready socket before the end of the flood is looked for. Milliseconds. */
const WAIT_MS = 20;
/** Longest wait for connections to open. Milliseconds. */
const CONNECT_MS_MAX = 5_000;

/** Over what connections move their bytes. */
interface Surroundings {
  readonly sockets: RawSockets;
  readonly state: FloodState;
}

/** One flooding connection, moved on by its group. What throws {@link RawSocketError} is the peer's doing. */
class RawSender {
  readonly #connection: number;
  readonly #cursor: PatternCursor;
  readonly #patternAddress: number;
  readonly #sockets: RawSockets;
  readonly #state: FloodState;
  /** Its place in the epoll set. */
  readonly #index: number;
  #socket = -1;
  #barrier: ConnectionBarrier | undefined;
  #isConfirmed = false;
  #failure = "";

  constructor(plan: ConnectionPlan, { sockets, state, index }: Surroundings & { readonly index: number }) {
    this.#connection = plan.connection;
    this.#cursor = new PatternCursor(plan.pattern, plan.firstCommand);
    this.#patternAddress = addressOf(plan.pattern.bytes);
    this.#sockets = sockets;
    this.#state = state;
    this.#index = index;
  }

  /** True until it was answered at the end, or has failed. */
  get isOpen(): boolean {
    return this.#socket >= 0;
  }

  get sent(): SentByConnection {
    return {
      ...this.#cursor.count,
      connection: this.#connection,
      bytes: this.#state.sentBytes(this.#connection),
      receivedBytes: this.#state.receivedBytes(this.#connection),
      isConfirmed: this.#isConfirmed,
      failure: this.#failure,
    };
  }

  /** Begins to connect. */
  connect(target: SenderOptions["target"]): void {
    this.#socket = this.#sockets.connect({ address: target.host, port: target.port });
    this.#sockets.watch(this.#socket, this.#index, WRITABLE);
  }

  /** Called once it is writable for the first time. */
  open(): void {
    const error = this.#sockets.connectionError(this.#socket);
    if (error !== undefined) throw error;
    this.#state.setStatus(this.#connection, CONNECTION_STATUS.open);
    this.#sockets.rewatch(this.#socket, this.#index, READABLE | WRITABLE);
  }

  /** Sends more of the pattern, or of the barrier behind it. */
  send(): void {
    if (this.#barrier !== undefined) {
      this.#sendBarrier(this.#barrier);
      return;
    }
    const length = Math.min(SEND_BYTES, this.#cursor.left);
    const taken = this.#sockets.send(this.#socket, this.#patternAddress + this.#cursor.offset, length);
    if (taken === LATER) return;
    this.#state.addSent(this.#connection, taken);
    this.#cursor.advance(taken);
  }

  /** Reads answers, of which only the one to the barrier matters. */
  receive(): void {
    const taken = this.#sockets.receive(this.#socket);
    if (taken === LATER) return;
    if (taken === 0) {
      this.fail("closed by the server");
      return;
    }
    this.#state.addReceived(this.#connection, taken);
    if (this.#barrier?.isAnsweredBy(this.#sockets.receivedBytes(taken)) !== true) return;
    this.#isConfirmed = true;
    this.#state.setStatus(this.#connection, CONNECTION_STATUS.confirmed);
    this.#close();
  }

  /** Sends no more of the pattern than the command that was begun, and the barrier. */
  end(): void {
    this.#barrier = new ConnectionBarrier(this.#cursor.restOfCommand());
  }

  fail(reason: string): void {
    this.#failure = reason;
    this.#state.setStatus(this.#connection, CONNECTION_STATUS.failed);
    this.#close();
  }

  #sendBarrier(barrier: ConnectionBarrier): void {
    const taken = this.#sockets.send(this.#socket, addressOf(barrier.rest), barrier.rest.length);
    if (taken === LATER) return;
    this.#state.addSent(this.#connection, taken);
    this.#cursor.advance(barrier.advance(taken));
    if (barrier.rest.length === 0) this.#sockets.rewatch(this.#socket, this.#index, READABLE);
  }

  #close(): void {
    if (this.#socket >= 0) this.#sockets.close(this.#socket);
    this.#socket = -1;
  }
}

/** All connections of one thread over the C library's sockets. Its methods block the thread. */
export class RawSenderGroup implements SenderGroup {
  readonly #options: SenderOptions;
  readonly #sockets: RawSockets;
  readonly #senders: readonly RawSender[];

  /** @param options with a numeric address as its host */
  constructor(options: SenderOptions, sockets: RawSockets) {
    this.#options = options;
    this.#sockets = sockets;
    const { state } = options;
    this.#senders = options.connections.map((plan, index) => new RawSender(plan, { sockets, state, index }));
  }

  async connect(): Promise<void> {
    const waiting = new Set<RawSender>();
    for (const sender of this.#senders) {
      if (attempt(sender, () => sender.connect(this.#options.target))) waiting.add(sender);
    }
    const endMs = this.#options.clock.monotonicMs() + CONNECT_MS_MAX;
    while (waiting.size > 0 && this.#options.clock.monotonicMs() < endMs) {
      const ready = this.#sockets.wait(WAIT_MS);
      for (let position = 0; position < ready; position += 1) {
        const sender = this.#senders[this.#sockets.readyAt(position)];
        // One that is open already is writable too.
        if (sender !== undefined && waiting.delete(sender)) attempt(sender, () => sender.open());
      }
    }
    for (const sender of waiting) sender.fail("timeout");
  }

  start(): void {
    while (!this.#options.state.isEnding && this.#senders.some((sender) => sender.isOpen)) this.#turn();
  }

  async finish(msMax: number): Promise<readonly SentByConnection[]> {
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + msMax;
    for (const sender of this.#senders) sender.end();
    while (this.#senders.some((sender) => sender.isOpen) && clock.monotonicMs() < endMs) this.#turn();
    for (const sender of this.#senders) if (sender.isOpen) sender.fail("no answer at the end");
    this.#sockets[Symbol.dispose]();
    return this.#senders.map((sender) => sender.sent);
  }

  /** Serves what is ready once. */
  #turn(): void {
    const ready = this.#sockets.wait(WAIT_MS);
    for (let position = 0; position < ready; position += 1) {
      const sender = this.#senders[this.#sockets.readyAt(position)];
      if (sender === undefined || !sender.isOpen) continue;
      try {
        if (this.#sockets.isReadable(position)) sender.receive();
        if (this.#sockets.isWritable(position) && sender.isOpen) sender.send();
      } catch (error) {
        sender.fail(errorCode(error) ?? String(error));
      }
    }
  }
}

/** Runs a step of one connection; trouble with its peer is that connection's failure. */
function attempt(sender: RawSender, step: () => void): boolean {
  try {
    step();
    return true;
  } catch (error) {
    sender.fail(errorCode(error) ?? String(error));
    return false;
  }
}
