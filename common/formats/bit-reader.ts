/**
 * Reads the bits of an H.264 parameter set or slice header. Past the end it gives zeros and says so: whoever reads checks
 * {@link BitReader.isOverrun} once, at the end, instead of at every field.
 */
// ITU-T H.264 7.4.1.1 (emulation prevention), 9.1 (Exp-Golomb codes)

/** Longest prefix of zeros: the longest code that stands for a number of 32 bits. */
const PREFIX_BITS_MAX = 32;

/** The bytes of a NAL unit without those that keep start codes out of it. The unit itself where it has none. */
export function removeEmulationPrevention(unit: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(unit.length);
  let length = 0;
  let zeros = 0;
  for (const byte of unit) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    bytes[length++] = byte;
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return length === unit.length ? unit : bytes.subarray(0, length);
}

export class BitReader {
  readonly #bytes: Uint8Array;
  #position = 0;

  /** @param bytes without emulation prevention, see {@link removeEmulationPrevention} */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Bits read so far, those past the end included. */
  get position(): number {
    return this.#position;
  }

  /** True once more was read than there is, or a code that no encoder writes. */
  get isOverrun(): boolean {
    return this.#position > this.#bytes.length * 8;
  }

  /** True while there is more than the stop bit and the zeros behind it: `more_rbsp_data()` (7.2). */
  get hasMore(): boolean {
    let last = this.#bytes.length - 1;
    while (last >= 0 && this.#bytes[last] === 0) last--;
    const trailing = this.#bytes[last] ?? 0;
    const zeros = 31 - Math.clz32(trailing & -trailing);
    return this.#position < last * 8 + 7 - zeros;
  }

  /** `u(count)`, of 32 bits at most. */
  bits(count: number): number {
    let value = 0;
    for (let left = count; left > 0; left--) {
      const byte = this.#bytes[this.#position >> 3] ?? 0;
      value = value * 2 + ((byte >> (7 - (this.#position & 7))) & 1);
      this.#position++;
    }
    return value;
  }

  /** `u(1)`. */
  flag(): boolean {
    return this.bits(1) === 1;
  }

  /** `ue(v)`. */
  unsigned(): number {
    let zeros = 0;
    while (this.bits(1) === 0) {
      zeros++;
      if (zeros > PREFIX_BITS_MAX) {
        this.#position = this.#bytes.length * 8 + 1;
        return 0;
      }
    }
    return 2 ** zeros - 1 + this.bits(zeros);
  }

  /** `se(v)`. */
  signed(): number {
    const code = this.unsigned();
    return code % 2 === 0 ? -code / 2 : (code + 1) / 2;
  }
}
