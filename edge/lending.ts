/**
 * Bodies in memory while they are being sent. Bun sends a `Blob` from where it lies, takes as long as its reader does and
 * does not tell when it is done; an answer that has left the store meanwhile still takes its room. So each body knows
 * the requests that it was lent to, and the store counts what has left it and is lent. Only a part of the memory is lent
 * as it is: what is asked for beyond that is sent piece by piece, to readers who can be let go.
 */
import type { Clock } from "#common/clock.ts";
import { COPIED_BYTES_MAX } from "#common/late-body.ts";
import type { Loan } from "./loan.ts";
import type { ByteBudget } from "./store.ts";
import { sizeOf, type Stored } from "./stored.ts";
import { StoredReader, type StoredReaderOptions } from "./stored-reader.ts";
import type { ViewerConnection } from "./viewer-connection.ts";

/** Share of the memory that may be lent as it is, to readers whom nobody can let go: beside half for playlists some is left for what is on its way. */
const LENT_SHARE_MAX = 0.375;
/** How often requests that have ended are forgotten, which would otherwise gather with every answer; and how soon again at most. */
const SWEEP_MS = 1_000;
const SWEEP_PAUSE_MS = 20;

/** Who is answered. */
export interface Borrower extends Pick<StoredReaderOptions, "counters"> {
  readonly request: Request;
  readonly connection: ViewerConnection;
}

export interface LendingOptions {
  /** Room for what is on its way, and all room there is. */
  readonly budget: ByteBudget;
  readonly clock: Clock;
}

/** All bodies that are lent. */
export class Lending {
  /** Readers who were let go: they were slow, and their memory was needed. */
  laggards = 0;
  readonly #options: LendingOptions;
  readonly #loans = new Set<Loan>();
  /** Of what is lent as it is. */
  #wholeBytes = 0;
  #goneBytes = 0;
  /** By their age. */
  readonly #readers = new Map<StoredReader, Loan>();
  #sweptMs = Number.NEGATIVE_INFINITY;
  #isSweepPlanned = false;

  constructor(options: LendingOptions) {
    this.#options = options;
  }

  /** Memory of what is lent and stored no longer, in bytes. */
  get goneBytes(): number {
    return this.#goneBytes;
  }

  /** Memory of what is lent as it is, in bytes. What is given back is noticed when there is need for room. */
  get wholeBytes(): number {
    return this.#wholeBytes;
  }

  /**
   * What to hand to `Response`; counts its bytes.
   *
   * @param body all of the answer's body, a part of it, or the same compressed
   */
  bodyOf(stored: Stored, body: Blob, borrower: Borrower): Blob | ReadableStream<Uint8Array> {
    if (body.size > COPIED_BYTES_MAX) {
      const { loan } = stored;
      const isWhole = loan.isWhole && this.#loans.has(loan);
      if (!isWhole && !this.#lend(stored)) return this.#stream(stored, body, borrower);
      const { connection } = borrower;
      loan.add(() => connection.isOpen());
    }
    borrower.counters.sentBytes += body.size;
    return body;
  }

  /** The store keeps it. */
  onKept({ loan }: Stored): void {
    loan.holders++;
    if (loan.holders === 1 && this.#loans.has(loan)) this.#goneBytes -= loan.bytes;
  }

  /** The store keeps it no longer. */
  onGone({ loan }: Stored): void {
    loan.holders--;
    if (loan.holders > 0 || !this.#loans.has(loan)) return;
    this.#goneBytes += loan.bytes;
    if (!loan.isLent) this.#end(loan);
    else this.makeRoom(() => this.#goneBytes <= this.#bytesMax);
  }

  /** Finds out what is lent no longer; then lets readers go who alone keep what is stored no longer, as many as have to. */
  makeRoom(isEnough: () => boolean): void {
    if (isEnough()) return;
    this.#sweep();
    for (const [reader, loan] of this.#readers) {
      if (isEnough()) return;
      if (loan.holders > 0 || loan.isWhole) continue;
      reader.drop();
      if (this.#loans.has(loan) && !loan.isLent) this.#end(loan);
    }
  }

  /** Finds out what is lent no longer, unless that was done a moment ago. */
  refresh(): void {
    if (this.#loans.size > 0 && this.#nowMs() - this.#sweptMs >= SWEEP_PAUSE_MS) this.#sweep();
  }

  get #bytesMax(): number {
    return this.#options.budget.bytesMax * LENT_SHARE_MAX;
  }

  /** Lends it as it is from now on; false where too much is. */
  #lend(stored: Stored): boolean {
    const bytes = sizeOf(stored, "");
    if (this.#wholeBytes + bytes > this.#bytesMax) this.refresh();
    if (this.#wholeBytes + bytes > this.#bytesMax) return false;
    const loan = this.#open(stored);
    loan.isWhole = true;
    this.#wholeBytes += loan.bytes;
    return true;
  }

  #stream(
    stored: Stored,
    body: Blob,
    { request, connection, counters }: Borrower,
  ): ReadableStream<Uint8Array> {
    const { budget, clock } = this.#options;
    const loan = this.#open(stored);
    const reader: StoredReader = new StoredReader({
      counters,
      connection,
      signal: request.signal,
      body,
      budget,
      clock,
      onClose: (isLaggard) => {
        this.#readers.delete(reader);
        if (isLaggard) this.laggards++;
      },
    });
    this.#readers.set(reader, loan);
    loan.add(() => this.#readers.has(reader));
    return reader.stream;
  }

  #open(stored: Stored): Loan {
    const { loan } = stored;
    if (this.#loans.has(loan)) return loan;
    loan.bytes = sizeOf(stored, "");
    loan.isWhole = false;
    if (!this.#isSweepPlanned) this.#sweepLater();
    this.#loans.add(loan);
    if (loan.holders === 0) this.#goneBytes += loan.bytes;
    return loan;
  }

  #end(loan: Loan): void {
    this.#loans.delete(loan);
    if (loan.isWhole) this.#wholeBytes -= loan.bytes;
    if (loan.holders === 0) this.#goneBytes -= loan.bytes;
  }

  #sweepLater(): void {
    this.#isSweepPlanned = true;
    this.#options.clock.after(SWEEP_MS, () => {
      this.#isSweepPlanned = false;
      this.#sweep();
      if (this.#loans.size > 0) this.#sweepLater();
    });
  }

  #sweep(): void {
    for (const loan of this.#loans) if (!loan.isLent) this.#end(loan);
    this.#sweptMs = this.#nowMs();
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}
