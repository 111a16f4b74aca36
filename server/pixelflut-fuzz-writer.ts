/**
 * The bytes of the differential fuzz while they are made up: a buffer that numbers, digits and words are appended to at
 * random, without a string on the way, so that making input costs less than parsing it.
 */

/** A whole number from 0 below `limit`. */
export type Random = (limit: number) => number;

export const LINE_FEED = 0x0a;
export const CARRIAGE_RETURN = 0x0d;
export const SPACE = 0x20;
export const TAB = 0x09;
const MINUS = 0x2d;
const ZERO = 0x30;

/** Digits of colours as clients write them. */
export type LetterCase = "lower" | "upper" | "mixed";

const encoder = new TextEncoder();
const LOWER = encoder.encode("0123456789abcdef");
const UPPER = encoder.encode("0123456789ABCDEF");

/** Bytes that mean something, and those beside them. */
const NEAR_MISSES = encoder.encode("\0\t\n\v\r !,-./09:;@AFGPXZ[`afgpxz{\x7f");

/** What a single piece may be longer than the room that its writer asked for. */
const SLACK_BYTES = 16_384;

export class FuzzWriter {
  readonly random: Random;
  readonly #bytes: Uint8Array;
  #length = 0;
  #target = 0;

  /** @param bytesMax the most that {@link begin} will ask for */
  constructor(random: Random, bytesMax: number) {
    this.random = random;
    this.#bytes = new Uint8Array(bytesMax + SLACK_BYTES);
  }

  /** Forgets what was written; {@link isFull} is true from `target` bytes on. */
  begin(target: number): void {
    this.#length = 0;
    this.#target = target;
  }

  get length(): number {
    return this.#length;
  }

  get isFull(): boolean {
    return this.#length >= this.#target;
  }

  /** A copy of what was written, of at most the target. */
  take(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, Math.min(this.#length, this.#target));
  }

  byte(value: number): void {
    this.#bytes[this.#length] = value;
    this.#length += 1;
  }

  /** Several times the same byte. */
  fill(value: number, count: number): void {
    this.#bytes.fill(value, this.#length, this.#length + count);
    this.#length = Math.min(this.#length + count, this.#bytes.length);
  }

  bytes(values: Uint8Array): void {
    const room = this.#bytes.length - this.#length;
    const taken = values.length > room ? values.subarray(0, room) : values;
    this.#bytes.set(taken, this.#length);
    this.#length += taken.length;
  }

  /** Characters up to U+00FF, each one byte. */
  text(characters: string): void {
    for (let index = 0; index < characters.length; index += 1) this.byte(characters.charCodeAt(index));
  }

  /** A whole number, with zeros before it up to `digitsMin` digits. */
  decimal(value: number, digitsMin = 1): void {
    if (value < 0) this.byte(MINUS);
    const size = Math.abs(value);
    let digits = 1;
    for (let limit = 10; size >= limit; limit *= 10) digits += 1;
    if (digits < digitsMin) this.fill(ZERO, digitsMin - digits);
    let rest = size;
    const start = this.#length;
    for (let at = start + digits - 1; at >= start; at -= 1) {
      const next = Math.floor(rest / 10);
      this.#bytes[at] = ZERO + (rest - next * 10);
      rest = next;
    }
    this.#length = start + digits;
  }

  /** Decimal digits at random, so many that no number type holds them where one likes. */
  digits(count: number): void {
    for (let index = 0; index < count; index += 1) this.byte(ZERO + this.random(10));
  }

  /** The lowest `count` hexadecimal digits of a number below 2^32. */
  hex(value: number, count: number, letters: LetterCase): void {
    for (let shift = (count - 1) * 4; shift >= 0; shift -= 4) {
      const isUpper = letters === "upper" || (letters === "mixed" && this.random(2) === 0);
      this.byte((isUpper ? UPPER : LOWER)[(value >>> shift) & 15] ?? ZERO);
    }
  }

  /** Little-endian. */
  uint16(value: number): void {
    this.byte(value & 0xff);
    this.byte((value >>> 8) & 0xff);
  }

  /** Little-endian. */
  uint32(value: number): void {
    this.uint16(value);
    this.uint16(value >>> 16);
  }

  /** Changes, loses, doubles or adds one byte of what was written from `start` on: of the last command, for example. */
  damage(start: number): void {
    const { random } = this;
    if (start >= this.#length || this.#length >= this.#bytes.length) return;
    const at = start + random(this.#length - start);
    const kind = random(6);
    if (kind === 0) {
      this.#bytes.copyWithin(at, at + 1, this.#length);
      this.#length -= 1;
    } else if (kind === 1) {
      this.#bytes.copyWithin(at + 1, at, this.#length);
      this.#length += 1;
      if (random(2) === 0) this.#bytes[at] = pickNearMiss(random);
    } else if (kind === 2) {
      this.#bytes[at] = (this.#bytes[at] ?? 0) ^ (1 << random(8));
    } else {
      this.#bytes[at] = pickNearMiss(random);
    }
  }

  /** One to a few blanks, mostly one space. */
  blanks(): void {
    const { random } = this;
    do this.byte(random(8) === 0 ? TAB : SPACE);
    while (random(3) === 0);
  }
}

/** A byte that only just is no digit, no letter, no blank, or only just is one. */
export function pickNearMiss(random: Random): number {
  return random(16) === 0 ? random(256) : (NEAR_MISSES[random(NEAR_MISSES.length)] ?? 0);
}

/** One of several, each as likely. */
export function pick<T>(random: Random, choices: readonly [T, ...T[]]): T {
  return choices[random(choices.length)] ?? choices[0];
}

/** A whole number from 1 to `max`, small ones as likely as large ones. */
export function pickSize(random: Random, max: number): number {
  const exponent = random(Math.ceil(Math.log2(max)) + 1);
  return Math.min(max, 2 ** exponent + random(2 ** exponent));
}
