/** Writes the bits of H.264 syntax: fixed length, Exp-Golomb, and the NAL unit around them. */
// ITU-T H.264 7.2 (descriptors), 7.3.1 (NAL unit, emulation prevention), 9.1 (Exp-Golomb)

/** Bits of one NAL unit's payload, most significant first. */
export class BitWriter {
  #bytes = new Uint8Array(256);
  #bitCount = 0;

  /** The low `count` bits of `value`; 32 at most. */
  bits(value: number, count: number): void {
    for (let bit = count - 1; bit >= 0; bit--) {
      const at = this.#bitCount >> 3;
      if (at === this.#bytes.length) this.#grow();
      if ((value >>> bit) & 1) this.#bytes[at] = (this.#bytes[at] ?? 0) | (0x80 >> (this.#bitCount & 7));
      this.#bitCount++;
    }
  }

  /** `ue(v)`: below 2^16. */
  unsigned(value: number): void {
    const length = 32 - Math.clz32(value + 1);
    this.bits(0, length - 1);
    this.bits(value + 1, length);
  }

  /** `se(v)`. */
  signed(value: number): void {
    this.unsigned(value > 0 ? 2 * value - 1 : -2 * value);
  }

  /** The NAL unit with these bits: stop bit, emulation prevention and header (7.3.1) added. */
  finish(header: number): Uint8Array<ArrayBuffer> {
    this.bits(1, 1);
    const payload = this.#bytes.subarray(0, (this.#bitCount + 7) >> 3);
    const unit = [header];
    let zeros = 0;
    for (const byte of payload) {
      if (zeros >= 2 && byte <= 3) {
        unit.push(3);
        zeros = 0;
      }
      unit.push(byte);
      zeros = byte === 0 ? zeros + 1 : 0;
    }
    return Uint8Array.from(unit);
  }

  #grow(): void {
    const bytes = new Uint8Array(this.#bytes.length * 2);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }
}
